//! Random histories of two users who share a record: each answer is the model's, and what is
//! promised holds after each step.

extern crate std;

mod real;
mod steps;
pub(super) mod words;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use std::sync::Mutex;

use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};

use self::steps::{Pass, Step, step};
use self::words::{Answer, Ask, Op, Why};
use super::model::Model;
use crate::*;

/// `PROPTEST_CASES` raises it.
const CASES_MIN: u32 = 4000;
/// A history has 1 to this many, so that a failing one can shrink to its core.
const STEPS_MAX: usize = 120;
const USERS: [u8; 2] = [1, 2];
const MEMORY_MS: u64 = 600_000;

/// Every kind of answer that a run must have seen, or it proves nothing.
const KINDS: [&str; 28] = [
    "admitted",
    "admitted by the device's own",
    "admitted by choice",
    "admitted by reclaiming",
    "admitted by the oldest",
    "already",
    "denied",
    "denied under a lowered limit",
    "ended",
    "evicted",
    "expired",
    "forgone",
    "found without a user",
    "nobody to evict",
    "nobody to expire",
    "noted",
    "lapsed",
    "nobody to lapse",
    "over: evicted",
    "over: expired",
    "over: replaced",
    "over: stopped",
    "renewed",
    "restarted",
    "resumed",
    "same",
    "unknown",
    "users with equal ids",
];

