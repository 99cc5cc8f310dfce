//! Records in memory: many small hash tables, each behind its own lock, so that neither a
//! growing table nor the sweep ever holds up more than a sliver of the users.

mod slots;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::Mutex;
use streamgate_core::{DecodeError, Locator, Record, Timestamp};

use self::slots::Slots;
use crate::store::{StoreError, Swap, Version, Versioned};

/// A power of two: the shard is the low bits of the locator.
const SHARDS: usize = 4096;
const SHARD_BITS: u32 = SHARDS.trailing_zeros();
/// How many shards one call of [`Table::due`] looks at: all of them in 1,024 calls. With 10
/// million records a call sees 10,000 of them, which takes 0.1 ms.
const SHARDS_PER_SWEEP: usize = SHARDS / 1024;
/// How many locators one call of [`Table::due`] answers at most, give or take one shard.
const DUE_MAX: usize = 4096;

/// One record as it is kept: 40 bytes and its own, since there are millions.
struct Slot {
    at: Locator,
    write: LastWrite,
    version: u32,
    /// In seconds of the lease clock, rounded up: the sweep may come late, never early.
    due_at: u32,
    bytes: Box<[u8]>,
}

/// The last durable write to a record, as the caller numbers them, in 56 bits; and how many
/// streams the record has, in 8.
#[derive(Clone, Copy)]
struct LastWrite(u64);

impl LastWrite {
    fn new(number: u64, record: &Record) -> Self {
        let streams = u8::try_from(record.streams_len()).unwrap_or(u8::MAX);
        Self(number << 8 | u64::from(streams))
    }

    fn number(self) -> u64 {
        self.0 >> 8
    }

    fn streams(self) -> usize {
        usize::from(self.0.to_le_bytes()[0])
    }
}

impl Slot {
    fn versioned(&self, renewed_at: Timestamp) -> Result<Versioned, StoreError> {
        Ok(Versioned {
            version: Version(self.version.into()),
            record: decode(&self.bytes, renewed_at)?,
        })
    }

    /// Keeps `bytes`, in the memory at hand where they fit exactly, as a heartbeat's mostly do.
    fn keep(&mut self, bytes: &[u8]) {
        if self.bytes.len() == bytes.len() {
            self.bytes.copy_from_slice(bytes);
        } else {
            self.bytes = bytes.into();
        }
    }
}

/// A sliver of the records, without a gap between them.
#[derive(Default)]
struct Shard {
    /// Where in `slots` each record is.
    places: HashTable<u32>,
    slots: Slots,
    last_version: u32,
    streams: usize,
    /// How many bytes the records have.
    bytes: usize,
}

impl Shard {
    fn find(&self, at: Locator) -> Option<&Slot> {
        let slots = &self.slots;
        let place = self.places.find(hash(at), |place| slots.at(*place) == at)?;
        Some(slots.get(*place))
    }

    fn find_mut(&mut self, at: Locator) -> Option<&mut Slot> {
        let Self { places, slots, .. } = self;
        let place = places.find(hash(at), |place| slots.at(*place) == at)?;
        Some(slots.get_mut(*place))
    }

    fn insert(&mut self, new: Slot) {
        let Self { places, slots, .. } = self;
        let hash_of_new = hash(new.at);
        let place = slots.push(new);
        places.insert_unique(hash_of_new, place, |place| hash(slots.at(*place)));
    }

    fn remove(&mut self, at: Locator) -> Option<Slot> {
        let Self { places, slots, .. } = self;
        let entry = places.find_entry(hash(at), |place| slots.at(*place) == at);
        let (place, _) = entry.ok()?.remove();
        let removed = slots.swap_remove(place);
        let was = slots.len();
        if place < was {
            let moved = places.find_mut(hash(slots.at(place)), |place| *place == was);
            *moved.expect("every slot has its place") = place;
        }
        if places.len() < places.capacity() / 4 {
            let half = places.capacity() / 2;
            places.shrink_to(half, |place| hash(slots.at(*place)));
        }
        Some(removed)
    }

