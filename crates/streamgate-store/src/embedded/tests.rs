//! The embedded store under faults: power failures on a simulated disk, real directories in
//! every state, and callers that come and go.

mod damage;
mod directory;
mod failing;
mod foreign;
mod format;
mod log;
mod power_failures;
mod restart;
mod sim_disk;
mod stress;
mod trial;
mod waiting;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use streamgate_core::{Locator, Record, Timestamp};

use super::queue::Queue;
use super::{EmbeddedStore, OpenError, Opened};
use crate::conformance::{at, number_in, record_of};
use crate::table::Table;
use crate::{LeaseStore, Swap, Write};

const JOURNAL: &str = "streams.redb";

/// A store whose disk is the test: it takes the batches and says when they are durable.
fn without_disk() -> EmbeddedStore {
    EmbeddedStore {
        table: Arc::new(Table::new(Timestamp::default())),
        queue: Arc::new(Queue::after(0)),
        committer: Mutex::new(None),
    }
}

/// What must come within 5 s.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    let deadline = Duration::from_secs(5);
    let came = tokio::time::timeout(deadline, what).await;
    came.expect("it comes within 5 s")
}

fn open(dir: &Path) -> Result<Opened, OpenError> {
    EmbeddedStore::open(dir, None)
}

/// Why a directory is not opened.
#[track_caller]
fn refusal(dir: &Path) -> OpenError {
    match open(dir) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

fn journal_bytes(dir: &Path) -> Vec<u8> {
    fs::read(dir.join(JOURNAL)).unwrap()
}

fn millis(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// Swaps a record in, whatever is there.
async fn put(store: &dyn LeaseStore, place: u64, next: &Record, write: Write, now: Timestamp) {
    let at: Locator = at(place);
    let seen = store.load(at).await.unwrap().version;
    let swap = Swap {
        ended: 0,
        at,
        seen,
        next,
        write,
        now,
    };
    store.swap(swap).await.unwrap();
}

/// The numbers that [`record_of`] put at the places 0 to `end`.
async fn numbers(store: &dyn LeaseStore, end: u64) -> BTreeMap<u64, u64> {
    let mut numbers = BTreeMap::new();
    for place in 0..end {
        let record = store.load(at(place)).await.unwrap().record;
        numbers.insert(place, number_in(&record));
    }
    numbers
}
