//! What the passing of time does.

use alloc::format;
use alloc::string::String;

use super::{TERMS, a_start, at, check, id, policy, seconds, user};
use crate::OnLimit::{Deny, ReplaceOldest};
use crate::*;

#[test]
fn a_silent_stream_gives_its_place_back_exactly_at_the_end_of_its_lease() {
    check(Deny, 1, "a@0 .@89.999", "0 expired | a");
    check(Deny, 1, "a@0 .@90", "1 expired | ");
    check(Deny, 1, "a@0 b@89.999", "new for a | b");
    check(Deny, 1, "a@0 b@90", "new | b");
    check(Deny, 3, "a@0 b@1 c@2 .@91", "2 expired | c");
    check(Deny, 3, "a@0 2:b@0 .@90", "2 expired | ");
}

#[test]
fn a_stream_is_suspect_only_after_one_and_a_half_heartbeats() {
    let mut record = Record::default();
    record.start(&a_start("1", "a"), &policy(1, TERMS), at("0"));
    let (streams, limit) = record.streams(&user("1"), at("0"));
    assert_eq!(limit, Limit::new(1));
    let state = |time| streams[0].lease.state(at(time));
    assert_eq!(state("0"), StreamState::Live);
    assert_eq!(state("30"), StreamState::Live);
    assert_eq!(state("30.001"), StreamState::Suspect);
    assert_eq!(state("89.999"), StreamState::Suspect);
}

#[test]
fn a_patience_longer_than_the_lease_ends_with_it() {
    let millis = core::time::Duration::from_millis;
    for (lease, heartbeat, reclaimable_at) in [
        (1500, 1000, "1.500"),
        (1501, 1000, "1.501"),
        (1502, 1000, "1.501"),
        (100, 1000, "0.100"),
    ] {
        let terms = Terms {
            lease: millis(lease),
            heartbeat: Some(millis(heartbeat)),
            renew_after: core::time::Duration::ZERO,
        };
        let mut record = Record::default();
        record.start(&a_start("1", "a"), &policy(1, terms), at("0"));
        let lease = &record.streams(&user("1"), at("0")).0[0].lease;
        assert_eq!(seconds(lease.reclaimable_at()), reclaimable_at);
    }
}

#[test]
fn an_ending_is_remembered_for_exactly_ten_minutes() {
    for (end, why, ended_at) in [
        ("-a@10", "stopped", 10),
        ("!a@10", "evicted", 10),
        ("b>a@10 -b@11", "replaced by b", 10),
    ] {
        let last = format!("{}.999", ended_at + 599);
        let first = ended_at + 600;
        check(
            Deny,
            1,
            &format!("a@0 {end} ~a@{last}"),
            &format!("{why} | "),
        );
        check(
            Deny,
            1,
            &format!("a@0 {end} a@{last}"),
            &format!("{why} | "),
        );
        check(Deny, 1, &format!("a@0 {end} ~a@{first}"), "unknown | ");
        check(Deny, 1, &format!("a@0 {end} a@{first}"), "new | a");
    }
}

#[test]
fn an_expiry_is_remembered_from_the_end_of_the_lease_however_late_it_is_noticed() {
    check(Deny, 1, "a@0 .@90 ~a@689.999", "resumed, 1 of 1 | a");
    check(Deny, 1, "a@0 .@90 ~a@690", "unknown | ");
    check(Deny, 1, "a@0 .@500 ~a@690", "unknown | ");
    check(Deny, 1, "a@0 .@690 ~a@690", "unknown | ");
}

#[test]
fn at_most_64_endings_are_remembered_and_the_oldest_is_forgotten_first() {
    let stops = |count: u32| {
        let words = (0..count).map(|i| format!("-s{i}@{i} "));
        words.collect::<String>()
    };
    check(Deny, 1, &(stops(64) + "~s0@64"), "stopped | ");
    check(Deny, 1, &(stops(65) + "~s0@65"), "unknown | ");
    check(Deny, 1, &(stops(65) + "~s1@65"), "stopped | ");
    check(Deny, 1, &(stops(65) + "~s64@65"), "stopped | ");
    check(Deny, 1, &(stops(64) + "2:-x@64 ~s0@65"), "stopped | ");
    assert_eq!(ENDINGS_MAX, 64);
}

