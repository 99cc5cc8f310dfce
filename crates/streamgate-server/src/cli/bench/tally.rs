//! Counts answers and how long they took.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::model::Moment;

/// The longest latency that is told from longer ones, in microseconds, and the digits kept.
const LATENCY_MAX: u64 = 600_000_000;
const LATENCY_DIGITS: u8 = 3;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Start,
    Beat,
    Stop,
}

/// What was answered to requests due since a moment; what is due earlier is no part of it.
pub(super) struct Tally {
    pub(super) measured_from: Moment,
    /// Requests not answered yet, whenever they were due.
    pub(super) in_flight: u64,
    /// When the last answer came.
    pub(super) measured_to: Moment,
    pub(super) statuses: BTreeMap<u16, u64>,
    pub(super) transport_errors: u64,
    pub(super) start: Starts,
    pub(super) beat: Beats,
    pub(super) stop: Histogram<u64>,
}

/// Latencies are in microseconds.
pub(super) struct Starts {
    pub(super) latency: Histogram<u64>,
    pub(super) admitted: u64,
    pub(super) denied: u64,
    pub(super) other: u64,
}

pub(super) struct Beats {
    pub(super) latency: Histogram<u64>,
    pub(super) renewed: u64,
    pub(super) over: u64,
    pub(super) unknown: u64,
    pub(super) other: u64,
}

impl Beats {
    /// How many were answered, in batches or alone.
    pub(super) fn count(&self) -> u64 {
        self.renewed + self.over + self.unknown + self.other
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            measured_from: Moment::MAX,
            in_flight: 0,
            measured_to: Moment::ZERO,
            statuses: BTreeMap::new(),
            transport_errors: 0,
            start: Starts {
                latency: histogram(),
                admitted: 0,
                denied: 0,
                other: 0,
            },
            beat: Beats {
                latency: histogram(),
                renewed: 0,
                over: 0,
                unknown: 0,
                other: 0,
            },
            stop: histogram(),
        }
    }

    /// A request that was due at `due` is answered, with no status if there was an error.
    pub(super) fn count(&mut self, kind: Kind, status: Option<u16>, due: Moment, now: Moment) {
        self.in_flight -= 1;
        if due < self.measured_from {
            return;
        }
        self.measured_to = now;
        let Some(status) = status else {
            self.transport_errors += 1;
            return;
        };
        *self.statuses.entry(status).or_default() += 1;
        let latency = match kind {
            Kind::Start => &mut self.start.latency,
            Kind::Beat => &mut self.beat.latency,
            Kind::Stop => &mut self.stop,
        };
        let micros = now.saturating_sub(due).as_micros();
        latency.saturating_record(u64::try_from(micros).unwrap_or(LATENCY_MAX));
        if kind == Kind::Start {
            match status {
                201 => self.start.admitted += 1,
                409 => self.start.denied += 1,
                _ => self.start.other += 1,
            }
        }
    }

    /// One heartbeat, alone or of a batch, is answered.
    pub(super) fn count_beat(&mut self, status: Option<u16>, due: Moment) {
        if due < self.measured_from {
            return;
        }
        match status {
            Some(200) => self.beat.renewed += 1,
            Some(410) => self.beat.over += 1,
            Some(404) => self.beat.unknown += 1,
            Some(_) => self.beat.other += 1,
            None => {}
        }
    }

    /// No answer is waited for any longer.
    pub(super) fn give_up(&mut self) {
        self.transport_errors += std::mem::take(&mut self.in_flight);
    }

    /// Adds what another thread counted.
    pub(super) fn merge(&mut self, other: &Self) {
        self.measured_from = other.measured_from;
        self.measured_to = self.measured_to.max(other.measured_to);
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.transport_errors += other.transport_errors;
        self.start.admitted += other.start.admitted;
        self.start.denied += other.start.denied;
        self.start.other += other.start.other;
        self.beat.renewed += other.beat.renewed;
        self.beat.over += other.beat.over;
        self.beat.unknown += other.beat.unknown;
        self.beat.other += other.beat.other;
        join(&mut self.start.latency, &other.start.latency);
        join(&mut self.beat.latency, &other.beat.latency);
        join(&mut self.stop, &other.stop);
    }

    /// How many requests were answered.
    pub(super) fn requests(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// The latency of all requests.
    pub(super) fn latency(&self) -> Histogram<u64> {
        let mut all = self.start.latency.clone();
        join(&mut all, &self.beat.latency);
        join(&mut all, &self.stop);
        all
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_MAX, LATENCY_DIGITS).expect("the bounds are valid")
}

fn join(all: &mut Histogram<u64>, other: &Histogram<u64>) {
    all.add(other).expect("all histograms have the same bounds");
}