    fn next_version(&mut self) -> u32 {
        self.last_version = self.last_version.checked_add(1).unwrap_or(1);
        self.last_version
    }

    fn count(&mut self, before: Option<(usize, usize)>, streams: usize, bytes: usize) {
        let (streams_before, bytes_before) = before.unwrap_or_default();
        self.streams = self.streams + streams - streams_before;
        self.bytes = self.bytes + bytes - bytes_before;
    }
}

pub(crate) struct Table {
    /// Every lease runs a full term from here: what was heard before is read as heard then.
    renewed_at: Timestamp,
    shards: Box<[Mutex<Shard>]>,
    /// The last write that removed a record: where there is none, it may have been this one.
    removed: AtomicU64,
    sweep_at: AtomicUsize,
}

impl Table {
    /// A table without records. Those that come may be from before a restart that was at
    /// `renewed_at`.
    pub(crate) fn new(renewed_at: Timestamp) -> Self {
        Self {
            renewed_at,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            removed: AtomicU64::new(0),
            sweep_at: AtomicUsize::new(0),
        }
    }

    pub(crate) fn load(&self, at: Locator) -> Result<Versioned, StoreError> {
        let shard = self.shard(at).lock();
        match shard.find(at) {
            None => Ok(Versioned::absent()),
            Some(slot) => slot.versioned(self.renewed_at),
        }
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
        let mut shard = self.shard(swap.at).lock();
        let shard = &mut *shard;
        let version = shard.next_version();
        let Some(slot) = shard.find_mut(swap.at) else {
            return self.swap_absent(shard, version, swap, &bytes, write);
        };
        if Version(slot.version.into()) != swap.seen {
            return Err(StoreError::Conflict(slot.versioned(self.renewed_at)?));
        }
        let before = (slot.write.streams(), slot.bytes.len());
        let number = write(slot.write.number(), &bytes)?;
        slot.write = LastWrite::new(number, swap.next);
        let streams = slot.write.streams();
        if bytes.is_empty() {
            self.removed.fetch_max(number, Ordering::Relaxed);
            shard.remove(swap.at);
        } else {
            slot.version = version;
            slot.due_at = due_at(swap.next);
            slot.keep(&bytes);
        }
        shard.count(Some(before), streams, bytes.len());
        Ok(number)
    }

    fn swap_absent(
        &self,
        shard: &mut Shard,
        version: u32,
        swap: Swap<'_>,
        bytes: &[u8],
        write: impl FnOnce(u64, &[u8]) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        if swap.seen != Version::ABSENT {
            return Err(StoreError::Conflict(Versioned::absent()));
        }
        let number = write(self.removed.load(Ordering::Relaxed), bytes)?;
        if !bytes.is_empty() {
            let write = LastWrite::new(number, swap.next);
            shard.count(None, write.streams(), bytes.len());
            shard.insert(Slot {
                at: swap.at,
                write,
                version,
                due_at: due_at(swap.next),
                bytes: bytes.into(),
            });
        }
        Ok(number)
    }

    /// Takes in a record as it was found on disk, in the place of an older one; no bytes at all
    /// take the older one away.
    pub(crate) fn restore(&self, at: Locator, number: u64, record: &Record, bytes: &[u8]) {
        let shard = &mut *self.shard(at).lock();
        let write = LastWrite::new(number, record);
        let version = shard.next_version();
        let before;
        if let Some(slot) = shard.find_mut(at) {
            before = Some((slot.write.streams(), slot.bytes.len()));
            if bytes.is_empty() {
                shard.remove(at);
            } else {
                slot.write = write;
                slot.due_at = due_at(record);
                slot.keep(bytes);
            }
        } else {
            before = None;
            if !bytes.is_empty() {
                shard.insert(Slot {
                    at,
                    write,
                    version,
                    due_at: due_at(record),
                    bytes: bytes.into(),
                });
            }
        }
        shard.count(before, write.streams(), bytes.len());
    }

