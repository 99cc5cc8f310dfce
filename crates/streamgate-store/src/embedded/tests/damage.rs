//! A file that was damaged is refused and left alone, or it has everything that was
//! acknowledged.

use std::collections::BTreeMap;
use std::fs;

use super::{JOURNAL, OpenError, Write, journal_bytes, millis, numbers, open, put, record_of};
use crate::LeaseStore;
use crate::conformance::Random;

const PLACES: u64 = 25;
const WRITES: u64 = 40;
/// What redb keeps in the first page: itself and two commits.
const HEADER_BYTES: usize = 320;

/// A journal with [`WRITES`] acknowledged writes in as many commits.
struct Journal {
    bytes: Vec<u8>,
    acknowledged: BTreeMap<u64, u64>,
    /// Without the last of the writes.
    taken_back: BTreeMap<u64, u64>,
}

impl Journal {
    async fn make(was_closed: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap().store;
        let (mut acknowledged, mut taken_back) = (numbers(&store, PLACES).await, BTreeMap::new());
        for n in 1..=WRITES {
            put(&store, n % PLACES, &record_of(n), Write::Durable, millis(n)).await;
            taken_back = acknowledged.clone();
            acknowledged.insert(n % PLACES, n);
        }
        if was_closed {
            store.close(millis(WRITES)).await.unwrap();
        }
        // Read while the store is open, it is what a crash leaves.
        Self {
            bytes: journal_bytes(dir.path()),
            acknowledged,
            taken_back,
        }
    }

    /// What becomes of a file with these bytes.
    async fn fate(&self, bytes: &[u8], what: &str) -> Fate {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(JOURNAL), bytes).unwrap();
        match open(dir.path()) {
            Ok(opened) => {
                let found = numbers(&opened.store, PLACES).await;
                if found == self.acknowledged {
                    Fate::Whole
                } else if found == self.taken_back && !opened.was_closed {
                    Fate::LastTakenBack
                } else {
                    panic!("{what}: opened with {found:?}")
                }
            }
            Err(error) => {
                assert!(
                    matches!(error, OpenError::Damaged { .. } | OpenError::Foreign { .. }),
                    "{what}: {error:?}"
                );
                assert!(
                    journal_bytes(dir.path()) == bytes,
                    "{what}: it was refused and written to"
                );
                Fate::Refused
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Whole,
    Refused,
    /// After a crash, damage in the pages of the last commit looks like a commit that the crash
    /// interrupted, and is taken back. [`super::Opened::was_closed`] says so.
    LastTakenBack,
}

/// Damages every page and every part of the header: 64 bytes of garbage at its start, and one
/// bit here and there.
async fn fates(journal: &Journal) -> BTreeMap<Fate, usize> {
    let mut random = Random(0);
    let mut fates = BTreeMap::new();
    let len = journal.bytes.len();
    let header = 0..HEADER_BYTES + 8;
    for offset in (0..len).step_by(4096).chain(header.clone()) {
        let mut garbage = journal.bytes.clone();
        for byte in &mut garbage[offset..offset + 64] {
            *byte = random.next().to_le_bytes()[0];
        }
        let what = format!("garbage at {offset}");
        *fates
            .entry(journal.fate(&garbage, &what).await)
            .or_default() += 1;
    }
    for offset in (0..len).step_by(224).chain(header) {
        let mut flipped = journal.bytes.clone();
        flipped[offset] ^= 1 << random.below(8);
        let what = format!("a flip at {offset}");
        *fates
            .entry(journal.fate(&flipped, &what).await)
            .or_default() += 1;
    }
    fates
}

#[tokio::test]
async fn a_closed_file_with_garbage_in_it_is_whole_or_refused() {
    let journal = Journal::make(true).await;
    let fates = fates(&journal).await;
    println!("closed: {fates:?}");
    assert!(100 < fates[&Fate::Refused], "{fates:?}");
    assert!(!fates.contains_key(&Fate::LastTakenBack), "{fates:?}");
}

#[tokio::test]
async fn a_crashed_file_with_garbage_in_it_is_whole_or_refused_but_for_its_last_commit() {
    let journal = Journal::make(false).await;
    let fates = fates(&journal).await;
    println!("crashed: {fates:?}");
    assert!(100 < fates[&Fate::Refused], "{fates:?}");
}

#[tokio::test]
async fn a_file_that_was_cut_off_or_padded_is_whole_or_refused() {
    for was_closed in [true, false] {
        let journal = Journal::make(was_closed).await;
        let len = journal.bytes.len();
        let lengths = (0..12)
            .chain((0..HEADER_BYTES).step_by(16))
            .chain((0..len + 8192).step_by(4096))
            .chain([1000, 4097, len - 1, len + 1]);
        for length in lengths {
            let mut bytes = journal.bytes.clone();
            bytes.resize(length, 0);
            let what = format!("closed {was_closed}, {length} of {len} bytes");
            let fate = journal.fate(&bytes, &what).await;
            if length < len / 2 {
                assert_eq!(fate, Fate::Refused, "{what}");
            }
        }
    }
}
