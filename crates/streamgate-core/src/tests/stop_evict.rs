//! How a stream is ended: by its player, or by an operator.

use super::{TERMS, a_start, at, beat, check, id, policy, stopped, user};
use crate::OnLimit::Deny;
use crate::*;

#[test]
fn a_stop_ends_its_stream() {
    check(Deny, 2, "a@0 b@0 -a@1", "ended a | b");
    check(Deny, 2, "a@0 -a@89.999", "ended a | ");
}

#[test]
fn a_stop_is_always_over_whatever_was_before() {
    check(Deny, 2, "a@0 -a@1 -a@2", "already | ");
    check(Deny, 2, "a@0 b>a@1 -a@2", "already | b");
    check(Deny, 2, "a@0 !a@1 -a@2", "already | ");
    check(Deny, 2, "a@0 -a@90", "forgone | ");
    check(Deny, 2, "-a@0", "noted | ");
    check(Deny, 2, "-a@0 -a@1", "already | ");
}

#[test]
fn what_ended_otherwise_keeps_its_reason_when_it_is_stopped_too() {
    check(Deny, 2, "a@0 b>a@1 -a@2 ~a@3", "replaced by b | b");
    check(Deny, 2, "a@0 !a@1 -a@2 ~a@3", "evicted | ");
}

#[test]
fn a_stopped_stream_never_comes_back() {
    check(Deny, 2, "a@0 -a@1 a@2", "stopped | ");
    check(Deny, 2, "a@0 -a@1 ~a@2", "stopped | ");
    check(Deny, 2, "a@0 -a@1 b>a@2 a@3", "stopped | b");
    check(Deny, 2, "a@0 -a@90 ~a@91", "stopped | ");
    check(Deny, 2, "a@0 -a@90 a@91", "stopped | ");
}

#[test]
fn a_stream_that_came_back_ends_like_any_other() {
    check(Deny, 2, "a@0 ~a@90 -a@91 ~a@92", "stopped | ");
    check(Deny, 2, "a@0 ~a@90 !a@91 a@92", "evicted | ");
    check(Deny, 2, "a@0 a@90 -a@91 ~a@92", "stopped | ");
    check(Deny, 2, "a@0 a@90 b>a@91 a@92", "replaced by b | b");
    // What it was before is not what is remembered of it.
    check(Deny, 2, "a@0 ~a@90 -a@91 ~a@690.999", "stopped | ");
    check(Deny, 2, "a@0 ~a@90 -a@91 ~a@691", "unknown | ");
}

#[test]
fn a_stop_that_overtakes_its_start_holds() {
    check(Deny, 2, "-a@0 a@1", "stopped | ");
    check(Deny, 2, "-a@0 a@599.999", "stopped | ");
    check(Deny, 2, "-a@0 a@600", "new | a");
    check(Deny, 2, "2:-a@0 a@1", "new | a");
}

#[test]
fn a_replaced_or_evicted_stream_never_comes_back() {
    check(Deny, 3, "a@0 b>a@1 a@2", "replaced by b | b");
    check(Deny, 3, "a@0 !a@1 a@2", "evicted | ");
    check(Deny, 3, "a/tv@0 b/tv@90 a/tv@91", "replaced by b | b");
    check(Deny, 3, "a@0 !a@90 a@91", "evicted | ");
}

#[test]
fn an_expired_stream_may_start_again() {
    check(Deny, 1, "a@0 a@90", "new | a");
    check(Deny, 1, "a@0 a@90 ~a@91", "renewed, 1 of 1 | a");
    check(Deny, 1, "a@0 a>a@90", "new | a");
    check(Deny, 1, "a@0 b@90 a@91", "no: b of 1 until 120.001 | b");
}

#[test]
fn an_operator_evicts_one_stream_or_all() {
    check(Deny, 3, "a@0 b@0 !a@1", "a | b");
    check(Deny, 3, "a@0 b@0 !*@1", "a b | ");
    check(Deny, 3, "a@0 b@0 !x@1", " | a b");
    check(Deny, 3, "!*@1", " | ");
    check(Deny, 3, "a@0 !*@1 ~a@2", "evicted | ");
    check(Deny, 3, "a@0 b@0 !a@1 ~a@2", "evicted | b");
    check(Deny, 3, "a@0 -a@1 !a@2 ~a@3", "stopped | ");
}

