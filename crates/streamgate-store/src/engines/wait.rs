//! Waiting, always with a deadline.

use std::time::{Duration, Instant};

/// How long a wait rests between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "what waits for another process measures real time; this is the one place"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Looks again and again until there is something to see, or it is too late.
pub(super) fn wait_until<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = now();
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if within <= now().saturating_duration_since(start) {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}
