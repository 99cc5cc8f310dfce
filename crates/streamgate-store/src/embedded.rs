//! The durable store of one machine: records in memory, and a journal on disk that is written
//! by one thread, many swaps to one sync, in the order in which they were decided. What a crash
//! keeps is therefore a prefix of what happened.

mod busyness;
mod committer;
mod data_dir;
mod entry;
mod journal;
mod queue;
mod read_ahead;
mod trial;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use streamgate_core::{Locator, LocatorKey, Timestamp};

pub use self::data_dir::OpenError;

use self::committer::Committer;
use self::data_dir::DataDir;
use self::journal::{Journal, JournalError};
use self::queue::Queue;
use crate::store::{EngineTime, LeaseStore, StoreError, Swap, Versioned, Write};
use crate::table::Table;

/// How many writes are taken in between two lines in the log.
const WRITES_PER_PROGRESS_LINE: usize = 1_000_000;

/// Records in memory, starts and stops on disk before they are answered.
pub struct EmbeddedStore {
    table: Arc<Table>,
    queue: Arc<Queue>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// A store as it was found on disk.
pub struct Opened {
    /// The store.
    pub store: EmbeddedStore,
    /// The secret of its locators.
    pub key: LocatorKey,
    /// Where the lease clock goes on. Every lease runs a full term from here.
    pub watermark: Timestamp,
    /// How many records came back.
    pub records: usize,
    /// How many streams came back.
    pub streams: usize,
    /// Whether the last process closed the store; if not, its last write may have been torn and
    /// was taken back.
    pub was_closed: bool,
}

impl EmbeddedStore {
    /// Opens the data directory, or makes a new one. `key` is the secret that the directory
    /// must have; without one it keeps its own.
    ///
    /// # Errors
    /// Says what is wrong with the directory, and leaves it as it is.
    pub fn open(dir: &Path, key: Option<LocatorKey>) -> Result<Opened, OpenError> {
        let dir = DataDir::lock(dir)?;
        let found = dir.inspect_journal(key)?;
        let header = found.header();
        let table = Arc::new(Table::new(header.watermark));
        let read = Read::all(&found, &table).map_err(|error| dir.refusal(error))?;
        drop(found);
        let (records, streams) = (table.records_and_bytes().0, table.streams_len());
        let journal = if header.is_old() {
            tracing::info!("writing the data directory in the format of this version");
            let journal = dir.replace_journal(&header.key, &table, header.watermark);
            journal.map_err(|error| dir.refusal(error))?
        } else {
            dir.open_journal(read.log_bytes)?
        };

        let queue = Arc::new(Queue::after(read.last));
        let committer = Committer::new(
            dir,
            journal,
            header.key.clone(),
            Arc::clone(&table),
            Arc::clone(&queue),
        );
        let thread = std::thread::Builder::new()
            .name("commit".into())
            .spawn(move || committer.run(header.watermark))
            .map_err(OpenError::Thread)?;
        let store = Self {
            table,
            queue,
            committer: Mutex::new(Some(thread)),
        };
        Ok(Opened {
            store,
            key: header.key,
            watermark: header.watermark,
            records,
            streams,
            was_closed: header.was_closed,
        })
    }
}

/// What was read of a journal besides the records.
struct Read {
    /// The number of the last write.
    last: u64,
    log_bytes: usize,
}

impl Read {
    /// Reads a journal into an empty table.
    fn all(journal: &Journal, table: &Table) -> Result<Self, JournalError> {
        let (last, log_bytes) = (AtomicU64::new(0), AtomicUsize::new(0));
        table.restore_all::<JournalError>(|part, restore| {
            let (mut writes, mut newest) = (0, 0);
            let bytes = journal.each(|op| {
                restore(op.at, op.number, op.bytes)?;
                newest = op.number.max(newest);
                writes += 1;
                if part == 0 && writes % WRITES_PER_PROGRESS_LINE == 0 {
                    tracing::info!(writes, "reading the data directory");
                }
                Ok(())
            })?;
            // Every part reads the same.
            last.store(newest, Ordering::Relaxed);
            log_bytes.store(bytes, Ordering::Relaxed);
            Ok(())
        })?;
        Ok(Self {
            last: last.into_inner(),
            log_bytes: log_bytes.into_inner(),
        })
    }
}

#[async_trait]
impl LeaseStore for EmbeddedStore {
    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn load(&self, at: Locator) -> Result<Versioned, StoreError> {
        self.table.load(at)
    }

    async fn swap(&self, swap: Swap<'_>) -> Result<(), StoreError> {
        let written = self.table.swap(swap, |before, bytes| match swap.write {
            Write::Soft => Ok(before),
            Write::Durable => self.queue.push(swap.at, bytes, swap.now),
        })?;
        self.queue.wait_until_durable(written).await
    }

    fn due(&self, now: Timestamp) -> Vec<Locator> {
        self.table.due(now)
    }

    fn streams_len(&self) -> Option<usize> {
        Some(self.table.streams_len())
    }

    async fn ready(&self) -> Result<Option<EngineTime>, StoreError> {
        self.queue.ready().map(|()| None)
    }

    async fn close(&self, now: Timestamp) -> Result<(), StoreError> {
        self.queue.close(now);
        let thread = self.committer.lock().take();
        let joined = tokio::task::spawn_blocking(|| thread.map(JoinHandle::join)).await;
        match joined {
            Ok(None | Some(Ok(()))) => self.queue.failure(),
            Ok(Some(Err(_))) | Err(_) => Err(queue::unavailable("the commit thread ended early")),
        }
    }
}

impl Drop for EmbeddedStore {
    /// Lets the commit thread end. Whoever did not call [`LeaseStore::close`] finds the
    /// directory as after a crash.
    fn drop(&mut self) {
        self.queue.abandon();
        if let Some(thread) = self.committer.lock().take() {
            drop(thread.join());
        }
    }
}
