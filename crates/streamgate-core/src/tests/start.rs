//! What a start comes to.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{TERMS, a_start, answer, at, check, id, policy, seconds, user};
use crate::OnLimit::{Deny, ReplaceOldest};
use crate::*;

#[test]
fn places_are_given_up_to_the_limit() {
    check(Deny, 1, "a@0", "new | a");
    check(Deny, 1, "a@0 b@0", "no: a of 1 until 30.001 | a");
    check(Deny, 3, "a@0 b@1 c@2", "new | a b c");
    check(
        Deny,
        3,
        "a@0 b@1 c@2 d@3",
        "no: a b c of 3 until 30.001 | a b c",
    );
}

#[test]
fn a_stopped_stream_gives_its_place_back_at_once() {
    check(Deny, 1, "a@0 -a@5 b@5", "new | b");
}

#[test]
fn a_no_says_when_to_try_again() {
    // The earliest holder to fall silent is not the earliest to have started.
    check(
        Deny,
        2,
        "a@0 b@1 ~a@10 c@11",
        "no: a b of 2 until 31.001 | a b",
    );
    check(Deny, 2, "a@0 b@1 ~a@10 c@31.001", "new for b | a c");
    check(
        Deny,
        2,
        "a@0 b@1 ~a@10 c@31",
        "no: a b of 2 until 31.001 | a b",
    );
}

#[test]
fn the_same_start_again_is_the_same_stream() {
    check(Deny, 1, "a@0 a@5", "same | a");
    check(Deny, 1, "a@0 a@0", "same | a");
    // Nor does a retry do a second time what the first one did.
    check(Deny, 3, "b@0 a@1 c@2 a>b,c@3", "same | b a c");
    check(
        Deny,
        3,
        "b/tv@0 a/tv@1 b2/tv@2 a/tv@3",
        "replaced by b2 | b2",
    );
}

#[test]
fn the_same_start_again_renews_the_lease() {
    check(Deny, 1, "a@0 a@80 .@169.999", "a");
    check(Deny, 1, "a@0 a@80 .@170", "");
    check(Deny, 1, "a@0 a@20 b@50", "no: a of 1 until 50.001 | a");
    check(Deny, 1, "a@0 a@20 b@50.001", "new for a | b");
}

#[test]
fn the_same_start_again_keeps_what_the_first_one_said() {
    let mut record = Record::default();
    let first = Start {
        started_at: WallTime::from_millis(7),
        content: ContentId::parse("movie-1").ok(),
        ..a_start("1", "a")
    };
    record.start(&first, &policy(3, TERMS), at("0"));
    let again = Start {
        started_at: WallTime::from_millis(8),
        ..a_start("1", "a")
    };
    let Started::Same(place) = record.start(&again, &policy(1, TERMS), at("5")) else {
        panic!("the same id is the same stream");
    };
    assert_eq!(place.stream.started_at.as_millis(), 7);
    assert_eq!(place.stream.content, first.content);
    assert_eq!(seconds(place.stream.lease.heard_at()), "5");
    assert_eq!(seconds(place.stream.lease.expires_at()), "95");
    assert_eq!(
        place.limit.get(),
        3,
        "the limit is that of the admitted start"
    );
}

#[test]
fn the_same_start_again_keeps_its_place_in_a_full_account() {
    check(Deny, 3, "a@0 b@0 a#1@1", "same | a b");
    check(ReplaceOldest, 2, "a@0 b@0 a@1", "same | a b");
}

#[test]
fn a_device_replaces_its_own_earlier_stream() {
    check(Deny, 1, "a/tv@0 b/tv@1", "new for a | b");
    check(Deny, 3, "a/tv@0 b/tv@1", "new for a | b");
    check(Deny, 2, "a/tv@0 b/phone@1 c/tv@2", "new for a | b c");
}

#[test]
fn devices_that_do_not_say_who_they_are_never_replace_one_another() {
    check(Deny, 1, "a@0 b@1", "no: a of 1 until 30.001 | a");
    check(Deny, 2, "a@0 b@1", "new | a b");
    check(Deny, 1, "a/tv@0 b@1", "no: a of 1 until 30.001 | a");
    check(Deny, 1, "a@0 b/tv@1", "no: a of 1 until 30.001 | a");
    check(Deny, 1, "a/tv@0 b/phone@1", "no: a of 1 until 30.001 | a");
}

