//! When requests are due.

use super::model::Moment;

/// Hands out the moments at which requests are due, until the end of a phase.
///
/// In a closed loop a request is due when its connection is free. In an open loop requests are
/// due at even distances whatever the server does, and latency counts from there: a request that
/// waits for a connection while the server stalls has waited all the same (what Gil Tene calls
/// coordinated omission is leaving that out).
pub(super) struct Pace {
    start: Moment,
    end: Moment,
    per_second: Option<f64>,
    taken: u64,
}

impl Pace {
    pub(super) fn new(start: Moment, end: Moment, per_second: Option<f64>) -> Self {
        Self {
            start,
            end,
            per_second,
            taken: 0,
        }
    }

    /// When the next request is due, for a connection that is free `now`.
    pub(super) fn take(&mut self, now: Moment) -> Option<Moment> {
        let due = self.per_second.map_or(now, |per_second| {
            self.start + Moment::from_secs_f64(self.taken as f64 / per_second)
        });
        self.taken += 1;
        // What is due in time but not begun by the end stays undone: the rate was not reached.
        (due < self.end && now < self.end).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::tally::{Kind, Tally};

    fn ms(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    /// What one connection measures in a second of a server that answers within 1 ms, except
    /// that it stalls from 500 to 700 ms.
    fn stalled(per_second: Option<f64>) -> Tally {
        let mut pace = Pace::new(ms(0), ms(1000), per_second);
        let mut tally = Tally::new();
        tally.measured_from = ms(0);
        let mut now = ms(0);
        while let Some(due) = pace.take(now) {
            let sent = now.max(due);
            let stalls = ms(500) <= sent && sent < ms(700);
            now = if stalls { ms(700) } else { sent + ms(1) };
            tally.in_flight += 1;
            tally.count(Kind::Beat, Some(200), due, now);
        }
        tally
    }

    #[test]
    fn an_open_loop_counts_the_wait_of_requests_that_a_stall_held_up() {
        let tally = stalled(Some(100.0));
        assert_eq!(tally.requests(), 100);
        // Those due at 500, 510, … 690 ms waited from then on, and a few behind them.
        let latency = tally.latency();
        assert_eq!(latency.value_at_quantile(0.5), 1000);
        // The eleventh of them was due at 600 ms and answered at 710 ms.
        assert!((110_000..111_000).contains(&latency.value_at_quantile(0.9)));
        assert!((200_000..201_000).contains(&latency.max()));
    }

    #[test]
    fn a_closed_loop_sees_a_stall_once() {
        let tally = stalled(None);
        assert_eq!(tally.requests(), 801);
        assert_eq!(tally.latency().value_at_quantile(0.99), 1000);
    }

    #[test]
    fn an_open_loop_is_evenly_spaced_and_ends() {
        let mut pace = Pace::new(ms(10), ms(16), Some(500.0));
        let due: Vec<_> = std::iter::from_fn(|| pace.take(ms(10))).collect();
        assert_eq!(due, [ms(10), ms(12), ms(14)]);
    }
}
