//! The file: a log of everything that was written, and a header. Built on redb, whose commits
//! are atomic: a batch is there whole or not at all.
//!
//! A log, since to write behind the last write costs the same however many records there are.
//! Its oldest entries are taken away again: what is still true in them is written once more, at
//! the end.

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
};
use streamgate_core::{DecodeError, Locator, LocatorKey, Timestamp};

use super::entry::{self, Batch, EntryError, Op};
use crate::table::Table;

/// Every write, in its order. What a record was last is in the last entry that names it.
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
/// Where format 1 had its records.
const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const HEADER: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("header");
const FORMAT: &str = "format";
const KEY: &str = "locator-key";
const WATERMARK: &str = "watermark-ms";
const CLOSED: &str = "closed";

/// A table of records instead of the log. It is read, and a file of format 2 takes its place.
const FORMAT_1: u8 = 1;
/// The format of the data directory that this version writes.
const FORMAT_2: u8 = 2;

/// Memory for pages of the file. Nothing is looked up in it, so a little is enough.
const CACHE_BYTES: usize = 8 << 20;
/// How many bytes the log may have beyond twice those of the records. Below that it is left
/// to grow.
const SLACK_BYTES: usize = 64 << 20;
/// How many bytes are written between two looks at how much of the log is still true.
const BYTES_PER_LOOK: usize = 1 << 20;
/// How many bytes of the oldest entries a commit goes through besides twice its own.
const CLEANED_BYTES: usize = 64 << 10;