#[test]
fn chosen_streams_end_with_the_start_that_replaces_them() {
    check(Deny, 2, "a@0 b@0 c>a@1", "new for a | b c");
    check(Deny, 3, "a@0 b@0 c@0 d>c,a@1", "new for a c | b d");
    check(Deny, 3, "a@0 b@0 c>a@1", "new for a | b c");
    check(Deny, 1, "a@0 b>a@1 ~a@2", "replaced by b | b");
}

#[test]
fn a_denial_leaves_the_chosen_streams_alone() {
    check(
        Deny,
        3,
        "a@0 b@0 c@0 d#1>a@1",
        "no: b c of 1 until 30.001 | a b c",
    );
    check(
        Deny,
        3,
        "a@0 b@0 c@0 d#1>a@1 ~a@2",
        "renewed, 3 of 3 | a b c",
    );
    check(
        Deny,
        3,
        "a/tv@0 b@0 c@0 d/tv#1@1",
        "no: b c of 1 until 30.001 | a b c",
    );
}

#[test]
fn unknown_and_ended_streams_can_be_chosen_to_no_effect() {
    check(Deny, 1, "a@0 b>x@1", "no: a of 1 until 30.001 | a");
    check(Deny, 2, "a@0 -a@1 b>a,x,b@1", "new | b");
    check(Deny, 1, "a@0 -a@1 b>a@1 ~a@2", "stopped | b");
}

#[test]
fn the_oldest_goes_when_the_caller_wants_that() {
    check(ReplaceOldest, 2, "a@0 b@1 c@2", "new for a | b c");
    check(ReplaceOldest, 2, "a@0 b@1 ~a@2 c@3", "new for a | b c");
    check(ReplaceOldest, 3, "a@0 b@1 c@2", "new | a b c");
    check(ReplaceOldest, 2, "a@0 b@1 c>b@2", "new for b | a c");
    check(ReplaceOldest, 3, "a@0 b@0 c@0 d#1@1", "new for a b c | d");
    check(ReplaceOldest, 3, "a@0 b@0 c@0 d#2@1", "new for a b | c d");
}

#[test]
fn the_longest_silent_suspect_yields_to_whoever_needs_its_place() {
    check(Deny, 1, "a@0 b@30", "no: a of 1 until 30.001 | a");
    check(Deny, 1, "a@0 b@30.001", "new for a | b");
    check(Deny, 2, "a@0 b@1 c@40", "new for a | b c");
    check(Deny, 2, "a@0 b@1 ~a@5 c@40", "new for b | a c");
    check(Deny, 1, "a@0 b@30.001 ~a@31", "replaced by b | b");
}

#[test]
fn suspects_keep_their_places_while_nobody_needs_them() {
    check(Deny, 3, "a@0 b@40", "new | a b");
    check(Deny, 3, "a@0 b@1 c@40", "new | a b c");
    check(Deny, 2, "a@0 b@0 c>b@40", "new for b | a c");
    check(Deny, 2, "a@0 b/tv@0 c/tv@40", "new for b | a c");
}

#[test]
fn only_as_many_suspects_yield_as_are_needed() {
    check(Deny, 3, "a@0 b@1 c@2 d@80", "new for a | b c d");
    check(Deny, 3, "a@0 b@1 c@2 d#2@80", "new for a b | c d");
    check(Deny, 3, "a@0 b@1 c@2 ~a@3 d#2@80", "new for b c | a d");
}

#[test]
fn suspects_yield_before_the_oldest() {
    check(ReplaceOldest, 2, "a@0 b@0 ~a@20 c@40", "new for b | a c");
    check(
        ReplaceOldest,
        3,
        "a@0 b@0 c@0 ~a@20 ~c@20 d#2@40",
        "new for b a | c d",
    );
}

#[test]
fn a_lowered_limit_ends_nothing_and_admits_nothing_until_there_is_room() {
    let full = "a@0 b@1 c@2 ";
    let script = |more: &str| [full, more].concat();
    check(
        Deny,
        3,
        &script("d#2@3"),
        "no: a b c of 2 until 31.001 | a b c",
    );
    check(
        Deny,
        3,
        &script("d#1@3"),
        "no: a b c of 1 until 32.001 | a b c",
    );
    check(
        Deny,
        3,
        &script("-a@3 d#2@3"),
        "no: b c of 2 until 31.001 | b c",
    );
    check(Deny, 3, &script("-a@3 -b@3 d#2@3"), "new | c d");
    check(
        Deny,
        3,
        &script("d/tv#2>a@3"),
        "no: b c of 2 until 31.001 | a b c",
    );
    check(Deny, 3, &script("d#2>a,b@3"), "new for a b | c d");
}

