//! Taking in what another service admitted.

use alloc::format;

use super::{SEED_TERMS, a_start, at, check, policy, user};
use crate::OnLimit::Deny;
use crate::*;

#[test]
fn nobody_who_watches_elsewhere_is_dropped_whatever_the_limit_says() {
    check(Deny, 2, "+a@0 +b@1 +c@2 +d@3", "entered | a b c d");
    check(Deny, 2, "a@0 b@1 +c@2", "entered | a b c");
    // Nor is the device's own earlier stream: its player may have another.
    check(Deny, 2, "+a/tv@0 +b/tv@1", "entered | a b");
}

#[test]
fn above_the_limit_nobody_starts_and_below_it_somebody_does() {
    check(
        Deny,
        2,
        "+a$@0 +b$@1 +c$@2 d@3",
        "no: a b c of 2 until 14401 | a b c",
    );
    check(Deny, 2, "+a$@0 +b$@1 +c$@2 -a@3 -b@4 d@5", "new | c d");
}

#[test]
fn the_same_stream_again_is_the_same_stream() {
    check(Deny, 3, "+a@0 +a@1", "known | a");
    check(Deny, 3, "a@0 +a@1", "known | a");
    check(Deny, 3, "+a@0 a@1", "same | a");
}

#[test]
fn what_ended_here_stays_over_as_long_as_that_is_remembered() {
    check(Deny, 3, "+a@0 -a@1 +a@2", "over: Stopped | ");
    check(Deny, 3, "-a@0 +a@599", "over: Stopped | ");
    check(Deny, 3, "-a@0 +a@600", "entered | a");
    check(Deny, 3, "+a@0 !a@1 +a@2", "over: Evicted | ");
    check(Deny, 3, "+a@0 .@90 +a@91", "over: Expired | ");
}

#[test]
fn an_account_takes_in_no_more_streams_than_any_account_may_have() {
    let mut record = Record::default();
    let policy = policy(3, SEED_TERMS);
    let mut take_in =
        |index: u8| record.take_in(&a_start("1", &format!("s{index}")), &policy, at("0"));
    for index in 0..LIMIT_MAX {
        assert_eq!(take_in(index), TakenIn::Entered);
    }
    assert_eq!(take_in(LIMIT_MAX), TakenIn::Full);
    assert_eq!(take_in(0), TakenIn::Known);
}

#[test]
fn the_limit_of_a_user_who_is_known_stays() {
    let mut record = Record::default();
    record.start(&a_start("1", "a"), &policy(5, SEED_TERMS), at("0"));
    record.take_in(&a_start("1", "b"), &policy(3, SEED_TERMS), at("0"));
    let (streams, limit) = record.streams(&user("1"), at("0"));
    assert_eq!((streams.len(), limit), (2, Limit::new(5)));
}