#[test]
fn that_an_ending_was_dropped_is_remembered_for_as_long_as_it_would_have_been() {
    let stops = (0..63).map(|i| format!("-s{i}@3 ")).collect::<String>();
    let dropped = format!("a@0 -a@1 b@1 _b@2 {stops}");
    check(Deny, 3, &(dropped.clone() + "+a@4"), "forgotten | ");
    // Fewer than that are left.
    let fewer = dropped + "~b@4 ";
    check(Deny, 3, &(fewer.clone() + "+a@5"), "forgotten | b");
    check(
        Deny,
        3,
        &(fewer.clone() + "~b@90 +a@600.999"),
        "forgotten | ",
    );
    check(Deny, 3, &(fewer + "~b@90 +a@601"), "entered | a");

    let mut record = Record::default();
    for index in 0..=ENDINGS_MAX {
        let seconds = if index == 0 { "9" } else { "0" };
        record.stop(
            Target {
                user: Some(&user("1")),
                id: &id(&format!("s{index}")),
            },
            at(seconds),
        );
    }
    record.expire(at("600"));
    assert_eq!(record.streams_len(), 0);
    assert!(record.may_have_forgotten(None, at("608.999")));
    assert_eq!(record.forgotten_at(), Some(at("609")));
    assert_eq!(record.due_at(), Some(at("609")));
    assert!(!record.may_have_forgotten(None, at("609")));
    record.expire(at("609"));
    assert_eq!(record, Record::default());
}

#[test]
fn a_restart_gives_every_lease_a_full_term() {
    check(Deny, 2, "a@0 b@50 ^@80 .@169.999", "a b");
    check(Deny, 2, "a@0 b@50 ^@80 .@170", "");
    check(Deny, 2, "a@0 2:b@50 ^@80 .@169.999", "a 2:b");
    check(Deny, 1, "a@0 ^@80 b@110", "no: a of 1 until 110.001 | a");
    check(Deny, 1, "a@0 ^@80 b@110.001", "new for a | b");
    check(
        Deny,
        1,
        "a$@0 ^@80 b@14479.999",
        "no: a of 1 until 14480 | a",
    );
    // What nobody noticed to be over was not over: the place was free for nobody else.
    check(Deny, 1, "a@0 ^@200 ~a@201", "renewed, 1 of 1 | a");
    check(Deny, 1, "a@0 -a@1 ^@2 ~a@3", "stopped | ");
}

#[test]
fn a_record_is_due_at_the_next_expiry_or_forgetting() {
    let mut record = Record::default();
    assert_eq!(record.due_at(), None);
    record.start(&a_start("1", "a"), &policy(2, TERMS), at("0"));
    record.start(&a_start("2", "b"), &policy(2, TERMS), at("10"));
    assert_eq!(record.due_at(), Some(at("90")));
    assert_eq!(record.expire(at("90")), 1);
    assert_eq!(record.due_at(), Some(at("100")));
    assert_eq!(record.expire(at("100")), 1);
    assert_eq!(record.due_at(), Some(at("690")));
    assert_eq!(record.expire(at("690")), 0);
    assert_eq!(record.due_at(), Some(at("700")));
    record.expire(at("700"));
    assert_eq!(record.due_at(), None);
    assert_eq!(record, Record::default(), "nothing is left of either user");
}

#[test]
fn a_record_counts_its_streams_and_knows_when_it_is_empty() {
    let mut record = Record::default();
    assert!(record.is_empty());
    record.start(&a_start("1", "a"), &policy(2, TERMS), at("0"));
    record.start(&a_start("1", "b"), &policy(2, TERMS), at("0"));
    record.start(&a_start("2", "a"), &policy(2, TERMS), at("0"));
    assert_eq!(record.streams_len(), 3);
    assert!(!record.is_empty());

    let (user, a) = (user("1"), id("a"));
    record.stop(
        Target {
            user: Some(&user),
            id: &a,
        },
        at("1"),
    );
    assert_eq!(record.streams_len(), 2);
    // Those whose lease is over count until somebody notices, but nobody sees them.
    let (seen, limit) = record.streams(&user, at("90"));
    assert_eq!((seen.len(), limit), (0, Limit::new(2)));
    assert_eq!(record.streams_len(), 2);
    record.expire(at("90"));
    assert_eq!(record.streams_len(), 0);
    assert!(!record.is_empty(), "endings are worth keeping");
    record.expire(at("690"));
    assert!(record.is_empty());
}