#[test]
fn suspects_that_are_too_few_yield_to_nobody() {
    // One of the three is suspect, but two would have to go.
    check(
        Deny,
        3,
        "a@0 b@0 c@0 ~b@20 ~c@25 d#2@31",
        "no: a b c of 2 until 50.001 | a b c",
    );
    check(
        Deny,
        3,
        "a@0 b@0 c@0 ~b@20 ~c@25 d#2@50.001",
        "new for a b | c d",
    );
}

#[test]
fn a_raised_limit_gives_room_at_once() {
    check(Deny, 1, "a@0 b#2@1", "new | a b");
}

#[test]
fn asking_for_admission_tells_what_a_start_would_do() {
    check(Deny, 2, "?a@0", "open at 0 of 2 | ");
    check(Deny, 2, "a@0 ?b@1", "open at 1 of 2 | a");
    check(Deny, 2, "a@0 b@0 ?c@1", "no: a b of 2 until 30.001 | a b");
    check(Deny, 2, "a@0 b@0 ?c@30.001", "open at 2 of 2 a | a b");
    check(Deny, 2, "a@0 b@0 ?c@90", "open at 0 of 2 | ");
    check(Deny, 2, "a/tv@0 b@0 ?c/tv@1", "open at 2 of 2 a | a b");
    check(Deny, 2, "a/tv@0 b@0 ?c>b@1", "open at 2 of 2 b | a b");
    check(ReplaceOldest, 2, "a@0 b@0 ?c@1", "open at 2 of 2 a | a b");
}

#[test]
fn users_in_one_record_are_counted_apart() {
    check(Deny, 1, "a@0 2:b@0", "new | a 2:b");
    check(Deny, 1, "a@0 2:a@0", "new | a 2:a");
    check(
        Deny,
        1,
        "a@0 2:a@0 2:b@1",
        "no: a of 1 until 30.001 | a 2:a",
    );
    check(Deny, 1, "a/tv@0 2:b/tv@0", "new | a 2:b");
    check(Deny, 1, "a@0 2:b>a@0", "new | a 2:b");
    check(
        Deny,
        1,
        "a@0 2:b@0 -a@1 2:c@1",
        "no: b of 1 until 30.001 | 2:b",
    );
    check(ReplaceOldest, 1, "a@0 2:b@0 2:c@1", "new for b | a 2:c");
}

#[test]
fn an_admitted_stream_is_what_was_asked_for() {
    let mut record = Record::default();
    let request = Start {
        device: Device {
            id: DeviceText::parse("tv-9").ok(),
            name: DeviceText::parse("Living room TV").ok(),
            kind: DeviceText::parse("tv").ok(),
        },
        content: ContentId::parse("movie-1").ok(),
        started_at: WallTime::from_millis(1_795_000_000_000),
        ..a_start("1", "a")
    };
    let Started::Admitted { place, replaced } = record.start(&request, &policy(2, TERMS), at("10"))
    else {
        panic!("nobody is in the way");
    };
    assert_eq!(replaced, Vec::new());
    assert_eq!(place.user, user("1"));
    assert_eq!((place.active, place.limit.get()), (1, 2));
    assert_eq!(seconds(place.reclaimable_at), "40.001");
    let stream = place.stream;
    assert_eq!(stream.id, id("a"));
    assert_eq!(stream.device, request.device);
    assert_eq!(stream.content, request.content);
    assert_eq!(stream.started_at, request.started_at);
    assert_eq!(stream.playback, Playback::Playing);
    assert_eq!(seconds(stream.lease.heard_at()), "10");
    assert_eq!(seconds(stream.lease.expires_at()), "100");
    assert_eq!(seconds(stream.lease.reclaimable_at()), "40.001");
}

#[test]
fn a_place_says_when_the_first_of_all_becomes_reclaimable() {
    let mut record = Record::default();
    record.start(&a_start("1", "a"), &policy(3, TERMS), at("0"));
    record.start(&a_start("2", "x"), &policy(3, TERMS), at("0"));
    let started = record.start(&a_start("1", "b"), &policy(3, TERMS), at("10"));
    let Started::Admitted { place, .. } = &started else {
        panic!("{}", answer(started));
    };
    assert_eq!(seconds(place.reclaimable_at), "30.001");
    assert_eq!(place.active, 2);
    assert_eq!(place.limit.to_string(), "3");
}
