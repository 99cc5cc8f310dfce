//! What waits for the disk. Swaps push under the lock of their record, so the queue has the
//! order of the decisions; the commit thread takes all that gathered while it wrote.

use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use streamgate_core::{Locator, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::busyness::Busyness;
use super::entry::{Batch, Op};
use crate::store::{BoxError, StoreError};

/// How many writes may wait for the disk.
const WRITES_MAX: usize = 65_536;

/// After a commit that several callers shared, writes gather before the next one begins: a commit
/// costs as much as a dozen requests. A caller who comes alone never waits for it.
struct Gathering {
    /// It goes on as long as more writes come within this time,
    step: Duration,
    /// and no longer than this.
    max: Duration,
}

/// While there is time left, a start should not wait for others.
const GATHERING: Gathering = Gathering {
    step: Duration::from_micros(250),
    max: Duration::from_millis(1),
};
/// A busy runtime has better things to do than many small commits.
const GATHERING_WHEN_BUSY: Gathering = Gathering {
    step: Duration::from_micros(500),
    max: Duration::from_millis(3),
};
/// How many writes in one commit are those of several callers.
const SHARED: usize = 2;

/// How long one commit may take before the store is not ready any more.
pub(super) const COMMIT_MAX: Duration = Duration::from_secs(5);

/// What the commit thread is to do next.
pub(super) enum Next {
    /// Write these in one commit.
    Commit(Commit),
    /// Everything is written: say that the store was closed.
    Close(Timestamp),
    /// Leave the disk as it is.
    Abandon,
}

pub(super) struct Commit {
    pub(super) batch: Batch,
    /// The number of its last write.
    pub(super) last: u64,
    pub(super) watermark: Timestamp,
}

pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to do.
    wake: Condvar,
    /// What gathers is to be written at once.
    closing: Condvar,
    progress: watch::Sender<Progress>,
}

struct State {
    batch: Batch,
    last: u64,
    watermark: Timestamp,
    phase: Phase,
    /// Since when the commit at work is at work.
    committing_since: Option<Instant>,
    /// Whether several callers shared the last commit.
    is_shared: bool,
    runtime: Option<Busyness>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The disk failed; nothing is taken until everything is on a fresh file.
    Failing,
    Closing,
    Abandoned,
}

struct Progress {
    durable: u64,
    /// Why writes fail, while they do.
    failure: Option<String>,
}

