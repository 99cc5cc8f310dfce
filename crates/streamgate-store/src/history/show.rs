//! A refuted history, for people.

use std::fmt;

use super::{Asked, Operation};

/// Why the operations of a user can't be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    NoOrder,
    TooManyStates,
    TooManyOperations,
}

/// The operations of a user that have no order, and how far the search came.
#[derive(Clone, Debug)]
pub struct Refuted {
    pub(super) why: Why,
    /// In the order of their invocations.
    pub(super) operations: Vec<Operation>,
    /// The most that could be put in an order.
    pub(super) longest: Vec<usize>,
}

impl fmt::Display for Refuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::NoOrder => "no order of these operations comes to these answers",
            Why::TooManyStates => "there are too many orders of these operations to try them all",
            Why::TooManyOperations => "these are too many operations of one user",
        };
        let user = self.operations.first().map_or("", |it| it.user.as_str());
        writeln!(f, "user {user}: {why}")?;
        writeln!(f, "(with their places in the longest order that was found)")?;
        for (index, operation) in self.operations.iter().enumerate() {
            match self.longest.iter().position(|it| *it == index) {
                Some(place) => write!(f, "{:>4}. ", place + 1)?,
                None => write!(f, "   -  ")?,
            }
            writeln!(f, "{operation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refuted {}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let invoked = Millis(self.invoked_us);
        match &self.answered {
            Some((at, answer)) => {
                let at = Millis(*at);
                write!(f, "{invoked} to {at} ms: {} -> {answer:?}", self.asked)
            }
            None => write!(f, "{invoked} ms on: {} -> ?", self.asked),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(start, policy) => {
                let (id, limit) = (&start.id, policy.limit);
                write!(f, "start {id} of {limit}")?;
                if let Some(device) = &start.device.id {
                    write!(f, " on {}", device.as_str())?;
                }
                if !start.replace.is_empty() {
                    let replace = start.replace.iter().map(ToString::to_string);
                    write!(f, " for {}", replace.collect::<Vec<_>>().join(" "))?;
                }
                write!(f, " ({:?})", start.on_limit)
            }
            Self::Heartbeat { id, claim, .. } => {
                let proof = if claim.is_some() { " with token" } else { "" };
                write!(f, "heartbeat {id}{proof}")
            }
            Self::Stop(id) => write!(f, "stop {id}"),
            Self::Evict(Some(id)) => write!(f, "evict {id}"),
            Self::Evict(None) => write!(f, "evict all"),
            Self::Loss => write!(f, "the engine loses everything"),
        }
    }
}

/// Microseconds, shown as milliseconds.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}
