//! How busy the runtime is that the store's callers run on.

use std::time::Duration;

use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::time::Instant;

/// From which share of their time on the runtime's threads are busy.
const SHARE: f64 = 0.8;
/// Over how long a time that is looked at.
const WINDOW: Duration = Duration::from_millis(20);

/// How busy the runtime was of late.
pub(super) struct Busyness {
    runtime: RuntimeMetrics,
    /// What its threads have worked in all, at `since`.
    worked: Duration,
    since: Instant,
    is_high: bool,
}

impl Busyness {
    pub(super) fn of(runtime: &Handle) -> Self {
        Self {
            runtime: runtime.metrics(),
            worked: Duration::ZERO,
            since: Instant::now(),
            is_high: false,
        }
    }

    pub(super) fn is_high(&mut self) -> bool {
        let window = self.since.elapsed();
        if WINDOW < window {
            let threads = self.runtime.num_workers();
            let worked = (0..threads).map(|at| self.runtime.worker_total_busy_duration(at));
            let before = std::mem::replace(&mut self.worked, worked.sum());
            let worked = self.worked.saturating_sub(before);
            self.is_high = window.mul_f64(SHARE * threads as f64) < worked;
            self.since += window;
        }
        self.is_high
    }
}
