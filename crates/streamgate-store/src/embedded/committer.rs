//! The one thread that writes. After an I/O error it never uses the failed file again: what the
//! kernel shows of it need not be on the disk. Memory has everything, so a fresh file is written
//! from there and takes the place of the failed one.

use std::sync::Arc;
use std::time::Duration;

use streamgate_core::{LocatorKey, Timestamp};

use super::data_dir::DataDir;
use super::journal::{Journal, JournalError};
use super::queue::{Next, Queue};
use crate::table::Table;

/// How long the first and the longest pause between two tries to write a fresh file are.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

pub(super) struct Committer {
    dir: DataDir,
    journal: Option<Journal>,
    key: LocatorKey,
    table: Arc<Table>,
    queue: Arc<Queue>,
}

impl Committer {
    pub(super) fn new(
        dir: DataDir,
        journal: Journal,
        key: LocatorKey,
        table: Arc<Table>,
        queue: Arc<Queue>,
    ) -> Self {
        Self {
            dir,
            journal: Some(journal),
            key,
            table,
            queue,
        }
    }

    /// Writes until the queue is closed.
    pub(super) fn run(mut self, start: Timestamp) {
        loop {
            let done = match self.queue.next() {
                Next::Abandon => return,
                Next::Close(now) => return self.close(now.max(start)),
                Next::Commit(commit) => {
                    let watermark = commit.watermark.max(start);
                    let table = Arc::clone(&self.table);
                    self.with_journal(|journal| journal.commit(commit.batch, watermark, &table))
                        .map(|()| self.queue.committed(commit.last))
                }
            };
            if let Err(error) = done {
                self.recover(&error, start);
            }
        }
    }

    fn close(&mut self, now: Timestamp) {
        if let Err(error) = self.with_journal(|journal| journal.finish(now)) {
            tracing::error!(error = %error, "the data directory was not closed");
            self.queue.fail(error.to_string());
        }
    }

    fn with_journal(
        &mut self,
        act: impl FnOnce(&mut Journal) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        self.journal.as_mut().map_or(Err(JournalError::Gone), act)
    }

    /// Writes a fresh file, again and again until it works or the store is closed.
    fn recover(&mut self, error: &JournalError, start: Timestamp) {
        tracing::error!(error = %error, "the disk failed: starts and stops are refused");
        self.queue.fail(error.to_string());
        self.journal = None;
        let mut pause = PAUSE_MIN;
        while self.queue.pause(pause) {
            let (last, watermark) = self.queue.last();
            match self
                .dir
                .replace_journal(&self.key, &self.table, watermark.max(start))
            {
                Ok(journal) => {
                    self.journal = Some(journal);
                    self.queue.recovered(last);
                    tracing::warn!("wrote a fresh file: starts and stops are taken again");
                    return;
                }
                Err(error) => {
                    tracing::error!(error = %error, "could not write a fresh file");
                    self.queue.fail(error.to_string());
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

impl Drop for Committer {
    /// Should the storage crate panic, nobody waits for a commit that never comes.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.fail("the commit thread panicked".into());
        }
    }
}
