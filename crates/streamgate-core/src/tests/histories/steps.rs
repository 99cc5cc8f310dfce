//! Random steps. Time likes the instants at which something changes.

use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::words::{Ask, Op};

/// How far time moves before a step.
#[derive(Clone, Debug)]
pub(super) enum Pass {
    By(u64),
    /// To the `nth` instant from now at which something changes, or 1 ms before or after it.
    ToBoundary {
        nth: usize,
        early: u64,
        late: u64,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) pass: Pass,
    pub(super) op: Op,
    pub(super) is_named: bool,
}

fn pass() -> impl Strategy<Value = Pass> {
    let exact = [
        0, 0, 0, 1, 1000, 5000, 20_000, 29_999, 30_000, 30_001, 60_000, 89_999, 90_000, 600_000,
    ];
    prop_oneof![
        3 => select(exact.to_vec()).prop_map(Pass::By),
        2 => (0..4_usize, 0..2_u64, 0..3_u64)
            .prop_map(|(nth, early, late)| Pass::ToBoundary { nth, early, late }),
    ]
}

/// Mostly one of them, so that its account fills.
fn user() -> impl Strategy<Value = u8> {
    prop_oneof![2 => Just(1), 1 => Just(2)]
}

fn ask() -> impl Strategy<Value = Ask> {
    let names = (user(), 0..5_u8, select([0, 0, 1, 2].to_vec()));
    let replace = prop_oneof![4 => Just(Vec::new()), 1 => vec(0..5_u8, 1..3)];
    let terms = prop_oneof![
        5 => Just((90_000, Some(30_000))),
        1 => Just((14_400_000, None)),
    ];
    (names, replace, prop::bool::weighted(0.2), 1..=4_u8, terms).prop_map(
        |((user, id, device), replace, replace_oldest, limit, (lease, patience))| Ask {
            user,
            id,
            device,
            replace,
            replace_oldest,
            limit,
            lease,
            patience,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let beat = (
        user(),
        0..5_u8,
        option::of(any::<bool>()),
        option::of(0..3_u8),
    );
    prop_oneof![
        14 => ask().prop_map(Op::Start),
        8 => beat.prop_map(|(user, id, paused, content)| Op::Heartbeat { user, id, paused, content }),
        2 => (user(), 0..5_u8).prop_map(|(user, id)| Op::Stop { user, id }),
        2 => (user(), 0..5_u8).prop_map(|(user, id)| Op::Lapse { user, id }),
        1 => (user(), 0..5_u8).prop_map(|(user, id)| Op::EvictOne { user, id }),
        1 => user().prop_map(|user| Op::EvictAll { user }),
        1 => Just(Op::Look),
        1 => Just(Op::Restart),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    (pass(), op(), any::<bool>()).prop_map(|(pass, op, is_named)| Step { pass, op, is_named })
}