#[test]
fn an_evicted_stream_that_had_expired_cannot_resume() {
    check(Deny, 3, "a@0 !a@90 ~a@91", "evicted | ");
    check(Deny, 3, "a@0 !*@90 ~a@91", "evicted | ");
    check(Deny, 3, "a@0 b@1 !b@91 ~a@92", "resumed, 1 of 3 | a");
    check(Deny, 3, "a@0 !a@90", " | ");
}

#[test]
fn what_is_ended_after_it_expired_is_remembered_from_then_on() {
    check(Deny, 1, "a@0 -a@689.999 a@690", "stopped | ");
    check(Deny, 1, "a@0 -a@689.999 a@1289.999", "new | a");
    check(Deny, 1, "a@0 !a@689.999 a@690", "evicted | ");
    check(Deny, 2, "a@0 b>a@689.999 a@690", "replaced by b | b");
}

#[test]
fn stops_and_evictions_of_one_user_leave_the_other_alone() {
    check(Deny, 1, "a@0 2:a@0 -a@1", "ended a | 2:a");
    check(Deny, 1, "a@0 2:a@0 2:-a@1", "ended a | a");
    check(Deny, 1, "a@0 2:a@0 !*@1", "a | 2:a");
    check(Deny, 1, "a@0 2:a@0 2:!a@1", "a | a");
    check(Deny, 1, "a@0 2:-a@1", "noted | a");
    check(Deny, 1, "2:a@0 a@0 -a@1 2:~a@2", "renewed, 1 of 1 | 2:a");
}

#[test]
fn a_stop_without_a_user_ends_what_the_id_alone_finds() {
    let mut record = Record::default();
    record.start(&a_start("1", "a"), &policy(1, TERMS), at("0"));
    record.start(&a_start("2", "b"), &policy(1, TERMS), at("0"));
    let (b, nobody) = (id("b"), id("c"));
    let stop = |record: &mut Record, id| stopped(&record.stop(Target { user: None, id }, at("1")));
    assert_eq!(stop(&mut record, &b), "ended b");
    assert_eq!(stop(&mut record, &b), "already");
    // There is no account in which it could be noted.
    let before = record.clone();
    assert_eq!(stop(&mut record, &nobody), "unknown");
    assert_eq!(record, before);
    let target = Target { user: None, id: &b };
    let late = record.heartbeat(target, &Heartbeat::default(), TERMS, at("2"));
    assert_eq!(beat(late), "stopped");
}

#[test]
fn an_eviction_knows_itself_by_what_it_ended_and_when() {
    let mut record = Record::default();
    for name in ["a", "b"] {
        record.start(&a_start("1", name), &policy(3, TERMS), at("0"));
    }
    record.start(&a_start("2", "c"), &policy(3, TERMS), at("0"));
    let has = |record: &Record, name: &str, streams: &[Stream], time: &str| {
        record.has_evicted(&user(name), streams, at(time))
    };
    let (streams, _) = record.streams(&user("1"), at("1"));
    assert!(!has(&record, "1", &streams, "1"), "they are live");
    let evicted = record.evict(&user("1"), Which::All, at("1"));
    assert_eq!(evicted.len(), 2);
    record.start(&a_start("1", "d"), &policy(3, TERMS), at("1"));
    assert!(has(&record, "1", &evicted, "1"));
    assert!(!has(&record, "1", &evicted, "1.001"), "that was another");
    assert!(!has(&record, "2", &evicted, "1"), "another's streams");
    assert!(!has(&record, "1", &[], "1"), "of nothing");
    let (live, _) = record.streams(&user("1"), at("1"));
    let more = [evicted, live].concat();
    assert!(!has(&record, "1", &more, "1"), "not all of them");
    let stopped = record.streams(&user("2"), at("1")).0;
    let (theirs, c) = (user("2"), id("c"));
    let target = Target {
        user: Some(&theirs),
        id: &c,
    };
    record.stop(target, at("1"));
    assert!(!has(&record, "2", &stopped, "1"), "its player stopped it");
}