#[test]
fn every_history_goes_as_the_model_says() {
    let defaults = Config::default();
    let mut runner = TestRunner::new(Config {
        cases: defaults.cases.max(CASES_MIN),
        // A failure prints its shortest history; that becomes a table test.
        failure_persistence: None,
        ..defaults
    });
    let met = Mutex::new(BTreeMap::new());
    let histories = vec(step(), 1..=STEPS_MAX);
    let result = runner.run(&histories, |steps| {
        let mut history = History::default();
        for step in &steps {
            history.take(step);
        }
        let mut met = met.lock().unwrap();
        for kind in history.met {
            *met.entry(kind).or_insert(0_u32) += 1;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let met = met.into_inner().unwrap();
    std::println!("histories with: {met:#?}");
    let kinds = BTreeSet::from(KINDS);
    let met: BTreeSet<_> = met.into_keys().collect();
    assert_eq!(met, kinds, "each kind of answer is met, and listed");
}

/// One history, played by the rules and by the model.
#[derive(Default)]
struct History {
    now: u64,
    step: u64,
    /// The record that both users share.
    record: Record,
    /// The same for each user alone: neither may notice the other.
    alone: BTreeMap<u8, Record>,
    model: Model,
    /// User, id and when it was ended for good.
    ended: Vec<(u8, u8, u64)>,
    met: BTreeSet<&'static str>,
}

impl History {
    fn take(&mut self, step: &Step) {
        self.step += 1;
        self.pass(&step.pass);
        let mut before = self.record.clone();
        before.expire(Timestamp::from_millis(self.now));

        // Where both users have the id, only together with a user is it clear.
        let is_unique = match &step.op {
            Op::Heartbeat { user, id, .. } | Op::Stop { user, id } | Op::Lapse { user, id } => {
                let knows = |user| self.model.knows(user, *id, self.now);
                knows(*user) && !USERS.iter().all(|user| knows(*user))
            }
            Op::Start(_) | Op::EvictOne { .. } | Op::EvictAll { .. } | Op::Look | Op::Restart => {
                false
            }
        };
        let is_named = step.is_named || !is_unique;
        if !is_named {
            self.met.insert("found without a user");
        }
        let expected = self.model.apply(&step.op, self.now);
        let answer = real::apply(&mut self.record, &step.op, is_named, self.step, self.now);
        assert_eq!(answer, expected, "{:?} at {}", step.op, self.now);

        self.meet(&answer);
        self.check_alone(&step.op, is_named, &answer);
        self.check_answer(&step.op, &answer, &before);
        self.check_record();
    }

    fn pass(&mut self, pass: &Pass) {
        self.now = match pass {
            Pass::By(millis) => self.now + millis,
            Pass::ToBoundary { nth, early, late } => {
                let mut boundaries = self.model.boundaries(self.now);
                boundaries.sort_unstable();
                boundaries.dedup();
                let boundary = boundaries.get(*nth).map(|at| at + late - early);
                boundary.unwrap_or(self.now + 1).max(self.now)
            }
        };
    }

    /// The users' parts of a record are what each would be alone.
    fn check_alone(&mut self, op: &Op, is_named: bool, answer: &Answer) {
        let of = match op {
            Op::Start(Ask { user, .. })
            | Op::Heartbeat { user, .. }
            | Op::Stop { user, .. }
            | Op::Lapse { user, .. }
            | Op::EvictOne { user, .. }
            | Op::EvictAll { user } => Some(*user),
            Op::Look | Op::Restart => None,
        };
        for user in USERS {
            let alone = self.alone.entry(user).or_default();
            if of.is_none_or(|of| of == user) {
                let same = real::apply(alone, op, is_named, self.step, self.now);
                assert!(
                    of.is_none() || same == *answer,
                    "{op:?}: alone {same:?}, not {answer:?}"
                );
            }
            let (user, now) = (real::owner(user), Timestamp::from_millis(self.now));
            assert_eq!(
                alone.streams(&user, now).0,
                self.record.streams(&user, now).0
            );
        }
    }

    fn check_answer(&mut self, op: &Op, answer: &Answer, before: &Record) {
        if let Op::Start(ask) = op {
            self.check_start(ask, answer, before);
        }
        let now = self.now;
        match (op, answer) {
            (Op::Heartbeat { .. }, Answer::Resumed(taken)) => {
                assert!(
                    taken.active <= usize::from(taken.limit),
                    "resumed beyond the limit"
                );
            }
            (Op::Heartbeat { .. }, Answer::Over(_) | Answer::Unknown) => {
                assert_eq!(*before, self.record, "a refused heartbeat changes nothing");
            }
            (Op::Stop { user, id }, Answer::Ended(_) | Answer::Forgone | Answer::Noted) => {
                self.ended.push((*user, *id, now));
            }
            (Op::EvictOne { user, .. } | Op::EvictAll { user }, Answer::Evicted(ids)) => {
                self.ended.extend(ids.iter().map(|id| (*user, *id, now)));
            }
            _ => {}
        }
    }

    fn check_start(&mut self, ask: &Ask, answer: &Answer, before: &Record) {
        let now = Timestamp::from_millis(self.now);
        let (request, policy) = real::request(ask, self.step);
        let held = before.streams(&request.user, now).0;
        let foretold = before.admission(&request, &policy, now);
        match (answer, foretold) {
            (
                Answer::Admitted(taken, replaced),
                Admission::Open {
                    replaced: would,
                    active,
                    ..
                },
            ) => {
                assert_eq!(real::numbers(&would), *replaced);
                assert_eq!(active, held.len());
                assert!(
                    taken.active <= usize::from(ask.limit),
                    "admitted beyond the limit"
                );
                for stream in held.iter().filter(|stream| would.contains(&stream.id)) {
                    self.met.insert(why_replaced(stream, &request, now));
                }
                self.ended
                    .extend(replaced.iter().map(|id| (ask.user, *id, self.now)));
            }
            (
                Answer::Denied {
                    holders, retry_at, ..
                },
                Admission::Closed(_),
            ) => {
                assert_eq!(*before, self.record, "a denial changes nothing");
                let holds = |stream: &&Stream| holders.contains(&real::number(&stream.id));
                let is_live = |stream: &&Stream| stream.lease.state(now) == StreamState::Live;
                let live = held.iter().filter(holds).filter(is_live).count();
                assert!(
                    usize::from(ask.limit) <= live,
                    "a suspect never keeps anybody out"
                );
                self.check_retry(&request, &policy, *retry_at);
            }
            (Answer::Over(_), _) => {
                assert_eq!(*before, self.record, "a refusal changes nothing");
            }
            (Answer::Same(_), _) => {}
            (answer, foretold) => panic!("{answer:?}, but {foretold:?} was foretold"),
        }
        if let Answer::Admitted(taken, _) | Answer::Same(taken) = answer {
            let mut again = self.record.clone();
            let retried = again.start(&request, &policy, now);
            assert!(
                matches!(retried, Started::Same(place) if real::seen(&place.stream) == taken.stream)
            );
            assert_eq!(again, self.record, "a retry changes nothing");
        }
    }

    /// Whoever tries again when told to is admitted, and not before.
    fn check_retry(&self, request: &Start, policy: &Policy, retry_at: u64) {
        let admission = |at| {
            self.record
                .admission(request, policy, Timestamp::from_millis(at))
        };
        assert!(
            matches!(admission(retry_at), Admission::Open { .. }),
            "told to try again"
        );
        assert!(self.now < retry_at);
        assert!(
            matches!(admission(retry_at - 1), Admission::Closed(_)),
            "too late an advice"
        );
    }

    fn check_record(&mut self) {
        let now = Timestamp::from_millis(self.now);
        let mut kept = Record::decode(&self.record.encode()).unwrap();
        assert_eq!(kept, self.record);
        for user in USERS {
            let (streams, limit) = self.record.streams(&real::owner(user), now);
            let seen: Vec<_> = streams.iter().map(real::seen).collect();
            assert_eq!(seen, self.model.live(user, self.now));
            assert!(streams.is_empty() || limit.is_some());
            for stream in &streams {
                let id = real::number(&stream.id);
                let is_remembered = |at| self.now < at + MEMORY_MS;
                let was_ended = self
                    .ended
                    .iter()
                    .any(|ended| (ended.0, ended.1) == (user, id) && is_remembered(ended.2));
                assert!(!was_ended, "{id} of {user} came back");
            }
        }

        kept.expire(now);
        let due_at = kept.due_at();
        assert_eq!(
            due_at.map(Timestamp::as_millis),
            self.model.due_at(self.now)
        );
        assert_eq!(due_at.is_none(), kept.is_empty());
        if let Some(due_at) = due_at {
            let mut later = kept.clone();
            assert_eq!(
                later.expire(Timestamp::from_millis(due_at.as_millis() - 1)),
                0
            );
            assert_eq!(later, kept, "nothing was due yet");
            later.expire(due_at);
            assert_ne!(later, kept, "something was due");
        }
    }

    fn meet(&mut self, answer: &Answer) {
        let kind = match answer {
            Answer::Admitted(..) => "admitted",
            Answer::Same(_) => "same",
            Answer::Denied { limit, holders, .. } if usize::from(*limit) < holders.len() => {
                "denied under a lowered limit"
            }
            Answer::Denied { .. } => "denied",
            Answer::Renewed(_) => "renewed",
            Answer::Resumed(_) => "resumed",
            Answer::Over(Why::Stopped) => "over: stopped",
            Answer::Over(Why::Expired) => "over: expired",
            Answer::Over(Why::Replaced(_)) => "over: replaced",
            Answer::Over(Why::Evicted) => "over: evicted",
            Answer::Unknown => "unknown",
            Answer::Ended(_) => "ended",
            Answer::Forgone => "forgone",
            Answer::Already => "already",
            Answer::Noted => "noted",
            Answer::Lapsed(None) => "nobody to lapse",
            Answer::Lapsed(Some(_)) => "lapsed",
            Answer::Evicted(ids) if ids.is_empty() => "nobody to evict",
            Answer::Evicted(_) => "evicted",
            Answer::Expired(0) => "nobody to expire",
            Answer::Expired(_) => "expired",
            Answer::Restarted => "restarted",
        };
        self.met.insert(kind);
        let live = |user| {
            self.model
                .live(user, self.now)
                .into_iter()
                .map(|seen| seen.id)
        };
        if live(1).any(|id| live(2).any(|other| id == other)) {
            self.met.insert("users with equal ids");
        }
    }
}

/// Nothing else may cost a stream its place.
fn why_replaced(stream: &Stream, request: &Start, now: Timestamp) -> &'static str {
    let is_silent = stream.lease.state(now) == StreamState::Suspect;
    if request.replace.contains(&stream.id) {
        "admitted by choice"
    } else if request.device.id.is_some() && request.device.id == stream.device.id {
        "admitted by the device's own"
    } else if is_silent {
        "admitted by reclaiming"
    } else if request.on_limit == OnLimit::ReplaceOldest {
        "admitted by the oldest"
    } else {
        panic!("{stream:?} was heard in time, and replaced by {request:?}")
    }
}
