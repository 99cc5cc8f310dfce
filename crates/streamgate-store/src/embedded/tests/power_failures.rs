//! The journal loses power again and again, on one disk after the other, inside commits, inside
//! recoveries, inside its own creation: what was acknowledged is there, a batch is there whole
//! or not at all, and the file always opens.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use redb::StorageBackend;
use streamgate_core::{LocatorKey, Record, Timestamp};

use super::sim_disk::{SimDisk, Sync};
use crate::conformance::{Random, at};
use crate::embedded::entry::{Batch, Op};
use crate::embedded::journal::{Journal, JournalError};
use crate::table::Table;

/// On two threads.
const FAILURES: u64 = 100_000;
/// After so many power failures the next disk is taken.
const FAILURES_PER_DISK: u64 = 100;
/// A life ends at the latest after so many changes of the disk.
const CHANGES_MAX: u64 = 60;
const PLACES: u64 = 60;
/// So long a log that every commit takes old entries away.
const EVERY_COMMIT_CLEANS: usize = 1 << 40;

const KEY: LocatorKey = LocatorKey::from_bytes([7; 16]);

#[test]
fn of_100_000_power_failures_none_loses_what_was_acknowledged() {
    let began = tokio::time::Instant::now();
    let tally = on_two_threads(FAILURES / FAILURES_PER_DISK, |seed| {
        let mut life = Life::new(seed, Sync::Honest);
        while life.tally.failures < FAILURES_PER_DISK {
            if let Err(what) = life.next() {
                panic!("seed {seed}, failure {}: {what}", life.tally.failures);
            }
        }
        life.tally
    });
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{tally:?} in {seconds:.1} s, {:.0} failures/s",
        tally.failures as f64 / seconds
    );
    assert!(FAILURES <= tally.failures);
    for (count, what) in [
        (tally.in_creation, "in the creation of the file"),
        (tally.in_recovery, "in a recovery"),
        (tally.in_commit, "in a commit"),
        (tally.at_rest, "with nothing under way"),
        (
            tally.kept_in_flight,
            "that kept a batch that was never acknowledged",
        ),
        (
            tally.lost_in_flight,
            "that took a batch back that was never acknowledged",
        ),
        (tally.closed, "after the file was closed in order"),
        (tally.cleaned, "with old entries taken away"),
    ] {
        assert!(100 < count, "only {count} power failures {what}");
    }
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    let tally = on_two_threads(40, |seed| {
        let mut life = Life::new(seed, Sync::Honest);
        let mut tally = Tally::default();
        while life.tally.failures < 20 {
            // The file itself was made well, so that what is found out is a lost commit.
            if life.image.is_some() {
                life.sync = Sync::Lies;
            }
            if life.next().is_err() {
                tally.found_out += 1;
                break;
            }
        }
        tally += life.tally;
        tally
    });
    println!("lying disk: {tally:?}");
    assert!(
        0 < tally.found_out,
        "nothing was lost, so the test sees no loss"
    );
}

fn on_two_threads(disks: u64, play: impl Fn(u64) -> Tally + std::marker::Sync) -> Tally {
    let half = |odd: u64| {
        let mut sum = Tally::default();
        (0..disks)
            .filter(|seed| seed % 2 == odd)
            .for_each(|seed| sum += play(seed));
        sum
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut sum = half(0);
        sum += other.join().unwrap();
        sum
    })
}

#[derive(Debug, Default)]
struct Tally {
    failures: u64,
    acknowledged: u64,
    in_creation: u64,
    in_recovery: u64,
    in_commit: u64,
    at_rest: u64,
    kept_in_flight: u64,
    lost_in_flight: u64,
    closed: u64,
    cleaned: u64,
    found_out: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.failures += other.failures;
        self.acknowledged += other.acknowledged;
        self.in_creation += other.in_creation;
        self.in_recovery += other.in_recovery;
        self.in_commit += other.in_commit;
        self.at_rest += other.at_rest;
        self.kept_in_flight += other.kept_in_flight;
        self.lost_in_flight += other.lost_in_flight;
        self.closed += other.closed;
        self.cleaned += other.cleaned;
        self.found_out += other.found_out;
    }
}

/// What the file says, as far as anybody relies on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    records: BTreeMap<u64, Vec<u8>>,
    watermark: Timestamp,
    was_closed: bool,
}

/// A journal as it was read.
struct Found {
    content: Content,
    table: Table,
    /// The numbers of the oldest write that is still there, and of the last.
    first: u64,
    last: u64,
}

impl Found {
    fn of(journal: &Journal) -> Result<Self, String> {
        let header = journal.header();
        if header.key != KEY {
            return Err("the locator key is another".into());
        }
        let mut found = Self {
            content: Content {
                watermark: header.watermark,
                was_closed: header.was_closed,
                ..Content::default()
            },
            table: Table::new(Timestamp::default()),
            first: u64::MAX,
            last: 0,
        };
        let read = journal.each(|op| {
            found.content.put(op);
            found
                .table
                .restore(op.at, op.number, &Record::default(), op.bytes);
            found.first = found.first.min(op.number);
            found.last = found.last.max(op.number);
            Ok::<(), JournalError>(())
        });
        read.map_err(|error| format!("what is there can't be read: {error}"))?;
        Ok(found)
    }
}

impl Content {
    fn put(&mut self, op: Op<'_>) {
        if op.bytes.is_empty() {
            self.records.remove(&op.at.bits());
        } else {
            self.records.insert(op.at.bits(), op.bytes.to_vec());
        }
    }
}

