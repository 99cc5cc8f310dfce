//! What becomes of a stream that its player can prove and nobody knows.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::{TERMS, a_start, at, id, policy, user};
use crate::*;

fn claim(name: &str, device: &str, started_at: u64, admitted: Admitted) -> Claim {
    Claim {
        user: user("ann"),
        id: id(name),
        device: Device {
            id: DeviceText::parse(device).ok(),
            ..Device::default()
        },
        started_at: WallTime::from_millis(started_at),
        limit: Limit::new(2).unwrap(),
        admitted,
    }
}

/// Starts streams, each with the second at which it starts as its time on the wall, and then
/// readmits one at second 60 without a word from the others. What it comes to, and who is live.
#[track_caller]
fn check(starts: &[(&str, &str, u64)], claim: &Claim, now: &str, expected: &str) {
    let mut record = Record::default();
    for (name, device, second) in starts {
        let mut start = a_start("ann", name);
        start.device.id = DeviceText::parse(device).ok();
        start.started_at = WallTime::from_millis(*second);
        record.start(
            &start,
            &policy(2, TERMS),
            Timestamp::from_millis(second * 1000),
        );
    }
    let beat = record.readmit(claim, &Heartbeat::default(), TERMS, at(now));
    let live = |record: &Record| {
        let streams = record.streams(&user("ann"), at(now)).0;
        let names: Vec<_> = streams
            .iter()
            .map(|it| it.id.text(&mut [0; StreamId::MINTED_LEN]).to_string())
            .collect();
        names.join(" ")
    };
    let said = match beat {
        Readmitted::Entered { place, replaced } => {
            let replaced: Vec<_> = replaced
                .iter()
                .map(|it| it.text(&mut [0; StreamId::MINTED_LEN]).to_string())
                .collect();
            assert_eq!(place.stream.lease.expires_at(), at(now).plus(TERMS.lease));
            format!(
                "in for {}, {} of {}",
                replaced.join(" "),
                place.active,
                place.limit
            )
        }
        Readmitted::Denied(denial) => format!("no, {} in the way", denial.holders.len()),
        Readmitted::Known(Beat::Over(over)) => format!("{over:?}"),
        Readmitted::Known(other) => format!("{other:?}"),
    };
    assert_eq!(format!("{said} | {}", live(&record)), expected);
}

const LOST: Admitted = Admitted::ByStore;
const PROVISIONAL: Admitted = Admitted::Provisionally;

#[test]
fn a_lost_stream_has_its_place_again_where_it_stood() {
    check(&[], &claim("a", "tv", 1, LOST), "20", "in for , 1 of 2 | a");
    let younger = [("b", "phone", 10)];
    check(
        &younger,
        &claim("a", "tv", 1, LOST),
        "20",
        "in for , 2 of 2 | a b",
    );
    let older = [("b", "phone", 1)];
    check(
        &older,
        &claim("a", "tv", 10, LOST),
        "20",
        "in for , 2 of 2 | b a",
    );
}

#[test]
fn the_oldest_go_first_and_the_limit_holds() {
    let two = [("b", "phone", 5), ("c", "web", 10)];
    check(
        &two,
        &claim("a", "tv", 7, LOST),
        "20",
        "in for c, 2 of 2 | b a",
    );
    check(
        &two,
        &claim("a", "tv", 1, LOST),
        "20",
        "in for c, 2 of 2 | a b",
    );
    check(
        &two,
        &claim("a", "tv", 11, LOST),
        "20",
        "no, 2 in the way | b c",
    );
}

#[test]
fn one_that_was_admitted_provisionally_gets_what_is_free() {
    let two = [("b", "phone", 5), ("c", "web", 10)];
    check(
        &[],
        &claim("a", "tv", 1, PROVISIONAL),
        "20",
        "in for , 1 of 2 | a",
    );
    check(
        &two,
        &claim("a", "tv", 7, PROVISIONAL),
        "20",
        "no, 2 in the way | b c",
    );
    // Silent for longer than 1.5 heartbeats: whoever needs the place has it.
    check(
        &two,
        &claim("a", "tv", 7, PROVISIONAL),
        "36",
        "in for b, 2 of 2 | a c",
    );
}

#[test]
fn a_device_has_one_stream_the_one_that_it_started_last() {
    let newer = [("b", "tv", 5)];
    check(
        &newer,
        &claim("a", "tv", 1, LOST),
        "20",
        "Replaced { by: StreamId(Chosen(\"b\")) } | b",
    );
    check(
        &newer,
        &claim("a", "tv", 9, LOST),
        "20",
        "in for b, 1 of 2 | a",
    );
}

#[test]
fn what_is_known_of_a_stream_decides_and_not_what_it_can_prove() {
    let mut record = Record::default();
    record.start(&a_start("ann", "a"), &policy(2, TERMS), at("0"));
    let claim = claim("a", "tv", 1, LOST);
    let target = Target {
        user: Some(&claim.user),
        id: &claim.id,
    };
    record.stop(target, at("1"));
    let beat = record.readmit(&claim, &Heartbeat::default(), TERMS, at("2"));
    assert_eq!(beat, Readmitted::Known(Beat::Over(Over::Stopped)));
    // Also if the store lost the stream before it was stopped.
    let mut record = Record::default();
    record.stop(target, at("1"));
    let beat = record.readmit(&claim, &Heartbeat::default(), TERMS, at("600.999"));
    assert_eq!(beat, Readmitted::Known(Beat::Over(Over::Stopped)));
}

#[test]
fn a_fresh_lease_is_left_as_it_is_and_silence_is_forgiven_for_as_much_longer() {
    let terms = Terms {
        renew_after: Duration::from_secs(30),
        ..TERMS
    };
    let policy = Policy {
        limit: Limit::new(1).unwrap(),
        terms,
    };
    let mut record = Record::default();
    record.start(&a_start("ann", "a"), &policy, at("0"));
    let (ann, a) = (user("ann"), id("a"));
    let target = Target {
        user: Some(&ann),
        id: &a,
    };
    let mut beat = |beat: Heartbeat, now| record.heartbeat(target, &beat, terms, at(now));
    let still = Heartbeat::default();
    let paused = Heartbeat {
        playback: Some(Playback::Paused),
        content: None,
    };
    assert!(matches!(beat(still.clone(), "20"), Beat::Fresh(_)));
    assert!(matches!(beat(still.clone(), "29.999"), Beat::Fresh(_)));
    assert!(matches!(beat(still.clone(), "30"), Beat::Renewed(_)));
    assert!(
        matches!(beat(paused.clone(), "40"), Beat::Renewed(_)),
        "it is news"
    );
    assert!(matches!(beat(paused, "69.999"), Beat::Fresh(_)));
    // Heard at 40: suspect after 1.5 heartbeats and the 30 s for which none need be written.
    let start = |record: &mut Record, now| record.start(&a_start("ann", "b"), &policy, at(now));
    assert!(matches!(start(&mut record, "100"), Started::Denied(_)));
    assert!(matches!(
        start(&mut record, "100.001"),
        Started::Admitted { .. }
    ));
}
