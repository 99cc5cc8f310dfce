//! The checker refutes what can't have happened, and nothing else.

mod blind;
mod clients;

use std::time::Duration;

use streamgate_core::{Admitted, Claim, Device, Limit, Over, Terms, WallTime};

use super::search::Search;
use super::{Answer, Asked, Operation, check, nameless};
use crate::conformance::{a_start, id, policy, user};

const CLOCKS_APART: Duration = Duration::from_millis(100);

fn start(stream: &str) -> Asked {
    Asked::Start(Box::new(a_start("user", stream)), policy(90))
}

fn stop(stream: &str) -> Asked {
    Asked::Stop(id(stream))
}

fn terms() -> Terms {
    policy(90).terms
}

fn heartbeat(stream: &str) -> Asked {
    Asked::Heartbeat {
        id: id(stream),
        terms: terms(),
        claim: None,
    }
}

fn proven(stream: &str, started_at: u64) -> Asked {
    let claim = Claim {
        user: user("user"),
        id: id(stream),
        device: Device::default(),
        started_at: WallTime::from_millis(started_at),
        limit: Limit::DEFAULT,
        admitted: Admitted::ByStore,
    };
    Asked::Heartbeat {
        id: id(stream),
        terms: terms(),
        claim: Some(Box::new(claim)),
    }
}

fn admitted(active: usize) -> Answer {
    Answer::Admitted {
        active,
        replaced: Vec::new(),
    }
}

fn denied(holders: &[&str]) -> Answer {
    Answer::Denied {
        holders: holders.iter().map(|name| id(name)).collect(),
    }
}

fn resumed(active: usize) -> Answer {
    Answer::Resumed {
        active,
        replaced: Vec::new(),
    }
}

/// An operation from one millisecond to another.
fn op(from: u64, to: u64, asked: Asked, answer: Answer) -> Operation {
    Operation {
        user: user("user"),
        asked,
        invoked_us: from * 1000,
        answered: Some((to * 1000, answer)),
    }
}

/// An operation whose answer was lost.
fn lost(from: u64, asked: Asked) -> Operation {
    Operation {
        user: user("user"),
        asked,
        invoked_us: from * 1000,
        answered: None,
    }
}

#[track_caller]
fn accepted(history: &[Operation]) {
    if let Err(refuted) = check(history, CLOCKS_APART) {
        panic!("{refuted}");
    }
}

#[track_caller]
fn refuted(history: &[Operation]) {
    let Err(refuted) = check(history, CLOCKS_APART) else {
        panic!("{history:#?}");
    };
    let shown = refuted.to_string();
    assert!(shown.contains("no order of these"), "{shown}");
}

fn three() -> Vec<Operation> {
    vec![
        op(1, 2, start("a"), admitted(1)),
        op(3, 4, start("b"), admitted(2)),
        op(5, 6, start("c"), admitted(3)),
    ]
}

/// Three streams, and then this.
fn then(more: impl IntoIterator<Item = Operation>) -> Vec<Operation> {
    three().into_iter().chain(more).collect()
}

#[test]
fn a_fourth_stream_of_three_is_refuted() {
    accepted(&three());
    accepted(&then([op(7, 8, start("d"), denied(&["a", "b", "c"]))]));
    refuted(&then([op(7, 8, start("d"), admitted(3))]));
    refuted(&then([op(7, 8, start("d"), admitted(4))]));
}

#[test]
fn four_starts_at_once_of_which_all_are_admitted_are_refuted() {
    let at_once = |fourth| {
        vec![
            op(1, 9, start("a"), admitted(2)),
            op(1, 9, start("b"), admitted(1)),
            op(1, 9, start("c"), admitted(3)),
            op(1, 9, start("d"), fourth),
        ]
    };
    accepted(&at_once(denied(&["b", "a", "c"])));
    refuted(&at_once(denied(&["a", "b", "c"])));
    refuted(&at_once(admitted(3)));
}

#[test]
fn a_stopped_stream_that_is_alive_again_is_refuted() {
    let stopped = || op(7, 8, stop("a"), Answer::Done);
    let over = || Answer::Over(Over::Stopped);
    accepted(&then([stopped(), op(9, 10, heartbeat("a"), over())]));
    accepted(&then([stopped(), op(9, 10, start("a"), over())]));
    refuted(&then([
        stopped(),
        op(9, 10, heartbeat("a"), Answer::Renewed { active: 3 }),
    ]));
    refuted(&then([stopped(), op(9, 10, start("a"), admitted(3))]));
    refuted(&then([stopped(), op(9, 10, heartbeat("a"), resumed(3))]));
}

#[test]
fn a_denial_with_room_is_refuted() {
    let stopped = || op(7, 8, stop("a"), Answer::Done);
    let denied = || denied(&["a", "b", "c"]);
    // While the stop is under way, it may not have been done.
    accepted(&then([
        op(7, 12, stop("a"), Answer::Done),
        op(9, 10, start("d"), denied()),
    ]));
    refuted(&then([stopped(), op(9, 10, start("d"), denied())]));
}

