//! The one place where time comes from.

use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use streamgate_core::{Timestamp, WallTime};
use streamgate_store::EngineTime;

/// The longest step that the lease clock takes between two looks at it. The sweeper looks a
/// hundred times a second, so a longer gap means that this process did not run, and a silence of ours
/// must not end anybody's lease.
const STEP_MAX: Duration = Duration::from_secs(1);

/// Tells the time.
pub(crate) trait Clock: Send + Sync + 'static {
    /// The lease clock.
    fn now(&self) -> Timestamp {
        self.at(instant())
    }

    /// What the lease clock shows at this instant, which was just read.
    fn at(&self, instant: Instant) -> Timestamp;

    /// The clock on the wall, for people.
    fn wall(&self) -> WallTime;
}

/// The lease clock of one machine: it goes on from where the last process left it, by the
/// monotonic clock, and stands still while this process does.
pub(crate) struct SystemClock(Mutex<Reading>);

struct Reading {
    lease: Timestamp,
    taken_at: Instant,
}

impl SystemClock {
    /// A clock that shows `lease` now.
    pub(crate) fn starting_at(lease: Timestamp) -> Self {
        Self(Mutex::new(Reading {
            lease,
            taken_at: instant(),
        }))
    }
}

impl Reading {
    fn at(&mut self, now: Instant) -> Timestamp {
        let gap = now.saturating_duration_since(self.taken_at);
        // Whole milliseconds only; the rest stays for the next look.
        let step = Duration::from_millis(u64::try_from(gap.min(STEP_MAX).as_millis()).unwrap_or(0));
        self.lease = self.lease.plus(step);
        self.taken_at = if step < STEP_MAX {
            self.taken_at + step
        } else {
            self.taken_at.max(now)
        };
        self.lease
    }
}

impl Clock for SystemClock {
    fn at(&self, instant: Instant) -> Timestamp {
        self.0.lock().at(instant)
    }

    fn wall(&self) -> WallTime {
        wall()
    }
}

/// The lease clock of nodes that share an engine: the engine's clock as each of them last saw it,
/// and monotonic time since then. A step of a node's own clock changes nothing.
pub(crate) struct EngineClock(Mutex<Anchor>);

/// What the lease clock showed at some instant.
#[derive(Clone, Copy)]
struct Anchor {
    lease: Timestamp,
    at: Instant,
}

impl EngineClock {
    /// A clock that agrees with what the engine showed just now.
    pub(crate) fn of(engine: EngineTime) -> Self {
        Self(Mutex::new(Anchor {
            lease: engine.earliest,
            at: instant(),
        }))
    }

    /// Moves as little as it takes to agree with what the engine showed just now.
    pub(crate) fn follow(&self, engine: EngineTime) {
        let now = instant();
        let mut anchor = self.0.lock();
        let lease = anchor.lease_at(now).clamp(engine.earliest, engine.latest);
        *anchor = Anchor { lease, at: now };
    }
}

impl Anchor {
    fn lease_at(self, instant: Instant) -> Timestamp {
        let since = instant.saturating_duration_since(self.at);
        // An instant that was read before the clock was last moved.
        let before = self.at.saturating_duration_since(instant);
        let before = u64::try_from(before.as_millis()).unwrap_or(u64::MAX);
        let lease = self.lease.plus(since).as_millis();
        Timestamp::from_millis(lease.saturating_sub(before))
    }
}

impl Clock for EngineClock {
    fn at(&self, instant: Instant) -> Timestamp {
        self.0.lock().lease_at(instant)
    }

    fn wall(&self) -> WallTime {
        wall()
    }
}

fn wall() -> WallTime {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ms = since_epoch.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    });
    WallTime::from_millis(ms)
}

/// The monotonic clock, for measuring how long things take.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod manual {
    //! A clock that tests move.

    use super::{Clock, Duration, Instant, Mutex, Timestamp, WallTime};

    /// Stands still until it is advanced.
    #[derive(Default)]
    pub(crate) struct ManualClock(Mutex<Timestamp>);

    impl ManualClock {
        /// Moves on.
        pub(crate) fn advance(&self, duration: Duration) {
            let mut now = self.0.lock();
            *now = now.plus(duration);
        }
    }

    impl Clock for ManualClock {
        fn at(&self, _instant: Instant) -> Timestamp {
            *self.0.lock()
        }

        fn wall(&self) -> WallTime {
            WallTime::from_millis(1_800_000_000_000 + self.now().as_millis())
        }
    }
}