/// Why the file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk or the file failed.
    #[error(transparent)]
    Redb(#[from] redb::Error),
    /// It holds something that is no record.
    #[error(transparent)]
    Record(#[from] DecodeError),
    /// It holds something that is no entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// It has no header of ours.
    #[error("it is not a streamgate journal")]
    Foreign,
    /// A newer or older version wrote it.
    #[error("it has format {0}, expected {FORMAT_2}")]
    Format(u8),
    /// An earlier failure closed it.
    #[error("it is closed after an earlier failure")]
    Gone,
    /// It could not be put in its place.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<redb::TableError> for JournalError {
    fn from(error: redb::TableError) -> Self {
        Self::Redb(error.into())
    }
}

impl From<redb::StorageError> for JournalError {
    fn from(error: redb::StorageError) -> Self {
        Self::Redb(error.into())
    }
}

/// What the file says of itself.
#[derive(Clone)]
pub(super) struct Header {
    pub(super) key: LocatorKey,
    pub(super) watermark: Timestamp,
    pub(super) was_closed: bool,
    format: u8,
}

impl Header {
    /// Whether an older version wrote it: it is to be read, and written anew.
    pub(super) fn is_old(&self) -> bool {
        self.format != FORMAT_2
    }
}

pub(super) struct Journal {
    database: Database,
    header: Header,
    log: Log,
    /// How many bytes the log may have beyond twice those of the records.
    pub(super) slack_bytes: usize,
}

/// How the log stands.
#[derive(Clone, Copy, Default)]
struct Log {
    /// The number of the next entry.
    next: u64,
    bytes: usize,
    /// How many bytes the log may have now.
    bytes_max: usize,
    /// At how many bytes `bytes_max` is asked for again.
    look_at: usize,
}

impl Journal {
    /// Makes a new file.
    pub(super) fn create(
        backend: impl StorageBackend,
        key: &LocatorKey,
        watermark: Timestamp,
    ) -> Result<Self, JournalError> {
        let database = builder()
            .create_with_backend(backend)
            .map_err(redb::Error::from)?;
        let header = Header {
            key: key.clone(),
            watermark,
            was_closed: true,
            format: FORMAT_2,
        };
        let journal = Self {
            database,
            header,
            log: Log::default(),
            slack_bytes: SLACK_BYTES,
        };
        journal.write(|transaction| {
            transaction.open_table(LOG)?;
            let mut table = transaction.open_table(HEADER)?;
            table.insert(FORMAT, [FORMAT_2].as_slice())?;
            table.insert(KEY, key.as_bytes().as_slice())?;
            put_watermark(&mut table, watermark)?;
            table.insert(CLOSED, [1].as_slice())?;
            Ok(())
        })?;
        Ok(journal)
    }

    /// Opens a file, checking each page of it.
    pub(super) fn inspect(backend: impl StorageBackend) -> Result<Self, JournalError> {
        let mut builder = builder();
        builder.set_check_integrity_on_open(true);
        Self::open_with(&builder, backend)
    }

    /// Opens a file that was inspected and whose log has so many bytes; after a crash, repairs
    /// it.
    pub(super) fn open(
        backend: impl StorageBackend,
        log_bytes: usize,
    ) -> Result<Self, JournalError> {
        let mut journal = Self::open_with(&builder(), backend)?;
        journal.log.bytes = log_bytes;
        Ok(journal)
    }

    fn open_with(
        builder: &redb::Builder,
        backend: impl StorageBackend,
    ) -> Result<Self, JournalError> {
        let database = builder
            .create_with_backend(backend)
            .map_err(redb::Error::from)?;
        let (header, next) = read_header(&database)?;
        let log = Log {
            next,
            ..Log::default()
        };
        Ok(Self {
            database,
            header,
            log,
            slack_bytes: SLACK_BYTES,
        })
    }

    pub(super) fn header(&self) -> Header {
        self.header.clone()
    }

    /// Shows every write that it has, oldest first. Returns how many bytes they take.
    pub(super) fn each(
        &self,
        mut show: impl FnMut(Op<'_>) -> Result<(), JournalError>,
    ) -> Result<usize, JournalError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let is_old = self.header.is_old();
        let table = transaction.open_table(if is_old { RECORDS } else { LOG });
        let table = table.map_err(redb::Error::from)?;
        let mut bytes_len = 0;
        for entry in table.iter().map_err(redb::Error::from)? {
            let (key, value) = entry.map_err(redb::Error::from)?;
            bytes_len += value.value().len();
            if is_old {
                show(Op {
                    number: 0,
                    at: Locator::from_bits(key.value()),
                    bytes: value.value(),
                })?;
            } else {
                entry::read(value.value(), &mut show)?;
            }
        }
        Ok(bytes_len)
    }

    /// Says that a process is at work, so that the next one knows whether this one came to its
    /// end in order.
    pub(super) fn begin(&self) -> Result<(), JournalError> {
        self.write(|transaction| {
            transaction
                .open_table(HEADER)?
                .insert(CLOSED, [0].as_slice())?;
            Ok(())
        })
    }

    /// Writes a batch, all of it or nothing. When too little of the log is what `table` still
    /// has, the oldest entries go, twice as many bytes as come.
    pub(super) fn commit(
        &mut self,
        batch: Batch,
        watermark: Timestamp,
        table: &Table,
    ) -> Result<(), JournalError> {
        let mut log = self.log;
        if log.look_at <= log.bytes {
            let (records, bytes) = table.records_and_bytes();
            log.bytes_max = 2 * entry::bytes_of(records, bytes) + self.slack_bytes;
            log.look_at = log.bytes + BYTES_PER_LOOK.min(self.slack_bytes);
        }
        self.write(|transaction| {
            let mut entries = transaction.open_table(LOG)?;
            let mut kept = Batch::default();
            if log.bytes_max < log.bytes {
                let quota = 2 * batch.bytes_len() + CLEANED_BYTES;
                log.bytes -= take_oldest(&mut entries, quota, table, &mut kept)?;
                log.look_at = log.bytes;
            }
            let new = batch.into_entries(watermark);
            for entry in new.chain(kept.into_entries(watermark)) {
                entries.insert(log.next, &*entry)?;
                log.next += 1;
                log.bytes += entry.len();
            }
            Ok(())
        })?;
        self.log = log;
        Ok(())
    }

    /// Says that the process came to its end in order.
    pub(super) fn finish(&self, now: Timestamp) -> Result<(), JournalError> {
        self.write(|transaction| {
            let mut header = transaction.open_table(HEADER)?;
            put_watermark(&mut header, now)?;
            header.insert(CLOSED, [1].as_slice())?;
            Ok(())
        })
    }

    /// One commit: it is on disk when this returns.
    fn write(
        &self,
        fill: impl FnOnce(&redb::WriteTransaction) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut transaction = self.database.begin_write().map_err(redb::Error::from)?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(redb::Error::from)?;
        fill(&transaction)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(())
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Takes the oldest entries out of the log, up to `quota` bytes, and puts into `kept` what is
/// still true in them. Returns how many bytes they had.
///
/// A removal can go: every older write to its record has gone before it.
fn take_oldest(
    entries: &mut redb::Table<'_, u64, &'static [u8]>,
    quota: usize,
    table: &Table,
    kept: &mut Batch,
) -> Result<usize, JournalError> {
    let mut taken = 0;
    while taken < quota
        && let Some((_, entry)) = entries.pop_first()?
    {
        taken += entry.value().len();
        entry::read(entry.value(), |Op { number, at, .. }| {
            table.show_if_written(at, number, |bytes| kept.push(Op { number, at, bytes }));
            Ok::<(), EntryError>(())
        })?;
    }
    Ok(taken)
}

fn put_watermark(
    header: &mut redb::Table<'_, &'static str, &'static [u8]>,
    watermark: Timestamp,
) -> Result<(), redb::StorageError> {
    header.insert(WATERMARK, watermark.as_millis().to_be_bytes().as_slice())?;
    Ok(())
}

/// Reads the header, and the number that the next entry of the log will have.
fn read_header(database: &Database) -> Result<(Header, u64), JournalError> {
    let transaction = database.begin_read().map_err(redb::Error::from)?;
    let table = match transaction.open_table(HEADER) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Err(JournalError::Foreign),
        table => table.map_err(redb::Error::from)?,
    };
    let value = |name| -> Result<Vec<u8>, JournalError> {
        let value = table.get(name).map_err(redb::Error::from)?;
        value
            .map(|value| value.value().to_vec())
            .ok_or(JournalError::Foreign)
    };
    let format = match value(FORMAT)?[..] {
        [format @ (FORMAT_1 | FORMAT_2)] => format,
        [other, ..] => return Err(JournalError::Format(other)),
        [] => return Err(JournalError::Foreign),
    };
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
    let mut watermark = number(&value(WATERMARK)?).ok_or(JournalError::Foreign)?;
    let mut next = 0;
    if format == FORMAT_2 {
        let log = transaction.open_table(LOG).map_err(redb::Error::from)?;
        if let Some((last, entry)) = log.last().map_err(redb::Error::from)? {
            next = last.value() + 1;
            let of_entry = entry::read(entry.value(), |_| Ok::<(), EntryError>(()))?;
            watermark = watermark.max(of_entry.as_millis());
        }
    }
    let key = value(KEY)?.try_into().ok().ok_or(JournalError::Foreign)?;
    let header = Header {
        key: LocatorKey::from_bytes(key),
        watermark: Timestamp::from_millis(watermark),
        was_closed: value(CLOSED)? == [1],
        format,
    };
    Ok((header, next))
}