/// One disk, from one power failure to the next.
struct Life {
    random: Random,
    sync: Sync,
    /// The file, once it has its name; before that, nobody looks at what was left of it.
    image: Option<Vec<u8>>,
    /// What was acknowledged last.
    acknowledged: Content,
    /// What was being written at the power failure.
    in_flight: Option<Content>,
    /// The number of the last write.
    last: u64,
    tally: Tally,
}

impl Life {
    fn new(seed: u64, sync: Sync) -> Self {
        Self {
            random: Random(seed),
            sync,
            image: None,
            acknowledged: Content::default(),
            in_flight: None,
            last: 0,
            tally: Tally::default(),
        }
    }

    /// Lives until the power fails.
    fn next(&mut self) -> Result<(), String> {
        let changes = 1 + self.random.below(CHANGES_MAX);
        let image = self.image.clone().unwrap_or_default();
        let disk = SimDisk::new(image, self.sync, changes);
        let is_placed = self.image.is_some();
        let opened = if is_placed {
            self.inspect(&disk)?;
            Journal::open(disk.clone(), EVERY_COMMIT_CLEANS)
        } else {
            Journal::create(disk.clone(), &KEY, Timestamp::default())
        };
        match opened {
            Ok(mut journal) if is_placed => {
                let found = Found::of(&journal)?;
                self.check(found.content)?;
                self.tally.cleaned += u64::from(1 < found.first && found.first < u64::MAX);
                self.last = found.last;
                self.work(&mut journal, &found.table, &disk);
            }
            // It gets its name when it is complete, closed and synced.
            Ok(journal) => {
                drop(journal);
                self.acknowledged.was_closed = true;
                if disk.sync_data().is_ok() {
                    self.image = Some(disk.after_power_failure(&mut self.random));
                    return Ok(());
                }
                self.tally.in_creation += 1;
            }
            Err(_) if disk.is_dead() && is_placed => self.tally.in_recovery += 1,
            Err(_) if disk.is_dead() => self.tally.in_creation += 1,
            Err(error) => return Err(format!("it does not open: {error}")),
        }
        self.tally.failures += 1;
        if is_placed {
            self.image = Some(disk.after_power_failure(&mut self.random));
        }
        Ok(())
    }

    /// Looks at what is there before it is opened, as the store does. On an honest disk each
    /// tenth time, since it takes as long as all the rest.
    fn inspect(&mut self, disk: &SimDisk) -> Result<(), String> {
        if self.sync == Sync::Honest && !self.random.once_in(10) {
            return Ok(());
        }
        let found =
            Journal::inspect(disk.copy()).map_err(|error| format!("it is refused: {error}"))?;
        self.check(Found::of(&found)?.content)
    }

    /// What is there is what was acknowledged, or that and what was being written.
    fn check(&mut self, found: Content) -> Result<(), String> {
        self.tally.closed += u64::from(found.was_closed);
        match self.in_flight.take() {
            Some(in_flight) if found == in_flight => {
                self.tally.kept_in_flight += u64::from(found != self.acknowledged);
                self.acknowledged = found;
            }
            Some(_) if found == self.acknowledged => self.tally.lost_in_flight += 1,
            None if found == self.acknowledged => {}
            in_flight => {
                return Err(format!(
                    "found {found:?}, acknowledged {:?}, in flight {in_flight:?}",
                    self.acknowledged
                ));
            }
        }
        Ok(())
    }

    /// Works as the committer does, until it has had enough or the power fails.
    fn work(&mut self, journal: &mut Journal, table: &Table, disk: &SimDisk) {
        let mut next = self.acknowledged.clone();
        next.was_closed = false;
        let began = self.write(next, || journal.begin().is_ok());
        let batches = self.random.below(6);
        let mut went_on = began;
        for _ in 0..batches {
            went_on = went_on && self.commit(journal, table);
        }
        if went_on && self.random.once_in(4) {
            let mut next = self.acknowledged.clone();
            next.watermark = next.watermark.plus(std::time::Duration::from_millis(1));
            next.was_closed = true;
            let now = next.watermark;
            went_on = self.write(next, || journal.finish(now).is_ok());
        }
        if !went_on {
            assert!(disk.is_dead(), "a write failed with the power on");
            self.tally.in_commit += 1;
        } else if self.random.once_in(2) {
            disk.cut();
            self.tally.at_rest += 1;
        }
    }

    /// Commits a random batch; false when the power failed meanwhile.
    fn commit(&mut self, journal: &mut Journal, table: &Table) -> bool {
        let mut next = self.acknowledged.clone();
        let elapsed = self.random.below(1_000);
        next.watermark = next
            .watermark
            .plus(std::time::Duration::from_millis(elapsed));
        let mut batch = Batch::default();
        for _ in 0..1 + self.random.below(12) {
            let (place, bytes) = (at(self.random.below(PLACES)), self.bytes());
            self.last += 1;
            let op = Op {
                number: self.last,
                at: place,
                bytes: &bytes,
            };
            next.put(op);
            table.restore(place, self.last, &Record::default(), &bytes);
            batch.push(op);
        }
        let (watermark, writes) = (next.watermark, batch.len() as u64);
        let is_done = self.write(next, || journal.commit(batch, watermark, table).is_ok());
        if is_done {
            self.tally.acknowledged += writes;
        }
        is_done
    }

    fn write(&mut self, next: Content, act: impl FnOnce() -> bool) -> bool {
        let is_done = act();
        if is_done {
            self.acknowledged = next;
        } else {
            self.in_flight = Some(next);
        }
        is_done
    }

    /// A record, or none.
    fn bytes(&mut self) -> Vec<u8> {
        let length = match self.random.below(16) {
            0..4 => 0,
            4..15 => self.random.below(300),
            _ => self.random.below(9_000),
        };
        let fill = self.random.next().to_le_bytes()[0];
        (0..length).map(|_| fill).collect()
    }
}