    /// Takes in what is on disk, a part of the table on each core: `read` is called with the
    /// number of each part, and shows it every write, oldest first.
    pub(crate) fn restore_all<E: From<DecodeError> + Send>(
        &self,
        read: impl Fn(usize, &mut dyn FnMut(Locator, u64, &[u8]) -> Result<(), E>) -> Result<(), E>
        + Sync,
    ) -> Result<(), E> {
        let parts = std::thread::available_parallelism().map_or(1, usize::from);
        let part_of = |at| shard_of(at) * parts / SHARDS;
        let restore = |part| {
            read(part, &mut |at, number, bytes| {
                if part_of(at) == part {
                    let record = decode(bytes, self.renewed_at)?;
                    self.restore(at, number, &record, bytes);
                }
                Ok(())
            })
        };
        std::thread::scope(|scope| {
            let restore = &restore;
            let parts: Vec<_> = (0..parts)
                .map(|part| scope.spawn(move || restore(part)))
                .collect();
            parts.into_iter().try_for_each(|part| {
                part.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }

    /// Shows every record with the number of its last durable write, a shard at a time, and
    /// locks none meanwhile.
    pub(crate) fn each<E>(
        &self,
        mut show: impl FnMut(Locator, u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for shard in &self.shards {
            let records: Vec<_> = shard
                .lock()
                .slots
                .iter()
                .map(|slot| (slot.at, slot.write.number(), slot.bytes.clone()))
                .collect();
            records
                .into_iter()
                .try_for_each(|(at, number, bytes)| show(at, number, &bytes))?;
        }
        Ok(())
    }

    /// Shows a record if its last durable write has this number.
    pub(crate) fn show_if_written(&self, at: Locator, number: u64, show: impl FnOnce(&[u8])) {
        let shard = self.shard(at).lock();
        if let Some(slot) = shard.find(at)
            && slot.write.number() == number
        {
            show(&slot.bytes);
        }
    }

    pub(crate) fn due(&self, now: Timestamp) -> Vec<Locator> {
        let mut due = Vec::new();
        for _ in 0..SHARDS_PER_SWEEP {
            let index = self.sweep_at.fetch_add(1, Ordering::Relaxed) % SHARDS;
            let shard = self.shards[index].lock();
            due.extend(
                shard
                    .slots
                    .iter()
                    .filter(|slot| u64::from(slot.due_at) * 1000 <= now.as_millis())
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
        self.shards.iter().map(|shard| shard.lock().streams).sum()
    }

    /// How many records there are, and how many bytes they have together.
    pub(crate) fn records_and_bytes(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(records, bytes), shard| {
            let shard = shard.lock();
            (records + shard.slots.len() as usize, bytes + shard.bytes)
        })
    }

    fn shard(&self, at: Locator) -> &Mutex<Shard> {
        &self.shards[shard_of(at)]
    }
}

/// The record behind `bytes`, its leases renewed.
fn decode(bytes: &[u8], renewed_at: Timestamp) -> Result<Record, DecodeError> {
    let mut record = Record::decode(bytes)?;
    record.renew_all(renewed_at);
    Ok(record)
}

fn shard_of(at: Locator) -> usize {
    let low = at.bits() % SHARDS as u64;
    #[expect(clippy::cast_possible_truncation, reason = "it is less than SHARDS")]
    let low = low as usize;
    low
}

/// The locator is a hash already, keyed with a secret: what the shard did not use of it goes to
/// the low bits and, for the table's tags, to the highest seven.
fn hash(at: Locator) -> u64 {
    let rest = at.bits() >> SHARD_BITS;
    let rest_bits = 60 - SHARD_BITS;
    rest | rest >> (rest_bits - 7) << 57
}

fn due_at(record: &Record) -> u32 {
    let due_at = record.due_at().map(|at| at.as_millis().div_ceil(1000));
    due_at.map_or(u32::MAX, |seconds| {
        u32::try_from(seconds).unwrap_or(u32::MAX)
    })
}
