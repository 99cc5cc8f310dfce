//! The data directories of every version that was released open with this one. The fixture is
//! made once for each format and never again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use streamgate_core::{
    ContentId, Device, DeviceText, Heartbeat, Locator, LocatorKey, Playback, Policy, Record, Start,
    StreamId, Target, Terms, Timestamp, WallTime, Which,
};

use super::{EmbeddedStore, JOURNAL, LeaseStore, Opened, Write, at, millis, open, put};
use crate::conformance::{a_start, id, policy, user};

const KEY: LocatorKey = LocatorKey::from_bytes(*b"key of a fixture");
const WATERMARK: Timestamp = Timestamp::from_millis(1_000_000);

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1.redb")
}

#[tokio::test]
async fn a_data_directory_of_format_1_opens() {
    if !fixture().exists() {
        make_fixture().await;
        panic!(
            "{} was not there; it is now, commit it",
            fixture().display()
        );
    }
    let dir = tempfile::tempdir().unwrap();
    fs::copy(fixture(), dir.path().join(JOURNAL)).unwrap();
    let Opened {
        store,
        key,
        watermark,
        records,
        streams,
        was_closed,
    } = open(dir.path()).unwrap();
    assert!(key == KEY);
    assert_eq!(watermark, WATERMARK);
    assert_eq!((records, streams), (3, 6));
    assert!(was_closed);
    for (place, mut expected) in contents() {
        expected.renew_all(WATERMARK);
        let found = store.load(at(place)).await.unwrap().record;
        assert_eq!(found, expected, "the record at {place}");
    }
}

async fn make_fixture() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), Some(KEY)).unwrap().store;
    for (place, record) in contents() {
        put(&store, place, &record, Write::Durable, millis(0)).await;
    }
    store.close(WATERMARK).await.unwrap();
    drop(store);
    fs::create_dir_all(fixture().parent().unwrap()).unwrap();
    fs::copy(dir.path().join(JOURNAL), fixture()).unwrap();
}

/// A record with everything in it that a record can have, an ordinary one, and one that two
/// users share.
fn contents() -> [(u64, Record); 3] {
    [
        (0, everything()),
        (1 << 59, started(&[("user", "stream")])),
        (
            (1 << 60) - 1,
            started(&[("user", "stream"), ("other", "stream")]),
        ),
    ]
}

fn started(streams: &[(&str, &str)]) -> Record {
    let mut record = Record::default();
    for (user, stream) in streams {
        record.start(&a_start(user, stream), &policy(90), WATERMARK);
    }
    record
}

fn everything() -> Record {
    let now = millis(900_000);
    let mut record = Record::default();
    for stream in ["stopped", "evicted", "replaced"] {
        record.start(&a_start("user", stream), &policy(90), now);
    }
    let user = user("user");
    let stopped = id("stopped");
    let target = |id| Target {
        user: Some(&user),
        id,
    };
    record.stop(target(&stopped), now);
    record.evict(&user, Which::One(&id("evicted")), now);
    record.start(&full(), &without_heartbeats(), now);
    record.start(&a_start("user", "expired"), &policy(10), now);
    let later = millis(950_000);
    record.start(&a_start("user", "paused"), &policy(90), later);
    let pause = Heartbeat {
        playback: Some(Playback::Paused),
        content: ContentId::parse("another film").ok(),
    };
    record.heartbeat(target(&id("paused")), &pause, policy(90).terms, later);
    record.start(&a_start("user", "third"), &policy(90), later);
    record
}

/// A start of a minted id with every field, which replaces a stream.
fn full() -> Start {
    let text = |text| DeviceText::parse(text).ok();
    Start {
        id: StreamId::mint(Locator::from_bits(0), 0x1234_5678),
        device: Device {
            id: text("tv-9"),
            name: text("Wohnzimmer 📺"),
            kind: text("tv"),
        },
        content: ContentId::parse("film").ok(),
        replace: vec![id("replaced")],
        started_at: WallTime::from_millis(1_795_000_000_000),
        ..a_start("user", "x")
    }
}

fn without_heartbeats() -> Policy {
    Policy {
        terms: Terms {
            lease: Duration::from_secs(4 * 3600),
            heartbeat: None,
            renew_after: Duration::ZERO,
        },
        ..policy(90)
    }
}
