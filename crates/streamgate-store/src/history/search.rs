//! The search for an order: depth first, and no state twice (Wing and Gong, 1993; Lowe, 2017).

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use streamgate_core::{Heartbeat, Over, Record, Stream, StreamId, Target, Terms, Timestamp};

use super::show::Why;
use super::{Answer, NAMELESS, OPERATIONS_MAX, Operation, Refuted};

/// How many states the search for one user's order may come through.
pub(super) const STATES_MAX: usize = 300_000;
/// What the clients' clock begins with, so that a node's may be behind it.
const ZERO_US: u64 = 3_600_000_000;

/// What was found of one user.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) happened_unanswered: usize,
    pub(super) states: usize,
}

/// What the operations so far may have left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    record: Record,
    /// When each stream was last heard: not before and not after these. The record has one instant
    /// of them; any other would do as well.
    heard: BTreeMap<StreamId, (Timestamp, Timestamp)>,
}

/// The instants at which an operation may have been decided.
#[derive(Clone, Copy)]
struct Window {
    first: Timestamp,
    last: Timestamp,
    /// If all clocks show the same, and every operation takes no time.
    likely: Timestamp,
}

pub(super) struct Search<'a> {
    /// In the order of their invocations.
    operations: Vec<&'a Operation>,
    clocks_apart_us: u64,
    states_max: usize,
    /// When no lease can end or become suspect before all is over, every instant is as good as
    /// any other, and one is enough.
    any_instant: Option<Timestamp>,
    /// The terms of the leases.
    terms: Option<Terms>,
    /// The streams that operations name.
    named: HashSet<&'a StreamId>,
    /// Which operations were done, and what they left.
    seen: HashSet<(u128, State)>,
    order: Vec<usize>,
    longest: Vec<usize>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        operations: Vec<&'a Operation>,
        clocks_apart: Duration,
        states_max: usize,
    ) -> Self {
        let clocks_apart_us = u64::try_from(clocks_apart.as_micros()).unwrap_or(u64::MAX);
        let ids = operations.iter().filter_map(|it| it.asked.id());
        Self {
            any_instant: any_instant(&operations, clocks_apart),
            terms: operations.iter().find_map(|it| it.asked.terms()),
            named: ids.filter(|id| !is_nameless(id)).collect(),
            operations,
            clocks_apart_us,
            states_max,
            seen: HashSet::new(),
            order: Vec::new(),
            longest: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> Result<Found, Box<Refuted>> {
        if OPERATIONS_MAX < self.operations.len() {
            return Err(self.refuted(Why::TooManyOperations));
        }
        if !self.goes_on(0, &State::default()) {
            let why = if self.states_max <= self.seen.len() {
                Why::TooManyStates
            } else {
                Why::NoOrder
            };
            return Err(self.refuted(why));
        }
        let is_unanswered = |index: &&usize| self.operations[**index].answered.is_none();
        Ok(Found {
            happened_unanswered: self.order.iter().filter(is_unanswered).count(),
            states: self.seen.len(),
        })
    }

    fn refuted(self, why: Why) -> Box<Refuted> {
        let operations = self.operations.into_iter().cloned().collect();
        Box::new(Refuted {
            why,
            operations,
            longest: self.longest,
        })
    }

    /// Whether the operations that are not `done` have an order from here on.
    fn goes_on(&mut self, done: u128, state: &State) -> bool {
        let left = self.operations.iter().enumerate();
        let left = left.filter(|(index, _)| done & (1 << index) == 0);
        let answered = left.clone().filter_map(|(_, it)| it.answered.as_ref());
        // Whatever comes next happened before anybody was answered who is not done.
        let Some(until_us) = answered.map(|(at, _)| *at).min() else {
            return true;
        };
        if self.longest.len() < self.order.len() {
            self.longest.clone_from(&self.order);
        }
        if self.states_max <= self.seen.len() || !self.seen.insert((done, state.clone())) {
            return false;
        }
        let next = left.filter(|(_, it)| it.invoked_us <= until_us);
        let mut next: Vec<(usize, &Operation)> = next.map(|(index, it)| (index, *it)).collect();
        // Of those that nobody knows of, most did not happen or changed nothing.
        next.sort_by_key(|(_, it)| it.answered.as_ref().map_or(u64::MAX, |(at, _)| *at));
        for (index, operation) in next {
            for after in self.effects(operation, state, until_us) {
                self.order.push(index);
                if self.goes_on(done | 1 << index, &after) {
                    return true;
                }
                self.order.pop();
            }
        }
        false
    }

    /// What an operation may leave, if it was answered as the rules would have. When exactly
    /// things happened is left open; who has a place is not.
    fn effects(&self, operation: &Operation, state: &State, until_us: u64) -> Vec<State> {
        let window = self.window(operation, until_us);
        let mut effects: Vec<(Answer, Vec<StreamId>, State)> = Vec::new();
        for record in self.timings(operation, state, window) {
            for now in self.instants(operation, &record, window) {
                let (answer, after) = operation.asked.act(&operation.user, &record, now);
                let is_told = match &operation.answered {
                    Some((_, told)) => self.is_same(told, &answer),
                    // What changed nothing need not have happened.
                    None => after != record,
                };
                let ids = streams(operation, &after).into_iter().map(|it| it.id);
                let ids: Vec<StreamId> = ids.collect();
                let is_new = |(had, with, _): &(Answer, Vec<StreamId>, State)| {
                    *had != answer || *with != ids
                };
                if is_told && effects.iter().all(is_new) {
                    let mut heard = state.heard.clone();
                    if let (Some(id), true) = (operation.asked.id(), is_heard(&answer)) {
                        heard.insert(id.clone(), (window.first, window.last));
                    }
                    let left = State {
                        record: after,
                        heard,
                    };
                    effects.push((answer, ids, left));
                }
            }
            if !effects.is_empty() {
                break;
            }
        }
        effects.into_iter().map(|(_, _, left)| left).collect()
    }

    /// When an operation may have been decided, by some node's lease clock: at any instant since it
    /// was asked for. It need not be after those of the operations before it, since a node may be
    /// stopped between its decision and the swap.
    fn window(&self, operation: &Operation, until_us: u64) -> Window {
        let before = self.order.iter().map(|it| self.operations[*it].invoked_us);
        let likely_us = before.max().map_or(operation.invoked_us, |latest| {
            latest.max(operation.invoked_us)
        });
        match self.any_instant {
            Some(instant) => Window {
                first: instant,
                last: instant,
                likely: instant,
            },
            None => Window {
                first: timestamp(operation.invoked_us, self.clocks_apart_us, 0),
                last: timestamp(until_us, 0, self.clocks_apart_us),
                likely: timestamp(likely_us, 0, 0),
            },
        }
    }

    /// The instants that make a difference: those at which something of the record ends. The
    /// others stand for what lies between.
    fn instants(&self, operation: &Operation, record: &Record, window: Window) -> Vec<Timestamp> {
        let mut instants = vec![window.likely];
        if self.any_instant.is_none() {
            let leases = streams(operation, record).into_iter().map(|it| it.lease);
            let turns = leases.flat_map(|lease| [lease.reclaimable_at(), lease.expires_at()]);
            let turns = turns.filter(|turn| window.first < *turn && *turn <= window.last);
            instants.extend(turns.collect::<Vec<_>>());
            instants.extend([window.first, window.last]);
        }
        instants
    }

    /// The record as it is, and, where that may make a difference, with each stream heard as early
    /// and as late as it may have been.
    fn timings(&self, operation: &Operation, state: &State, window: Window) -> Vec<Record> {
        let mut timings = vec![state.record.clone()];
        let (Some(terms), None) = (self.terms, self.any_instant) else {
            return timings;
        };
        let streams = streams(operation, &state.record);
        let may_be_suspect = |stream: &Stream| {
            let (early, late) = state.heard.get(&stream.id).copied().unwrap_or_default();
            stream.lease.reclaimable_at() <= window.last.plus(late.since(early))
        };
        if !streams.iter().any(may_be_suspect) {
            return timings;
        }
        for Stream { id, .. } in &streams {
            let Some((early, late)) = state.heard.get(id).copied() else {
                continue;
            };
            for index in 0..timings.len() {
                for at in [early, late] {
                    let mut timing = timings[index].clone();
                    let user = Some(&operation.user);
                    timing.heartbeat(Target { user, id }, &Heartbeat::default(), terms, at);
                    timings.push(timing);
                }
            }
        }
        timings
    }

    fn is_same(&self, told: &Answer, due: &Answer) -> bool {
        let names = |ids: &[StreamId]| -> Vec<Option<StreamId>> {
            ids.iter().map(|id| self.name(id)).collect()
        };
        match (told, due) {
            (
                Answer::Admitted { active, replaced },
                Answer::Admitted {
                    active: due_active,
                    replaced: due_replaced,
                },
            )
            | (
                Answer::Resumed { active, replaced },
                Answer::Resumed {
                    active: due_active,
                    replaced: due_replaced,
                },
            ) => active == due_active && names(replaced) == names(due_replaced),
            (Answer::Denied { holders }, Answer::Denied { holders: due }) => {
                names(holders) == names(due)
            }
            (Answer::Over(Over::Replaced { by }), Answer::Over(Over::Replaced { by: due_by })) => {
                self.name(by) == self.name(due_by)
            }
            (told, due) => told == due,
        }
    }

    /// A stream's name, if it has one in this history.
    fn name(&self, id: &StreamId) -> Option<StreamId> {
        self.named.contains(id).then(|| id.clone())
    }
}

/// The streams of the operation's user that have a place or had one when somebody last looked.
fn streams(operation: &Operation, record: &Record) -> Vec<Stream> {
    record.streams(&operation.user, Timestamp::default()).0
}

/// Whether a lease runs from this answer on.
fn is_heard(answer: &Answer) -> bool {
    match answer {
        Answer::Admitted { .. }
        | Answer::Same { .. }
        | Answer::Renewed { .. }
        | Answer::Resumed { .. } => true,
        Answer::Denied { .. } | Answer::Over(_) | Answer::Unknown | Answer::Done => false,
    }
}

fn is_nameless(id: &StreamId) -> bool {
    id.to_string().starts_with(NAMELESS)
}

/// Some instant, if it does not matter which.
fn any_instant(operations: &[&Operation], clocks_apart: Duration) -> Option<Timestamp> {
    let terms = operations.iter().filter_map(|it| it.asked.terms());
    let patience = terms.map(|terms| {
        let suspect_after = terms.heartbeat.map(|interval| interval * 3 / 2);
        suspect_after.map_or(terms.lease, |after| after.min(terms.lease))
    });
    let invoked = operations.iter().map(|it| it.invoked_us);
    let answered = operations.iter().filter_map(|it| it.answered.as_ref());
    let last = answered.map(|(at, _)| *at).chain(invoked.clone()).max()?;
    let first = invoked.min()?;
    let all = Duration::from_micros(last - first) + 2 * clocks_apart;
    let is_short = patience.min().is_none_or(|patience| all < patience);
    is_short.then(|| timestamp(first, 0, 0))
}

/// A node's lease clock when the clients' shows this, or so much less or more.
fn timestamp(at_us: u64, less_us: u64, more_us: u64) -> Timestamp {
    Timestamp::from_millis((ZERO_US + at_us + more_us).saturating_sub(less_us) / 1000)
}
