//! Waiting, always with a deadline.

use std::time::{Duration, Instant};

/// How long a wait rests between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "tests of a running process measure real time; this is the one place"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn elapsed_since(start: Instant) -> Duration {
    now().saturating_duration_since(start)
}

/// Looks again and again until there is something to see.
#[track_caller]
pub(crate) fn wait_until<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let start = now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(
            elapsed_since(start) < within,
            "waited {within:?} in vain until {what}"
        );
        std::thread::sleep(PAUSE);
    }
}

/// Lets time pass where its passing is the thing tested.
pub(crate) fn let_pass(duration: Duration) {
    std::thread::sleep(duration);
}