#[test]
fn a_stranger_has_no_streams_and_no_limit() {
    let record = Record::default();
    assert_eq!(
        record.streams(&user("1"), at("0")),
        (Default::default(), None)
    );
}

#[test]
fn the_oldest_is_the_one_that_took_its_place_first_however_it_was_heard() {
    check(ReplaceOldest, 2, "a@0 b@1 ^@2 c@3", "new for a | b c");
}

#[test]
fn time_saturates_at_the_end_of_the_clock() {
    let end = Timestamp::from_millis(u64::MAX);
    assert_eq!(end.plus(core::time::Duration::from_secs(1)), end);
    assert_eq!(at("1").plus(core::time::Duration::MAX), end);
    assert_eq!(at("5").since(at("3")).as_secs(), 2);
    assert_eq!(at("3").since(at("5")).as_secs(), 0);
}

#[test]
fn a_stream_that_lapses_gives_its_place_up_at_once() {
    check(Deny, 1, "a@0 b@1", "no: a of 1 until 30.001 | a");
    check(Deny, 1, "a@0 _a@1", "lapsed a | ");
    check(Deny, 1, "a@0 _a@1 b@1", "new | b");
}

#[test]
fn a_stream_that_lapsed_comes_back_with_a_heartbeat_if_there_is_room() {
    check(Deny, 1, "a@0 _a@1 ~a@600", "resumed, 1 of 1 | a");
    check(Deny, 1, "a@0 _a@1 b@2 ~a@3", "expired | b");
    check(Deny, 1, "a@0 _a@1 ~a@601", "unknown | ");
}

#[test]
fn what_has_no_place_has_none_to_lapse_and_stays_as_it_ended() {
    check(Deny, 1, "_a@0", "nothing | ");
    check(Deny, 1, "a@0 _a@1 _a@2", "nothing | ");
    check(Deny, 1, "a@0 -a@1 _a@2 ~a@3", "stopped | ");
    check(Deny, 1, "a@0 !a@1 _a@2 ~a@3", "evicted | ");
    check(Deny, 1, "a@0 b>a@1 _a@2 ~a@3", "replaced by b | b");
    check(Deny, 2, "a@0 _a@1 -a@2 ~a@3", "stopped | ");
    check(Deny, 1, "a@0 2:_a@1", "nothing | a");
}

#[test]
fn how_it_stands_with_a_stream_needs_nobody_to_have_looked() {
    let mut record = Record::default();
    record.start(&a_start("1", "a"), &policy(2, TERMS), at("0"));
    record.start(&a_start("1", "b"), &policy(2, TERMS), at("1"));
    record.evict(&user("1"), Which::One(&id("b")), at("2"));
    let standing = |name, time| {
        let target = Target {
            user: Some(&user("1")),
            id: &id(name),
        };
        let seen = record.standing(target, at(time));
        // Nor does it matter whether somebody has.
        let mut swept = record.clone();
        swept.expire(at(time));
        assert_eq!(swept.standing(target, at(time)), seen, "{name} at {time}");
        seen
    };
    let until = at("90");
    assert_eq!(standing("a", "89.999"), Standing::Live { until });
    assert_eq!(standing("a", "90"), Standing::Over(Over::Expired));
    assert_eq!(standing("a", "689.999"), Standing::Over(Over::Expired));
    assert_eq!(standing("a", "690"), Standing::Unknown);
    assert_eq!(standing("b", "601.999"), Standing::Over(Over::Evicted));
    assert_eq!(standing("b", "602"), Standing::Unknown);
    assert_eq!(standing("c", "3"), Standing::Unknown);
}
