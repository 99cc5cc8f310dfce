//! What the rules cost: each operation on a record of one stream and on one of three, and what
//! every request does with an id. All names have 16 characters.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use streamgate_core::{
    Beat, ContentId, Device, DeviceText, Heartbeat, Limit, LocatorKey, OnLimit, Policy, Record,
    Start, Started, Stopped, StreamId, Target, Terms, Timestamp, UserId, WallTime,
};

/// The allocator of the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);
const TERMS: Terms = Terms {
    lease: Duration::from_secs(90),
    heartbeat: Some(Duration::from_secs(20)),
    renew_after: Duration::ZERO,
};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .nresamples(10_000)
        .configure_from_args();
    for streams in [1, 3] {
        codec(&mut criterion, streams);
        heartbeat_and_stop(&mut criterion, streams);
        start(&mut criterion, streams);
    }
    ids(&mut criterion);
    criterion.final_summary();
}

fn codec(criterion: &mut Criterion, streams: u8) {
    let record = record(streams);
    let bytes = record.encode();
    criterion.bench_function(&name("decode", streams), |b| {
        b.iter(|| Record::decode(black_box(&bytes)));
    });
    criterion.bench_function(&name("encode", streams), |b| {
        b.iter(|| black_box(&record).encode());
    });
}

fn heartbeat_and_stop(criterion: &mut Criterion, streams: u8) {
    let mut record = record(streams);
    let id = stream_id(streams - 1);
    let target = Target {
        user: None,
        id: &id,
    };
    let beat = Heartbeat::default();
    criterion.bench_function(&name("heartbeat", streams), |b| {
        b.iter(|| {
            let beat = record.heartbeat(black_box(target), &beat, TERMS, NOW);
            assert!(matches!(beat, Beat::Renewed(_)));
            beat
        });
    });
    criterion.bench_function(&name("stop", streams), |b| {
        b.iter_batched_ref(
            || record.clone(),
            |record| {
                let stopped = record.stop(black_box(target), NOW);
                assert!(matches!(stopped, Stopped::Ended(_)));
                stopped
            },
            BatchSize::SmallInput,
        );
    });
}

fn start(criterion: &mut Criterion, streams: u8) {
    let mut full = record(streams);
    let request = request(streams);
    let one_more = policy(streams + 1);
    criterion.bench_function(&name("start admitted", streams), |b| {
        b.iter_batched_ref(
            || full.clone(),
            |record| {
                let started = record.start(black_box(&request), &one_more, NOW);
                assert!(matches!(started, Started::Admitted { .. }));
                started
            },
            BatchSize::SmallInput,
        );
    });
    let no_more = policy(streams);
    criterion.bench_function(&name("start denied", streams), |b| {
        b.iter(|| {
            let started = full.start(black_box(&request), &no_more, NOW);
            assert!(matches!(started, Started::Denied(_)));
            started
        });
    });
}

fn ids(criterion: &mut Criterion) {
    let id = stream_id(0);
    let text = id.to_string();
    criterion.bench_function("StreamId::parse", |b| {
        b.iter(|| StreamId::parse(black_box(&text)));
    });
    let mut place = [0; StreamId::MINTED_LEN];
    criterion.bench_function("StreamId::text", |b| {
        b.iter(|| black_box(black_box(&id).text(&mut place)).len());
    });
    let user = user();
    criterion.bench_function("LocatorKey::locator", |b| {
        b.iter(|| key().locator(black_box(&user)));
    });
}

fn name(operation: &str, streams: u8) -> String {
    format!("{operation}/{streams}")
}

/// The user's record with so many live streams.
fn record(streams: u8) -> Record {
    let mut record = Record::default();
    for number in 0..streams {
        let started = record.start(&request(number), &policy(streams), NOW);
        assert!(matches!(started, Started::Admitted { .. }));
    }
    record
}

/// A start of the user's device with this number.
fn request(number: u8) -> Start {
    let device = |what| DeviceText::parse(&format!("{what}{number:010}")).expect("it is short");
    Start {
        user: user(),
        id: stream_id(number),
        device: Device {
            id: Some(device("device")),
            name: Some(device("screen")),
            kind: None,
        },
        content: Some(ContentId::parse(&format!("movie-{number:010}")).expect("it is short")),
        replace: Vec::new(),
        on_limit: OnLimit::Deny,
        started_at: WallTime::from_millis(1_800_000_000_000),
    }
}

fn user() -> UserId {
    UserId::parse("user-00000000001").expect("it is short")
}

fn stream_id(number: u8) -> StreamId {
    StreamId::mint(key().locator(&user()), u64::MAX / 256 * u64::from(number))
}

fn key() -> LocatorKey {
    LocatorKey::from_bytes(*b"a key of 16 byte")
}

fn policy(limit: u8) -> Policy {
    Policy {
        limit: Limit::new(limit).expect("it is between 1 and 64"),
        terms: TERMS,
    }
}