#[test]
fn an_acknowledged_start_that_is_lost_is_refuted() {
    let unknown = || op(7, 8, heartbeat("a"), Answer::Unknown);
    accepted(&[unknown()]);
    refuted(&then([unknown()]));
    refuted(&then([op(7, 8, start("d"), admitted(2))]));
}

#[test]
fn what_was_not_answered_may_have_happened_later_or_never() {
    let denied = denied(&["a", "b", "c"]);
    accepted(&then([lost(7, stop("a")), op(9, 10, start("d"), denied)]));
    accepted(&then([
        lost(7, stop("a")),
        op(9, 10, heartbeat("a"), Answer::Renewed { active: 3 }),
        op(11, 12, start("d"), admitted(3)),
    ]));
    // But not before it was asked for.
    refuted(&then([
        op(7, 8, start("d"), admitted(3)),
        lost(9, stop("a")),
    ]));
}

#[test]
fn a_nameless_stream_may_be_in_the_way() {
    let nameless = Asked::Start(
        Box::new(streamgate_core::Start {
            id: nameless(1),
            ..a_start("user", "some")
        }),
        policy(90),
    );
    let history = |in_the_way: &str| {
        vec![
            op(1, 2, start("a"), admitted(1)),
            op(3, 4, start("b"), admitted(2)),
            lost(5, nameless.clone()),
            op(7, 8, start("d"), denied(&["a", "b", in_the_way])),
        ]
    };
    accepted(&history("whoever"));
    refuted(&history("d"));
}

#[test]
fn a_lease_is_over_when_it_ends_and_not_before() {
    let admitted_at = |ms| {
        then([op(ms, ms + 2, start("d"), admitted(3))])
            .into_iter()
            .map(|mut operation| {
                // The three are on one device each, so nobody replaces another.
                if let (Asked::Start(_, policy), Some((_, answer))) =
                    (&mut operation.asked, &mut operation.answered)
                {
                    policy.terms.heartbeat = None;
                    if ms < operation.invoked_us / 1000 + 1 {
                        *answer = Answer::Admitted {
                            active: 1,
                            replaced: Vec::new(),
                        };
                    }
                }
                operation
            })
            .collect::<Vec<_>>()
    };
    accepted(&admitted_at(90_200));
    accepted(&admitted_at(89_950));
    refuted(&admitted_at(89_800));
    refuted(&admitted_at(50_000));
}

#[test]
fn a_suspect_is_replaced_and_a_live_stream_is_not() {
    let replacing = |ms| {
        let answer = Answer::Admitted {
            active: 3,
            replaced: vec![id("a")],
        };
        then([op(ms, ms + 2, start("d"), answer)])
    };
    // Silent for 1.5 heartbeats of 20 s.
    accepted(&replacing(30_100));
    refuted(&replacing(29_000));
}

#[test]
fn of_two_that_were_heard_at_about_the_same_time_either_is_the_longest_silent() {
    let replacing = |from, first: &str| {
        let answer = Answer::Admitted {
            active: 3,
            replaced: vec![id(first)],
        };
        vec![
            op(1, 2, start("a"), admitted(1)),
            op(from, from + 1, start("b"), admitted(2)),
            op(20_000, 20_001, start("c"), admitted(3)),
            op(40_000, 40_001, start("d"), answer),
        ]
    };
    accepted(&replacing(100, "a"));
    accepted(&replacing(100, "b"));
    accepted(&replacing(2_000, "a"));
    refuted(&replacing(2_000, "b"));
    refuted(&replacing(100, "c"));
}

#[test]
fn what_was_lost_with_its_engine_comes_back_by_its_token() {
    let loss = || op(7, 8, Asked::Loss, Answer::Done);
    accepted(&then([
        loss(),
        op(9, 10, start("d"), admitted(1)),
        op(9, 10, proven("a", 0), resumed(2)),
        op(11, 12, proven("b", 0), resumed(3)),
    ]));
    refuted(&then([op(9, 10, proven("a", 0), resumed(3))]));
    refuted(&then([loss(), op(9, 10, proven("a", 0), Answer::Unknown)]));
    refuted(&then([loss(), op(9, 10, heartbeat("a"), resumed(1))]));
}

#[test]
fn a_search_that_is_too_long_does_not_pass() {
    let many = (0..200).map(|at| op(at, at + 1, stop("a"), Answer::Done));
    let refuted = check(&many.collect::<Vec<_>>(), CLOCKS_APART).unwrap_err();
    assert!(
        refuted.to_string().contains("too many operations"),
        "{refuted}"
    );

    // Stops of which nobody knows come in each order, and none lets a fifth stream live.
    let mut history: Vec<Operation> = (0..60).map(|at| lost(at, stop(&format!("{at}")))).collect();
    history.push(op(100, 101, heartbeat("a"), Answer::Renewed { active: 1 }));
    let search = Search::new(history.iter().collect(), CLOCKS_APART, 5_000);
    let refuted = search.run().unwrap_err();
    assert!(refuted.to_string().contains("too many orders"), "{refuted}");
}