impl Queue {
    /// A queue whose first write gets the number after `last`.
    pub(super) fn after(last: u64) -> Self {
        let state = State {
            batch: Batch::default(),
            last,
            watermark: Timestamp::default(),
            phase: Phase::Open,
            committing_since: None,
            is_shared: false,
            runtime: Handle::try_current().ok().as_ref().map(Busyness::of),
        };
        Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            closing: Condvar::new(),
            progress: watch::Sender::new(Progress {
                durable: last,
                failure: None,
            }),
        }
    }

    /// Takes a write in and returns its number.
    pub(super) fn push(
        &self,
        at: Locator,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Open if state.batch.len() < WRITES_MAX => {}
            Phase::Open => return Err(StoreError::Overloaded { store: "embedded" }),
            Phase::Failing => return self.failure().and(Err(unavailable("the disk failed"))),
            Phase::Closing | Phase::Abandoned => return Err(unavailable("the store is closing")),
        }
        state.last += 1;
        let number = state.last;
        state.batch.push(Op { number, at, bytes });
        state.watermark = state.watermark.max(now);
        if state.batch.len() == 1 {
            self.wake.notify_one();
        }
        Ok(number)
    }

    /// Waits until a write and all before it are on disk.
    pub(super) async fn wait_until_durable(&self, written: u64) -> Result<(), StoreError> {
        if written <= self.progress.borrow().durable {
            return Ok(());
        }
        let mut progress = self.progress.subscribe();
        let progress = progress
            .wait_for(|progress| written <= progress.durable || progress.failure.is_some())
            .await
            .map_err(unavailable)?;
        match &progress.failure {
            Some(failure) if progress.durable < written => Err(unavailable(failure.clone())),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether durable writes are taken and come to an end.
    pub(super) fn ready(&self) -> Result<(), StoreError> {
        let since = self.state.lock().committing_since;
        if since.is_some_and(|since| COMMIT_MAX < since.elapsed()) {
            return Err(unavailable("the disk has not answered for a while"));
        }
        self.failure()
    }

    /// Why writes fail, while they do.
    pub(super) fn failure(&self) -> Result<(), StoreError> {
        match &self.progress.borrow().failure {
            Some(failure) => Err(unavailable(failure.clone())),
            None => Ok(()),
        }
    }

    /// Waits for something to do, and a little for more of it.
    pub(super) fn next(&self) -> Next {
        let mut state = self.state.lock();
        self.wake.wait_while(&mut state, |state| {
            state.batch.is_empty() && state.phase == Phase::Open
        });
        if state.is_shared {
            self.gather(&mut state);
        }
        match state.phase {
            Phase::Abandoned => Next::Abandon,
            Phase::Closing if state.batch.is_empty() => Next::Close(state.watermark),
            Phase::Open | Phase::Closing => {
                state.committing_since = Some(Instant::now());
                state.is_shared = SHARED <= state.batch.len();
                Next::Commit(Commit {
                    batch: std::mem::take(&mut state.batch),
                    last: state.last,
                    watermark: state.watermark,
                })
            }
            Phase::Failing => unreachable!("the commit thread recovers before it goes on"),
        }
    }

    fn gather(&self, state: &mut MutexGuard<'_, State>) {
        let is_busy = state.runtime.as_mut().is_some_and(Busyness::is_high);
        let gathering = if is_busy {
            GATHERING_WHEN_BUSY
        } else {
            GATHERING
        };
        let until = Instant::now() + gathering.max;
        let mut before = 0;
        while state.phase == Phase::Open && before < state.batch.len() {
            before = state.batch.len();
            let step = (Instant::now() + gathering.step).min(until);
            self.closing
                .wait_while_until(state, |state| state.phase == Phase::Open, step.into());
        }
    }

    /// Everything up to `last` is on disk.
    pub(super) fn committed(&self, last: u64) {
        self.state.lock().committing_since = None;
        self.progress
            .send_modify(|progress| progress.durable = last);
    }

    /// The disk failed. Whoever waits is told; what waits is dropped, since the table has it and
    /// the fresh file is written from the table.
    pub(super) fn fail(&self, failure: String) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Failing;
        }
        state.batch = Batch::default();
        state.committing_since = None;
        self.progress
            .send_modify(|progress| progress.failure = Some(failure));
    }

    /// The number of the last write taken, and the watermark of all.
    pub(super) fn last(&self) -> (u64, Timestamp) {
        let state = self.state.lock();
        (state.last, state.watermark)
    }

    /// Everything is on a fresh file: goes on as if nothing had been.
    pub(super) fn recovered(&self, last: u64) {
        let mut state = self.state.lock();
        if state.phase == Phase::Failing {
            state.phase = Phase::Open;
        }
        self.progress.send_modify(|progress| {
            *progress = Progress {
                durable: last,
                failure: None,
            }
        });
    }

    /// Waits before the next try to recover; false when there is to be none.
    pub(super) fn pause(&self, duration: Duration) -> bool {
        let mut state = self.state.lock();
        self.wake
            .wait_while_for(&mut state, |state| state.phase == Phase::Failing, duration);
        state.phase == Phase::Failing
    }

    /// Takes no more; what waits is still written.
    pub(super) fn close(&self, now: Timestamp) {
        let mut state = self.state.lock();
        state.watermark = state.watermark.max(now);
        state.phase = Phase::Closing;
        self.wake.notify_one();
        self.closing.notify_one();
    }

    /// Takes no more and writes no more.
    pub(super) fn abandon(&self) {
        self.state.lock().phase = Phase::Abandoned;
        self.wake.notify_one();
        self.closing.notify_one();
    }
}

pub(super) fn unavailable(source: impl Into<BoxError>) -> StoreError {
    StoreError::Unavailable {
        store: "embedded",
        source: source.into(),
    }
}
