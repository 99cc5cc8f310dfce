//! Records in memory: many small hash tables, each behind its own lock, so that neither a
//! growing table nor the sweep ever holds up more than a sliver of the users.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;
use streamgate_core::{Locator, Record, Timestamp};

use crate::store::{StoreError, Swap, Version, Versioned};

/// A power of two: the shard is the low bits of the locator.
const SHARDS: usize = 4096;
const SHARD_BITS: u32 = SHARDS.trailing_zeros();
/// How many shards one call of [`Table::due`] looks at: all of them in 100 calls.
const SHARDS_PER_SWEEP: usize = SHARDS.div_ceil(100);
/// How many locators one call of [`Table::due`] answers at most, give or take one shard.
const DUE_MAX: usize = 4096;

/// One record as it is kept.
pub(crate) struct Slot {
    at: Locator,
    version: Version,
    /// The last durable write to it, as the caller numbers them.
    written: u64,
    due_at: Timestamp,
    streams: u16,
    bytes: Box<[u8]>,
}

impl Slot {
    fn versioned(&self) -> Result<Versioned, StoreError> {
        Ok(Versioned {
            version: self.version,
            record: Record::decode(&self.bytes)?,
        })
    }
}

pub(crate) struct Table {
    shards: Box<[Mutex<HashTable<Slot>>]>,
    versions: AtomicU64,
    /// The last write that removed a record: where there is none, it may have been this one.
    removed: AtomicU64,
    sweep_at: AtomicUsize,
    streams: AtomicUsize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            versions: AtomicU64::new(Version::ABSENT.0),
            removed: AtomicU64::new(0),
            sweep_at: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
        }
    }

    pub(crate) fn load(&self, at: Locator) -> Result<Versioned, StoreError> {
        let shard = self.shard(at).lock();
        shard
            .find(hash(at), |slot| slot.at == at)
            .map_or_else(|| Ok(Versioned::absent()), Slot::versioned)
    }

    /// Swaps a record if it is the one that was seen. `write` is asked for the number of the
    /// write once it is certain to happen, while the record is locked, so numbers follow the
    /// order of the swaps; it gets the number before and the bytes to keep, and may refuse.
    /// Returns the number.
    pub(crate) fn swap(
        &self,
        swap: Swap<'_>,
        write: impl FnOnce(u64, &[u8]) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        let bytes = if swap.next.is_empty() {
            Vec::new()
        } else {
            swap.next.encode()
        };
        let streams = streams_of(swap.next);
        let mut shard = self.shard(swap.at).lock();
        match shard.entry(
            hash(swap.at),
            |slot| slot.at == swap.at,
            |slot| hash(slot.at),
        ) {
            Entry::Occupied(mut entry) => {
                let slot = entry.get_mut();
                if slot.version != swap.seen {
                    return Err(StoreError::Conflict(slot.versioned()?));
                }
                slot.written = write(slot.written, &bytes)?;
                let written = slot.written;
                self.count(slot.streams, streams);
                if bytes.is_empty() {
                    self.removed.fetch_max(written, Ordering::Relaxed);
                    entry.remove();
                } else {
                    slot.version = self.next_version();
                    slot.due_at = due_at(swap.next);
                    slot.streams = streams;
                    keep(&mut slot.bytes, &bytes);
                }
                Ok(written)
            }
            Entry::Vacant(_) if swap.seen != Version::ABSENT => {
                Err(StoreError::Conflict(Versioned::absent()))
            }
            Entry::Vacant(entry) => {
                let written = write(self.removed.load(Ordering::Relaxed), &bytes)?;
                if !bytes.is_empty() {
                    self.count(0, streams);
                    entry.insert(Slot {
                        at: swap.at,
                        version: self.next_version(),
                        written,
                        due_at: due_at(swap.next),
                        streams,
                        bytes: bytes.into(),
                    });
                }
                Ok(written)
            }
        }
    }

    /// Takes in a record as it was found on disk.
    pub(crate) fn restore(&self, at: Locator, record: &Record) {
        let slot = Slot {
            at,
            version: self.next_version(),
            written: 0,
            due_at: due_at(record),
            streams: streams_of(record),
            bytes: record.encode().into(),
        };
        self.count(0, slot.streams);
        self.shard(at)
            .lock()
            .insert_unique(hash(at), slot, |slot| hash(slot.at));
    }

    /// Shows every record, a shard at a time, and locks none meanwhile.
    pub(crate) fn each<E>(
        &self,
        mut show: impl FnMut(Locator, Box<[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        for shard in &self.shards {
            let records: Vec<_> = shard
                .lock()
                .iter()
                .map(|slot| (slot.at, slot.bytes.clone()))
                .collect();
            records
                .into_iter()
                .try_for_each(|(at, bytes)| show(at, bytes))?;
        }
        Ok(())
    }

    pub(crate) fn due(&self, now: Timestamp) -> Vec<Locator> {
        let mut due = Vec::new();
        for _ in 0..SHARDS_PER_SWEEP {
            let index = self.sweep_at.fetch_add(1, Ordering::Relaxed) % SHARDS;
            let shard = self.shards[index].lock();
            due.extend(
                shard
                    .iter()
                    .filter(|slot| slot.due_at <= now)
                    .map(|slot| slot.at),
            );
            if DUE_MAX <= due.len() {
                break;
            }
        }
        due
    }

    /// How many streams are in the table.
    pub(crate) fn streams_len(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    fn count(&self, before: u16, after: u16) {
        if before <= after {
            self.streams
                .fetch_add(usize::from(after - before), Ordering::Relaxed);
        } else {
            self.streams
                .fetch_sub(usize::from(before - after), Ordering::Relaxed);
        }
    }

    fn shard(&self, at: Locator) -> &Mutex<HashTable<Slot>> {
        let low = at.bits() % SHARDS as u64;
        #[expect(clippy::cast_possible_truncation, reason = "it is less than SHARDS")]
        &self.shards[low as usize]
    }

    fn next_version(&self) -> Version {
        Version(self.versions.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The locator is a hash already, keyed with a secret: what the shard did not use of it goes to
/// the low bits and, for the table's tags, to the highest seven.
fn hash(at: Locator) -> u64 {
    let rest = at.bits() >> SHARD_BITS;
    let rest_bits = 60 - SHARD_BITS;
    rest | rest >> (rest_bits - 7) << 57
}

fn due_at(record: &Record) -> Timestamp {
    record.due_at().unwrap_or(Timestamp::from_millis(u64::MAX))
}

fn streams_of(record: &Record) -> u16 {
    u16::try_from(record.streams_len()).unwrap_or(u16::MAX)
}

/// Keeps `bytes`, in the memory at hand where they fit exactly, as a heartbeat's mostly do.
fn keep(place: &mut Box<[u8]>, bytes: &[u8]) {
    if place.len() == bytes.len() {
        place.copy_from_slice(bytes);
    } else {
        *place = bytes.into();
    }
}
