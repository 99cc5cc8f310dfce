//! How many starts may be with the store: three quarters of all requests while they are answered
//! in time, fewer while they are not. What would be answered too late is better refused at once,
//! and stops and heartbeats, which are not counted here, get what that leaves. A client that is
//! slow itself is nobody's measure: what counts begins when its request is read.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::layers::starts_max;
use crate::clock::instant;
use crate::config::HttpConfig;

/// How many starts are let in however slow they are, to learn when that is over.
const BOUND_MIN: usize = 16;

/// A bound that follows how long starts take: additive increase, multiplicative decrease (Chiu
/// and Jain, 1989).
pub(crate) struct StartBound {
    max: usize,
    /// What takes longer is slow.
    in_time: Duration,
    bound: AtomicUsize,
    in_flight: AtomicUsize,
}

/// A start that is with the store. It counts until this is dropped, whatever becomes of it.
pub(crate) struct Entered<'a> {
    bound: &'a StartBound,
    began: Instant,
}

impl StartBound {
    /// For the starts of a server of these bounds; those that take more than half of its deadline
    /// are slow.
    pub(crate) fn new(config: &HttpConfig) -> Self {
        let max = starts_max(config);
        Self {
            max,
            in_time: config.deadline / 2,
            bound: AtomicUsize::new(max),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Lets a start in, or not.
    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        let bound = self.bound.load(Ordering::Relaxed);
        let entered =
            self.in_flight
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |in_flight| {
                    (in_flight < bound).then_some(in_flight + 1)
                });
        entered.ok().map(|_before| Entered {
            bound: self,
            began: instant(),
        })
    }

    fn left(&self, took: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let least = BOUND_MIN.min(self.max);
        let follow = |bound: usize| {
            if self.in_time < took {
                (bound - bound / 8).max(least)
            } else {
                (bound + 1).min(self.max)
            }
        };
        let update = |bound| Some(follow(bound)).filter(|next| *next != bound);
        let followed = self
            .bound
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        if followed.is_ok_and(|before| before == self.max) {
            tracing::warn!("starts are slow: fewer are let in");
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.bound.left(self.began.elapsed());
    }
}
