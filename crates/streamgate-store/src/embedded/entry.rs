//! What stands in the log: entries of some records each, as they were written.
//!
//! An entry is the watermark, then for each record the number of its write, its locator, the
//! length of its bytes and the bytes themselves. Numbers are big-endian.

use streamgate_core::{Locator, Timestamp};

/// How long an entry becomes before the next one is begun: with what the journal puts around it,
/// a little less than 16 pages. A longer record has an entry to itself.
const ENTRY_BYTES: usize = 65_000;
const WATERMARK_BYTES: usize = 8;
/// What comes before a record's bytes.
const OP_HEAD_BYTES: usize = 20;

/// One record as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Op<'a> {
    /// Writes are numbered in the order of their decisions.
    pub(super) number: u64,
    pub(super) at: Locator,
    /// Empty when it was removed.
    pub(super) bytes: &'a [u8],
}

/// Entries to be written together.
#[derive(Default)]
pub(super) struct Batch {
    entries: Vec<Vec<u8>>,
    len: usize,
}

/// An entry does not end where its records do.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("an entry of the log is damaged")]
pub struct EntryError;

impl Batch {
    pub(super) fn push(&mut self, op: Op<'_>) {
        let len = OP_HEAD_BYTES + op.bytes.len();
        let entry = match self.entries.last_mut() {
            Some(entry) if entry.len() + len <= ENTRY_BYTES => entry,
            Some(_) | None => {
                self.entries.push(vec![0; WATERMARK_BYTES]);
                self.entries.last_mut().expect("it was pushed")
            }
        };
        let bytes_len = u32::try_from(op.bytes.len()).expect("a record has less than 4 GiB");
        entry.extend_from_slice(&op.number.to_be_bytes());
        entry.extend_from_slice(&op.at.bits().to_be_bytes());
        entry.extend_from_slice(&bytes_len.to_be_bytes());
        entry.extend_from_slice(op.bytes);
        self.len += 1;
    }

    /// How many records are in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entries, with the watermark in each.
    pub(super) fn into_entries(self, watermark: Timestamp) -> impl Iterator<Item = Vec<u8>> {
        self.entries.into_iter().map(move |mut entry| {
            entry[..WATERMARK_BYTES].copy_from_slice(&watermark.as_millis().to_be_bytes());
            entry
        })
    }

    /// How many bytes its entries have.
    pub(super) fn bytes_len(&self) -> usize {
        self.entries.iter().map(Vec::len).sum()
    }
}

/// How many bytes a log of just these records would have, give or take the watermarks.
pub(super) fn bytes_of(records: usize, bytes: usize) -> usize {
    records * OP_HEAD_BYTES + bytes
}

/// Shows what an entry says, and returns its watermark.
pub(super) fn read<'a, E: From<EntryError>>(
    entry: &'a [u8],
    mut show: impl FnMut(Op<'a>) -> Result<(), E>,
) -> Result<Timestamp, E> {
    let mut rest = entry;
    let watermark = u64::from_be_bytes(take(&mut rest)?);
    while !rest.is_empty() {
        let number = u64::from_be_bytes(take(&mut rest)?);
        let at = Locator::from_bits(u64::from_be_bytes(take(&mut rest)?));
        let len = u32::from_be_bytes(take(&mut rest)?) as usize;
        let bytes;
        (bytes, rest) = rest.split_at_checked(len).ok_or(EntryError)?;
        show(Op { number, at, bytes })?;
    }
    Ok(Timestamp::from_millis(watermark))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], EntryError> {
    let (taken, after) = rest.split_first_chunk().ok_or(EntryError)?;
    *rest = after;
    Ok(*taken)
}
