//! Whether what clients saw can have happened: each user's operations, taken one at a time in
//! some order that agrees with who was answered before whom asked, must come to the same answers
//! by the rules of `streamgate_core` (linearizability; Herlihy and Wing, 1990).
//!
//! It knows neither stores nor servers: only what was asked, when, and what came back.

mod search;
mod show;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use streamgate_core::{
    Beat, Claim, Heartbeat, Over, Policy, Readmitted, Record, Start, Started, StreamId, Target,
    Terms, Timestamp, UserId, Which,
};

use self::search::{STATES_MAX, Search};

pub use self::show::Refuted;

/// How many operations of one user can be checked: as many as a set of bits has.
pub const OPERATIONS_MAX: usize = u128::BITS as usize;

/// What a nameless stream is called: see [`nameless`].
const NAMELESS: &str = "~nameless-";

/// One thing that a client asked, and what came of it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Whose streams it is about.
    pub user: UserId,
    /// What was asked.
    pub asked: Asked,
    /// Before it was sent, in microseconds of a clock that all clients share.
    pub invoked_us: u64,
    /// After it was answered, and how. `None` when nobody knows what became of it: it may have
    /// happened at any time since then, or never.
    pub answered: Option<(u64, Answer)>,
}

/// What was asked.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A place.
    Start(Box<Start>, Policy),
    /// A lease, for a stream that the client may be able to prove.
    Heartbeat {
        /// Which stream.
        id: StreamId,
        /// The terms of its lease.
        terms: Terms,
        /// What its token says.
        claim: Option<Box<Claim>>,
    },
    /// An end.
    Stop(StreamId),
    /// An end by an operator, of one stream or of all.
    Evict(Option<StreamId>),
    /// Nothing: the engine lost all that it had.
    Loss,
}

/// What was answered. Whoever had a place is told how many the user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A new stream has its place.
    Admitted {
        /// How many streams the user has, this one counted.
        active: usize,
        /// The streams that it replaced.
        replaced: Vec<StreamId>,
    },
    /// The stream was there already.
    Same {
        /// How many streams the user has.
        active: usize,
    },
    /// The lease is renewed.
    Renewed {
        /// How many streams the user has.
        active: usize,
    },
    /// The stream took its place back, or the one that it had before the engine lost it.
    Resumed {
        /// How many streams the user has, this one counted.
        active: usize,
        /// The streams that it replaced.
        replaced: Vec<StreamId>,
    },
    /// The limit is reached.
    Denied {
        /// The streams in the way, in the order in which they took their places.
        holders: Vec<StreamId>,
    },
    /// The stream is over.
    Over(Over),
    /// There is no such stream.
    Unknown,
    /// What was to end is over.
    Done,
}

/// A name for a stream that was started without one and whose answer was lost. Where an answer
/// names a stream that no operation of its user names, it is one of these.
///
/// # Panics
/// Never: it is a valid name.
#[must_use]
pub fn nameless(number: usize) -> StreamId {
    StreamId::parse(&format!("{NAMELESS}{number}")).expect("it has only characters of ids")
}

/// What a check came to that refuted nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many users there were.
    pub users: usize,
    /// How many operations were put in an order.
    pub operations: usize,
    /// Of how many nobody knew what became of them.
    pub unanswered: usize,
    /// How many of those must have happened, or may as well have.
    pub happened_unanswered: usize,
    /// How many operations were under way while another one of their user was.
    pub concurrent: usize,
    /// How many states the search came through.
    pub states: usize,
}

/// Checks each user's operations. Nodes' lease clocks may be `clocks_apart` from the clients'.
///
/// # Errors
/// The first user whose operations have no order, or too many orders to try.
pub fn check(history: &[Operation], clocks_apart: Duration) -> Result<Checked, Box<Refuted>> {
    let mut users: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        let of_user = users.entry(operation.user.as_str()).or_default();
        of_user.push(operation);
    }
    let mut checked = Checked {
        users: users.len(),
        ..Checked::default()
    };
    for mut operations in users.into_values() {
        operations.sort_by_key(|operation| operation.invoked_us);
        checked.concurrent += concurrent(&operations);
        checked.unanswered += operations.iter().filter(|it| it.answered.is_none()).count();
        checked.operations += operations.len();
        let found = Search::new(operations, clocks_apart, STATES_MAX).run()?;
        checked.happened_unanswered += found.happened_unanswered;
        checked.states += found.states;
    }
    Ok(checked)
}

