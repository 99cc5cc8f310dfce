//! The file: every record under its locator, and a header. Built on redb, whose commits are
//! atomic: a batch is there whole or not at all.

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
};
use streamgate_core::{DecodeError, Locator, LocatorKey, Timestamp};

use super::queue::Op;

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const HEADER: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("header");
const FORMAT: &str = "format";
const KEY: &str = "locator-key";
const WATERMARK: &str = "watermark-ms";
const CLOSED: &str = "closed";

/// The format of the data directory that this version writes, and the only one it reads.
const FORMAT_1: u8 = 1;

/// Memory for pages of the file. Every record is in the table already, so a little is enough.
const CACHE_BYTES: usize = 64 << 20;

/// Why the file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk or the file failed.
    #[error(transparent)]
    Redb(#[from] redb::Error),
    /// It holds something that is no record.
    #[error(transparent)]
    Record(#[from] DecodeError),
    /// It has no header of ours.
    #[error("it is not a streamgate journal")]
    Foreign,
    /// A newer or older version wrote it.
    #[error("it has format {0}, expected {FORMAT_1}")]
    Format(u8),
    /// An earlier failure closed it.
    #[error("it is closed after an earlier failure")]
    Gone,
    /// It could not be put in its place.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What the file says of itself.
#[derive(Clone)]
pub(super) struct Header {
    pub(super) key: LocatorKey,
    pub(super) watermark: Timestamp,
    pub(super) was_closed: bool,
}

pub(super) struct Journal {
    database: Database,
    header: Header,
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
        };
        let journal = Self { database, header };
        journal.write(|transaction| {
            transaction.open_table(RECORDS)?;
            let mut table = transaction.open_table(HEADER)?;
            table.insert(FORMAT, [FORMAT_1].as_slice())?;
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

    /// Opens a file that was inspected; after a crash, repairs it.
    pub(super) fn open(backend: impl StorageBackend) -> Result<Self, JournalError> {
        Self::open_with(&builder(), backend)
    }

    fn open_with(
        builder: &redb::Builder,
        backend: impl StorageBackend,
    ) -> Result<Self, JournalError> {
        let database = builder
            .create_with_backend(backend)
            .map_err(redb::Error::from)?;
        let header = read_header(&database)?;
        Ok(Self { database, header })
    }

    pub(super) fn header(&self) -> Header {
        self.header.clone()
    }

    /// Shows every record.
    pub(super) fn each(
        &self,
        mut show: impl FnMut(Locator, &[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), JournalError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let table = transaction.open_table(RECORDS).map_err(redb::Error::from)?;
        for entry in table.iter().map_err(redb::Error::from)? {
            let (at, bytes) = entry.map_err(redb::Error::from)?;
            show(Locator::from_bits(at.value()), bytes.value())?;
        }
        Ok(())
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

    /// Writes a batch, all of it or nothing.
    pub(super) fn commit(&self, ops: &[Op], watermark: Timestamp) -> Result<(), JournalError> {
        self.write(|transaction| {
            let mut records = transaction.open_table(RECORDS)?;
            for op in ops {
                if op.bytes.is_empty() {
                    records.remove(op.at.bits())?;
                } else {
                    records.insert(op.at.bits(), &*op.bytes)?;
                }
            }
            put_watermark(&mut transaction.open_table(HEADER)?, watermark)?;
            Ok(())
        })
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
        fill: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
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

fn put_watermark(
    header: &mut redb::Table<'_, &'static str, &'static [u8]>,
    watermark: Timestamp,
) -> Result<(), redb::Error> {
    header.insert(WATERMARK, watermark.as_millis().to_be_bytes().as_slice())?;
    Ok(())
}

fn read_header(database: &Database) -> Result<Header, JournalError> {
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
    match value(FORMAT)?[..] {
        [FORMAT_1] => {}
        [other, ..] => return Err(JournalError::Format(other)),
        [] => return Err(JournalError::Foreign),
    }
    let key = value(KEY)?.try_into().ok().ok_or(JournalError::Foreign)?;
    let watermark = value(WATERMARK)?
        .try_into()
        .ok()
        .ok_or(JournalError::Foreign)?;
    Ok(Header {
        key: LocatorKey::from_bytes(key),
        watermark: Timestamp::from_millis(u64::from_be_bytes(watermark)),
        was_closed: value(CLOSED)? == [1],
    })
}
