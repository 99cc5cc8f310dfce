//! The directory that holds the journal: one process at a time, and no file in it that is half
//! made.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use streamgate_core::{LocatorKey, Timestamp};

use super::entry::{Batch, Op};
use super::journal::{Journal, JournalError};
use super::read_ahead;
use super::trial::Trial;
use crate::table::Table;

const LOCK: &str = "lock";
const JOURNAL: &str = "streams.redb";
/// Under this name a journal is made. Nothing in it was ever acknowledged.
const UNFINISHED: &str = "streams.redb.new";
/// How every redb file begins.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// How many records go into one commit of a fresh file.
const RECORDS_PER_COMMIT: usize = 16_384;

/// From how many bytes on it takes so long to check a journal that it is said.
const LONG_BYTES: u64 = 256 << 20;

/// Why a data directory was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it can't be made, read or written.
    #[error("cannot use {path}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process works on it.
    #[error("{path} is in use by another streamgate; stop it first, or choose another --data-dir", path = .path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The file there is none of ours.
    #[error("{path} was not written by streamgate; move it away, or choose another --data-dir", path = .path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// A version with another format wrote it.
    #[error("{path} has data format {found}, which this version does not know", path = .path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u8,
    },
    /// It can't be read any more.
    #[error("{path} is damaged; restore it from a copy, or move it away to start without any streams", path = .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: JournalError,
    },
    /// The configuration has a locator key, and it is not the directory's.
    #[error("{path} was made with another locator key than the configuration has", path = .path.display())]
    OtherKey {
        /// Which.
        path: PathBuf,
    },
    /// The system gave no random bytes for a new locator key.
    #[error("no random bytes for a new locator key")]
    Random(#[source] getrandom::Error),
    /// The commit thread did not start.
    #[error("cannot start the commit thread")]
    Thread(#[source] io::Error),
}

/// A data directory, ours for as long as this lives.
pub(super) struct DataDir {
    path: PathBuf,
    pub(super) lock: File,
}

impl Drop for DataDir {
    /// To close the file is not enough while another thread starts a program: its process has a
    /// copy of each handle until the program runs.
    fn drop(&mut self) {
        // It fails where there are no locks, and then none was taken.
        drop(self.lock.unlock());
    }
}

impl DataDir {
    /// Makes the directory if it is not there, and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io {
            path: path.into(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let lock = private()
            .create(true)
            .open(path.join(LOCK))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.into(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Looks at the journal without changing it, and checks each page of it. In a directory
    /// without one, makes a new one first.
    pub(super) fn inspect_journal(&self, key: Option<LocatorKey>) -> Result<Journal, OpenError> {
        let path = self.path.join(JOURNAL);
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => self.create_journal(key.clone())?,
            Err(source) => return Err(OpenError::Io { path, source }),
        }
        let file = self.open_file()?;
        check_magic(&file, &path)?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        if LONG_BYTES <= bytes {
            tracing::info!(bytes, "checking the data directory");
        }
        let read_ahead = file.try_clone().map_err(|source| OpenError::Io {
            path: path.clone(),
            source,
        })?;
        let journal = read_ahead::during(&read_ahead, bytes, || {
            guarded(|| Journal::inspect(Trial::new(file)?))
        })
        .map_err(|error| self.refusal(error))?;
        match key {
            Some(key) if key != journal.header().key => Err(OpenError::OtherKey { path }),
            Some(_) | None => Ok(journal),
        }
    }

    /// Opens the journal that was inspected and whose log has so many bytes, to write to it.
    pub(super) fn open_journal(&self, log_bytes: usize) -> Result<Journal, OpenError> {
        let file = self.open_file()?;
        guarded(|| {
            let backend = FileBackend::new(file).map_err(redb::Error::from)?;
            let journal = Journal::open(backend, log_bytes)?;
            journal.begin()?;
            Ok(journal)
        })
        .map_err(|error| self.refusal(error))
    }

    fn open_file(&self) -> Result<File, OpenError> {
        let path = self.path.join(JOURNAL);
        private()
            .open(&path)
            .map_err(|source| OpenError::Io { path, source })
    }

    /// Why the journal can't be used, for people.
    pub(super) fn refusal(&self, error: JournalError) -> OpenError {
        let path = self.path.join(JOURNAL);
        match error {
            JournalError::Foreign => OpenError::Foreign { path },
            JournalError::Format(found) => OpenError::Format { path, found },
            // It ends before it should.
            JournalError::Redb(redb::Error::Io(ref source))
                if source.kind() == ErrorKind::UnexpectedEof =>
            {
                OpenError::Damaged {
                    path,
                    source: error,
                }
            }
            JournalError::Io(source) | JournalError::Redb(redb::Error::Io(source)) => {
                OpenError::Io { path, source }
            }
            JournalError::Redb(redb::Error::DatabaseAlreadyOpen) => OpenError::InUse { path },
            JournalError::Redb(_)
            | JournalError::Record(_)
            | JournalError::Entry(_)
            | JournalError::Gone => OpenError::Damaged {
                path,
                source: error,
            },
        }
    }

    fn create_journal(&self, key: Option<LocatorKey>) -> Result<(), OpenError> {
        let key = key.map_or_else(random_key, Ok)?;
        self.place(|backend| Journal::create(backend, &key, Timestamp::default()))
            .map(drop)
            .map_err(|error| self.refusal(error))
    }

    /// Writes a fresh journal from memory and puts it in the place of the one that is there,
    /// which failed or is of an older format.
    pub(super) fn replace_journal(
        &self,
        key: &LocatorKey,
        table: &Table,
        watermark: Timestamp,
    ) -> Result<Journal, JournalError> {
        self.place(|backend| {
            let mut journal = Journal::create(backend, key, watermark)?;
            journal.begin()?;
            let mut batch = Batch::default();
            table.each(|at, number, bytes| {
                batch.push(Op { number, at, bytes });
                if RECORDS_PER_COMMIT <= batch.len() {
                    journal.commit(std::mem::take(&mut batch), watermark, table)?;
                }
                Ok::<(), JournalError>(())
            })?;
            journal.commit(batch, watermark, table)?;
            Ok(journal)
        })
    }

    /// Makes a journal under another name and gives it its own when it is whole and on disk.
    fn place(
        &self,
        make: impl FnOnce(FileBackend) -> Result<Journal, JournalError>,
    ) -> Result<Journal, JournalError> {
        let unfinished = self.path.join(UNFINISHED);
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let file = private().create_new(true).open(&unfinished)?;
        let synced = file.try_clone()?;
        let journal = make(FileBackend::new(file).map_err(redb::Error::from)?)?;
        synced.sync_all()?;
        fs::rename(&unfinished, self.path.join(JOURNAL))?;
        File::open(&self.path)?.sync_all()?;
        Ok(journal)
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false).mode(0o600);
    options
}

fn check_magic(file: &File, path: &Path) -> Result<(), OpenError> {
    let mut start = Vec::new();
    let read = file.take(MAGIC.len() as u64).read_to_end(&mut start);
    match read {
        Ok(_) if start == MAGIC => Ok(()),
        Ok(_) => Err(OpenError::Foreign { path: path.into() }),
        Err(source) => Err(OpenError::Io {
            path: path.into(),
            source,
        }),
    }
}

/// The storage crate means to answer a damaged file with an error; should it panic instead, that
/// is the same refusal.
fn guarded(open: impl FnOnce() -> Result<Journal, JournalError>) -> Result<Journal, JournalError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.unwrap_or_else(|| "the storage crate gave up on it".into());
        Err(redb::Error::Corrupted(said).into())
    })
}

fn random_key() -> Result<LocatorKey, OpenError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(OpenError::Random)?;
    Ok(LocatorKey::from_bytes(bytes))
}
