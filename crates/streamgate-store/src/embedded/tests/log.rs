//! The log stays within its bounds, and what is still true outlives the entries that said it.

use std::collections::BTreeMap;

use redb::backends::InMemoryBackend;
use streamgate_core::{LocatorKey, Record};

use super::millis;
use crate::conformance::{Random, at};
use crate::embedded::entry::{self, Batch, EntryError, Op, bytes_of};
use crate::embedded::journal::{Journal, JournalError};
use crate::table::Table;

const SLACK_BYTES: usize = 10_000;
/// What one commit of these tests may write, and how much it may overshoot before it cleans.
const OVERSHOOT_BYTES: usize = 80_000;

/// A journal and the table that goes with it.
struct World {
    journal: Journal,
    table: Table,
    last: u64,
}

impl World {
    fn new() -> Self {
        let key = LocatorKey::from_bytes([1; 16]);
        let backend = InMemoryBackend::new();
        let mut journal = Journal::create(backend, &key, millis(0)).unwrap();
        journal.slack_bytes = SLACK_BYTES;
        Self {
            journal,
            table: Table::new(millis(0)),
            last: 0,
        }
    }

    fn commit(&mut self, writes: &[(u64, Vec<u8>)]) {
        let mut batch = Batch::default();
        for (place, bytes) in writes {
            self.last += 1;
            let (number, at) = (self.last, at(*place));
            self.table.restore(at, number, &Record::default(), bytes);
            batch.push(Op { number, at, bytes });
        }
        let done = self.journal.commit(batch, millis(self.last), &self.table);
        done.unwrap();
    }

    /// What the log comes to, and how many bytes it has.
    fn read(&self) -> (BTreeMap<u64, Vec<u8>>, usize) {
        let mut records = BTreeMap::new();
        let read = self.journal.each(|op| {
            if op.bytes.is_empty() {
                records.remove(&op.at.bits());
            } else {
                records.insert(op.at.bits(), op.bytes.to_vec());
            }
            Ok::<(), JournalError>(())
        });
        (records, read.unwrap())
    }
}

#[test]
fn churn_leaves_at_most_twice_what_is_true_and_all_of_it() {
    let mut world = World::new();
    let mut random = Random(11);
    let mut expected = BTreeMap::new();
    let mut written = 0;
    for round in 0..3_000_u32 {
        // Some records are written once and never again: the log must carry them on.
        let places = if round < 100 { 0..1_000 } else { 0..500 };
        let writes: Vec<_> = (0..10)
            .map(|_| {
                let length = if random.once_in(4) {
                    0
                } else {
                    usize::try_from(50 + random.below(100)).expect("it is less than 150")
                };
                let place = random.below(places.end);
                (place, vec![round.to_le_bytes()[0]; length])
            })
            .collect();
        for (place, bytes) in &writes {
            written += bytes.len();
            if bytes.is_empty() {
                expected.remove(place);
            } else {
                expected.insert(*place, bytes.clone());
            }
        }
        world.commit(&writes);
        if round % 100 == 0 {
            let (records, log_bytes) = world.read();
            assert!(records == expected, "round {round}: other records");
            let true_bytes = expected.values().map(Vec::len).sum();
            let bytes_max = 2 * bytes_of(expected.len(), true_bytes);
            let bytes_max = bytes_max + SLACK_BYTES + OVERSHOOT_BYTES;
            assert!(log_bytes <= bytes_max, "round {round}: {log_bytes} bytes");
        }
    }
    assert!(
        10 * OVERSHOOT_BYTES < written,
        "too little to need cleaning"
    );
    assert!(expected.keys().any(|place| 500 <= *place));
}

#[test]
fn a_heartbeat_since_the_write_is_carried_on_with_it() {
    let mut world = World::new();
    world.commit(&[(1, vec![1; 100])]);
    world.table.restore(at(1), 1, &Record::default(), &[2; 100]);
    // Enough to take the first entry away.
    for _ in 0..10 {
        world.commit(&[(2, vec![3; 20_000])]);
    }
    let (records, _) = world.read();
    assert_eq!(records[&1], [2; 100]);
}

#[test]
fn an_entry_that_does_not_end_where_its_records_do_is_damaged() {
    let mut batch = Batch::default();
    for place in 1..4 {
        batch.push(Op {
            number: place,
            at: at(place),
            bytes: &[7; 30],
        });
    }
    let whole = batch.into_entries(millis(5)).next().unwrap();
    let read = |bytes: &[u8]| {
        let mut ops = 0;
        entry::read(bytes, |_| {
            ops += 1;
            Ok::<(), EntryError>(())
        })
        .map(|watermark| (watermark, ops))
        .ok()
    };
    let ends: Vec<usize> = (0..=whole.len())
        .filter(|end| read(&whole[..*end]).is_some())
        .collect();
    assert_eq!(
        ends,
        [8, 58, 108, 158],
        "after the watermark and each record"
    );
    assert_eq!(read(&whole), Some((millis(5), 3)));
}

#[test]
fn entries_are_cut_between_records_and_a_long_record_has_its_own() {
    let mut batch = Batch::default();
    let lengths = [30_000, 30_000, 30_000, 200_000, 10];
    for (number, length) in (1..).zip(lengths) {
        let bytes = vec![1; length];
        batch.push(Op {
            number,
            at: at(number),
            bytes: &bytes,
        });
    }
    let mut numbers = Vec::new();
    for entry in batch.into_entries(millis(0)) {
        let mut of_entry = Vec::new();
        entry::read(&entry, |op| {
            of_entry.push(op.number);
            Ok::<(), EntryError>(())
        })
        .unwrap();
        numbers.push(of_entry);
    }
    assert_eq!(numbers, [vec![1, 2], vec![3], vec![4], vec![5]]);
}
