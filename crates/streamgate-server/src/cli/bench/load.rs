//! One thread of the generator: its connections, and when each of them sends.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use tokio::task::coop::unconstrained;

use super::Shared;
use super::client::Connection;
use super::model::{Findings, Moment};
use super::pace::Pace;
use super::plan::Plan;
use super::tally::Tally;
use super::traffic::{Action, Exchange, Traffic};

/// How long answers are waited for after the last request was due.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long a connection rests after an error, so that a dead server is not hammered.
const REST: Duration = Duration::from_millis(10);
/// Timers are this coarse; what is left of a wait is spent looking at the clock.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// Runs on one thread only; nothing in it is borrowed across an `.await`.
pub(super) struct Worker<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    thread: u64,
    pace: RefCell<Pace>,
    traffic: RefCell<Traffic<'a>>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(plan: &'a Plan, shared: &'a Shared, thread: u64) -> anyhow::Result<Self> {
        Ok(Self {
            plan,
            shared,
            thread,
            pace: RefCell::new(Pace::new(Moment::ZERO, Moment::MAX, None)),
            traffic: RefCell::new(Traffic::new(plan, shared.tag, thread)?),
        })
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        let count = self.plan.share(self.plan.connections, self.thread);
        (0..count)
            .map(|_| Connection::new(&self.plan.url))
            .collect()
    }

    /// Starts one stream for each of the first users.
    pub(super) async fn fill(&self, connections: &mut [Connection]) {
        self.drive(connections, Moment::MAX).await;
    }

    /// Loads the server from `start` until warm-up and duration are over.
    pub(super) async fn load(&self, connections: &mut [Connection], start: Instant) {
        let start = start.saturating_duration_since(self.shared.epoch);
        let measured = start + self.plan.warmup;
        let end = measured + self.plan.duration;
        let rate = self.plan.rate.map(|rate| rate / self.plan.threads as f64);
        self.pace.replace(Pace::new(start, end, rate));
        self.traffic.borrow_mut().is_filling = false;
        self.traffic.borrow_mut().tally.measured_from = measured;
        self.drive(connections, end).await;
    }

    /// What it measured and found.
    pub(super) fn finish(self) -> (Tally, Findings) {
        let traffic = self.traffic.into_inner();
        (traffic.tally, traffic.model.findings)
    }

    async fn drive(&self, connections: &mut [Connection], end: Moment) {
        let turns = connections.iter_mut().map(|it| self.turns(it));
        tokio::select! {
            biased;
            _ = unconstrained(join_all(turns)) => {}
            () = self.too_late(end) => self.traffic.borrow_mut().tally.give_up(),
            () = self.stay_awake() => {}
        }
    }

    /// Keeps the thread from sleeping, if that is wished; never ends.
    async fn stay_awake(&self) {
        if !self.plan.busy_poll {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::task::yield_now().await;
        }
    }

    async fn too_late(&self, end: Moment) {
        tokio::select! {
            () = tokio::time::sleep(end.saturating_sub(self.now())) => {}
            () = self.shared.stop.cancelled() => {}
        }
        tokio::time::sleep(DRAIN_MAX).await;
    }

    /// What one connection does until the phase is over.
    async fn turns(&self, connection: &mut Connection) {
        let mut now = self.now();
        loop {
            let Some(due) = self.pace.borrow_mut().take(now) else {
                return;
            };
            if now < due {
                now = self.reach(due).await;
            }
            if self.shared.stop.is_cancelled() {
                return;
            }
            let Some(action) = self.traffic.borrow_mut().next(now) else {
                return;
            };
            now = self.act(connection, action, due, now).await;
        }
    }

    fn now(&self) -> Moment {
        crate::clock::instant().saturating_duration_since(self.shared.epoch)
    }

    async fn reach(&self, due: Moment) -> Moment {
        loop {
            let now = self.now();
            let left = due.saturating_sub(now);
            if left.is_zero() || self.shared.stop.is_cancelled() {
                return now;
            }
            if TIMER_SLACK < left {
                tokio::time::sleep(left - TIMER_SLACK).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Sends a request, takes in its answer, and returns when that came.
    async fn act(
        &self,
        connection: &mut Connection,
        action: Action,
        due: Moment,
        sent: Moment,
    ) -> Moment {
        let credential = self.traffic.borrow().credential(&action);
        let credential = credential.as_deref();
        let answer = match &action {
            Action::Start { body, .. } => {
                let path = format_args!("/v1/streams");
                connection.send(&Method::POST, path, body, credential).await
            }
            Action::Beat(_, id) => {
                let path = format_args!("/v1/streams/{id}/heartbeat");
                connection.send(&Method::POST, path, "", credential).await
            }
            Action::Beats { body, .. } => {
                let path = format_args!("/v1/heartbeats");
                connection.send(&Method::POST, path, body, credential).await
            }
            Action::Stop(_, id) => {
                let path = format_args!("/v1/streams/{id}");
                connection.send(&Method::DELETE, path, "", credential).await
            }
        };
        let now = self.now();
        let exchange = Exchange {
            due,
            sent,
            answer: answer.as_ref().ok(),
            now,
        };
        self.traffic.borrow_mut().answered(&action, &exchange);
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
        if answer.is_err() {
            tokio::time::sleep(REST).await;
        }
        now
    }
}