/// How many of these, which are in the order of their invocations, began while an earlier one was
/// not yet answered.
fn concurrent(operations: &[&Operation]) -> usize {
    let mut latest = 0;
    let mut count = 0;
    for operation in operations {
        count += usize::from(operation.invoked_us < latest);
        let answered = operation.answered.as_ref();
        latest = latest.max(answered.map_or(0, |(at, _)| *at));
    }
    count
}

impl Asked {
    /// What the rules answer at `now`, and the record that a store would have then: an answer that
    /// changes nothing is given without a write.
    fn act(&self, user: &UserId, record: &Record, now: Timestamp) -> (Answer, Record) {
        let mut next = record.clone();
        next.expire(now);
        let answer = match self {
            Self::Start(request, policy) => of_start(next.start(request, policy, now)),
            Self::Heartbeat { id, terms, claim } => {
                let (beat, user) = (Heartbeat::default(), Some(user));
                let target = Target { user, id };
                of_heartbeat(match claim {
                    Some(claim) => next.readmit(claim, &beat, *terms, now),
                    None => Readmitted::Known(next.heartbeat(target, &beat, *terms, now)),
                })
            }
            Self::Stop(id) => {
                let user = Some(user);
                next.stop(Target { user, id }, now);
                Answer::Done
            }
            Self::Evict(which) => {
                let which = which.as_ref().map_or(Which::All, Which::One);
                next.evict(user, which, now);
                Answer::Done
            }
            Self::Loss => return (Answer::Done, Record::default()),
        };
        match answer {
            Answer::Denied { .. } | Answer::Over(_) | Answer::Unknown => (answer, record.clone()),
            Answer::Admitted { .. }
            | Answer::Same { .. }
            | Answer::Renewed { .. }
            | Answer::Resumed { .. }
            | Answer::Done => (answer, next),
        }
    }

    /// The stream that it is about.
    fn id(&self) -> Option<&StreamId> {
        match self {
            Self::Start(request, _) => Some(&request.id),
            Self::Heartbeat { id, .. } | Self::Stop(id) | Self::Evict(Some(id)) => Some(id),
            Self::Evict(None) | Self::Loss => None,
        }
    }

    /// The terms of the lease that it may give.
    fn terms(&self) -> Option<Terms> {
        match self {
            Self::Start(_, policy) => Some(policy.terms),
            Self::Heartbeat { terms, .. } => Some(*terms),
            Self::Stop(_) | Self::Evict(_) | Self::Loss => None,
        }
    }
}

fn of_start(started: Started) -> Answer {
    match started {
        Started::Admitted { place, replaced } => Answer::Admitted {
            active: place.active,
            replaced,
        },
        Started::Same(place) => Answer::Same {
            active: place.active,
        },
        Started::Over(over) => Answer::Over(over),
        Started::Denied(denial) => Answer::Denied {
            holders: denial.holders.into_iter().map(|it| it.id).collect(),
        },
    }
}

fn of_heartbeat(readmitted: Readmitted) -> Answer {
    match readmitted {
        Readmitted::Known(Beat::Renewed(place) | Beat::Fresh(place) | Beat::Joined(place)) => {
            Answer::Renewed {
                active: place.active,
            }
        }
        Readmitted::Known(Beat::Resumed(place)) => Answer::Resumed {
            active: place.active,
            replaced: Vec::new(),
        },
        Readmitted::Known(Beat::Over(over)) => Answer::Over(over),
        Readmitted::Known(Beat::Unknown) => Answer::Unknown,
        Readmitted::Entered { place, replaced } => Answer::Resumed {
            active: place.active,
            replaced,
        },
        Readmitted::Denied(denial) => Answer::Denied {
            holders: denial.holders.into_iter().map(|it| it.id).collect(),
        },
    }
}
