//! What the stores cost: heartbeats and the sweep in memory, durable writes and opening on disk.
//! Each record has one stream, and all names have 16 characters.
//!
//! The embedded store's directories are below `target`, which should be on a disk.

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use criterion::{BatchSize, Criterion, Throughput};
use streamgate_core::{
    Beat, ContentId, Device, DeviceText, Heartbeat, Limit, Locator, OnLimit, Policy, Record, Start,
    Started, StreamId, Target, Terms, Timestamp, UserId,
};
use streamgate_store::{EmbeddedStore, LeaseStore, MemoryStore, Swap, Version, Write};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// The allocator of the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STARTED: Timestamp = Timestamp::from_millis(1_000_000_000);
const HEARD: Timestamp = Timestamp::from_millis(1_000_020_000);
const TERMS: Terms = Terms {
    lease: Duration::from_secs(90),
    heartbeat: Some(Duration::from_secs(20)),
    renew_after: Duration::ZERO,
};

/// How many calls of [`LeaseStore::due`] go through the whole store.
const CALLS_PER_PASS: usize = 100;
/// How many callers fill a store: as many writes share a commit.
const FILLERS: usize = 1_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(30)
        .nresamples(10_000)
        .configure_from_args();
    let runtime = Runtime::new().expect("a runtime starts");
    heartbeats(&mut criterion, &runtime);
    sweep(&mut criterion, &runtime);
    durable_swaps(&mut criterion, &runtime);
    open(&mut criterion, &runtime);
    criterion.final_summary();
}

/// Load, renew, swap, one after another on one thread, in random order.
fn heartbeats(criterion: &mut Criterion, runtime: &Runtime) {
    for records in [1_000, 100_000, 1_000_000] {
        let store = LazyCell::new(|| memory(runtime, records));
        criterion.bench_function(&format!("memory: heartbeat, of records/{records}"), |b| {
            let store = LazyCell::force(&store);
            let mut seed = 0;
            b.to_async(runtime).iter(|| {
                seed += 1;
                heartbeat(store.as_ref(), scattered(seed) % records)
            });
        });
    }
}

/// A pass that finds nothing to expire, as most do.
fn sweep(criterion: &mut Criterion, runtime: &Runtime) {
    let records = 1_000_000;
    let store = LazyCell::new(|| memory(runtime, records));
    criterion.bench_function(
        &format!("memory: due, a full pass of records/{records}"),
        |b| {
            b.iter(|| {
                let due = || store.due(black_box(HEARD)).len();
                (0..CALLS_PER_PASS).map(|_| due()).sum::<usize>()
            });
        },
    );
}

/// The time is that of one swap as its caller sees it; the throughput is that of all callers.
fn durable_swaps(criterion: &mut Criterion, runtime: &Runtime) {
    let dir = directory();
    let store = Arc::new(opened(&dir));
    let mut group = criterion.benchmark_group("embedded: durable swap, of callers");
    for callers in [1, 64, 256] {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(callers.to_string(), |b| {
            b.to_async(runtime)
                .iter_custom(|swaps| time_of_swaps(Arc::clone(&store), callers, swaps));
        });
    }
    group.finish();
}

/// Opens what an abandoned store left, as after a crash.
fn open(criterion: &mut Criterion, runtime: &Runtime) {
    let records = 100_000;
    let dir = LazyCell::new(|| {
        let dir = directory();
        let store: Arc<dyn LeaseStore> = Arc::new(opened(&dir));
        runtime.block_on(fill(store, records, Write::Durable));
        dir
    });
    criterion.bench_function(&format!("embedded: open, of records/{records}"), |b| {
        let open = || EmbeddedStore::open(dir.path(), None).expect("the directory is whole");
        b.iter_batched(|| (), |()| open(), BatchSize::PerIteration);
    });
}

async fn heartbeat(store: &dyn LeaseStore, number: u64) {
    let at = locator(number);
    let mut found = store.load(at).await.expect("the record is readable");
    let id = stream_id(number);
    let target = Target {
        user: None,
        id: &id,
    };
    let beat = found
        .record
        .heartbeat(target, &Heartbeat::default(), TERMS, HEARD);
    assert!(matches!(beat, Beat::Renewed(_)));
    let swap = Swap {
        ended: 0,
        at,
        seen: found.version,
        next: &found.record,
        write: Write::Soft,
        now: HEARD,
    };
    store.swap(swap).await.expect("nobody else writes");
}

/// How long it takes until each caller has written its own record so often.
async fn time_of_swaps(store: Arc<EmbeddedStore>, callers: u64, swaps: u64) -> Duration {
    let clock = WallTime;
    let start = clock.start();
    let mut working = JoinSet::new();
    for caller in 0..callers {
        let store = Arc::clone(&store);
        working.spawn(async move {
            let next = record(caller);
            for _ in 0..swaps {
                let seen = store.load(locator(caller)).await;
                let seen = seen.expect("the record is readable").version;
                put(store.as_ref(), caller, seen, &next, Write::Durable).await;
            }
        });
    }
    working.join_all().await;
    clock.end(start)
}

fn memory(runtime: &Runtime, records: u64) -> Arc<dyn LeaseStore> {
    let store: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
    runtime.block_on(fill(Arc::clone(&store), records, Write::Soft));
    store
}

async fn fill(store: Arc<dyn LeaseStore>, records: u64, write: Write) {
    let mut working = JoinSet::new();
    for first in (0..records).take(FILLERS) {
        let store = Arc::clone(&store);
        working.spawn(async move {
            for number in (first..records).step_by(FILLERS) {
                let next = record(number);
                put(store.as_ref(), number, Version::ABSENT, &next, write).await;
            }
        });
    }
    working.join_all().await;
}

async fn put(store: &dyn LeaseStore, number: u64, seen: Version, next: &Record, write: Write) {
    let swap = Swap {
        ended: 0,
        at: locator(number),
        seen,
        next,
        write,
        now: STARTED,
    };
    store.swap(swap).await.expect("nobody else writes");
}

fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory is made")
}

fn opened(dir: &TempDir) -> EmbeddedStore {
    let opened = EmbeddedStore::open(dir.path(), None);
    opened.expect("the directory is new").store
}

/// The record of the user with this number, with one live stream.
fn record(number: u64) -> Record {
    let device = |what| DeviceText::parse(&format!("{what}{number:010}")).expect("it is short");
    let request = Start {
        user: UserId::parse(&format!("user-{number:011}")).expect("it is short"),
        id: stream_id(number),
        device: Device {
            id: Some(device("device")),
            name: Some(device("screen")),
            kind: None,
        },
        content: Some(ContentId::parse(&format!("movie-{number:010}")).expect("it is short")),
        replace: Vec::new(),
        on_limit: OnLimit::Deny,
        started_at: streamgate_core::WallTime::from_millis(1_800_000_000_000),
    };
    let policy = Policy {
        limit: Limit::DEFAULT,
        terms: TERMS,
    };
    let mut record = Record::default();
    let started = record.start(&request, &policy, STARTED);
    assert!(matches!(started, Started::Admitted { .. }));
    record
}

fn stream_id(number: u64) -> StreamId {
    StreamId::mint(locator(number), number)
}

fn locator(number: u64) -> Locator {
    Locator::from_bits(scattered(number))
}

/// Another number for each number, as if by chance (SplitMix64; Steele, Lea and Flood, 2014).
fn scattered(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
