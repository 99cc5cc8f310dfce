//! Records of every size that the rules allow.

use streamgate_core::{
    ContentId, Device, DeviceText, LIMIT_MAX, Limit, Policy, Record, Start, Started, StreamId,
    Timestamp, UserId, WallTime,
};

use super::{Trial, a_start, at, id, policy, user};
use crate::{Version, Write};

pub(super) async fn the_biggest_record_comes_back_as_it_was(trial: Trial) {
    let biggest = biggest();
    for (place, write) in [(1, Write::Soft), (2, Write::Durable)] {
        let version = trial.put(at(place), Version::ABSENT, &biggest, write).await;
        trial.put(at(place), version, &biggest, write).await;
    }
}

pub(super) async fn each_size_of_record_comes_back_as_it_was(trial: Trial) {
    let mut version = Version::ABSENT;
    for length in (1..=StreamId::BYTES_MAX).chain([1, 33, 2, 64]) {
        let mut record = Record::default();
        let request = a_start(&"u".repeat(length * 4), &"s".repeat(length));
        record.start(&request, &policy(90), Timestamp::default());
        version = trial.put(at(1), version, &record, Write::Soft).await;
    }
}

/// As many streams as a user may have, as many remembered endings that keep their stream, and
/// every field as long as it may be.
fn biggest() -> Record {
    let most = Policy {
        limit: Limit::new(LIMIT_MAX).expect("the highest limit"),
        ..policy(90)
    };
    let mut record = Record::default();
    // The first generation has expired when the second starts, and is remembered.
    for (generation, now) in [("first", 0), ("second", 90_000)] {
        for number in 0..LIMIT_MAX {
            let request = longest(generation, number);
            let started = record.start(&request, &most, Timestamp::from_millis(now));
            assert!(matches!(started, Started::Admitted { .. }), "{started:?}");
        }
    }
    let bytes = record.encode().len();
    assert!(
        128 * 750 < bytes,
        "{bytes} bytes are not the biggest record"
    );
    record
}

fn longest(generation: &str, number: u8) -> Start {
    let filled = |start: String, bytes| format!("{start:.<bytes$}");
    let wide = |four_bytes: char| DeviceText::parse(&four_bytes.to_string().repeat(32)).ok();
    Start {
        user: user(&"u".repeat(UserId::BYTES_MAX)),
        id: id(&filled(
            format!("{generation}{number}"),
            StreamId::BYTES_MAX,
        )),
        device: Device {
            // Another one each time, so that no start replaces an earlier stream.
            id: DeviceText::parse(&filled(
                format!("{generation}{number}"),
                DeviceText::BYTES_MAX,
            ))
            .ok(),
            name: wide('📺'),
            kind: wide('🖥'),
        },
        content: ContentId::parse(&"c".repeat(ContentId::BYTES_MAX)).ok(),
        started_at: WallTime::from_millis(u64::MAX),
        ..a_start("u", "s")
    }
}
