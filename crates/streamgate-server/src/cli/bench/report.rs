//! The result, as JSON and for people.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::model::Findings;
use super::plan::Plan;
use super::process::Usage;
use super::tally::Tally;

/// From which part of the rate on an open loop counts as having kept it.
const RATE_REACHED: f64 = 0.99;

/// What a run came to.
pub(super) struct Report {
    pub(super) plan: Plan,
    pub(super) tally: Tally,
    pub(super) findings: Findings,
    /// Before and after the measured time.
    pub(super) generator: (Usage, Usage),
    /// As many as there are `--pid`.
    pub(super) server: Vec<(Usage, Usage)>,
}

impl Report {
    /// One object. The names are stable: scripts read them.
    pub(super) fn json(&self) -> Value {
        let Self {
            plan,
            tally,
            findings,
            ..
        } = self;
        let processes = plan.pid.iter().zip(&self.server);
        let processes = processes.map(|(pid, usage)| {
            json!({
                "pid": pid,
                "cpuSeconds": spent([*usage].iter()).as_secs_f64(),
                "residentBytes": usage.1.resident_bytes,
            })
        });
        let mut server = json!(null);
        if !plan.pid.is_empty() {
            server = self.cpu(spent(self.server.iter()));
            server["processes"] = processes.collect();
        }
        json!({
            "url": plan.url.url,
            "loop": self.loop_name(),
            "rate": plan.rate,
            "mix": plan.mix.to_string(),
            "batch": plan.batch,
            "users": plan.users,
            "zipf": plan.zipf,
            "limit": plan.limit,
            "fill": plan.fill,
            "connections": plan.connections,
            "threads": plan.threads,
            "seed": plan.seed,
            "seconds": self.seconds(),
            "requests": tally.requests(),
            "requestsPerSecond": self.per_second(tally.requests()),
            "heartbeatsPerSecond": self.per_second(tally.beat.count()),
            "transportErrors": tally.transport_errors,
            "statuses": tally.statuses,
            "latencyMicros": latency(&tally.latency()),
            "operations": operations(tally),
            "model": {
                "checked": !plan.unchecked,
                "answersChecked": findings.answers_checked,
                "violations": findings.violations,
                "examples": findings.examples,
            },
            "server": server,
            "generator": self.cpu(spent([self.generator].iter())),
        })
    }

    /// A table for people.
    pub(super) fn table(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        let (plan, seed) = (&self.plan, self.plan.seed.unwrap_or_default());
        writeln!(
            page,
            "{} loop, {} connections, mix {}, {} users (Zipf {}), seed {seed}",
            self.loop_name(),
            plan.connections,
            plan.mix,
            plan.users,
            plan.zipf,
        )?;
        self.write_answers(&mut page)?;
        self.write_latencies(&mut page)?;
        self.write_costs(&mut page)?;
        self.write_findings(&mut page)?;
        Ok(page)
    }

    fn write_answers(&self, out: &mut String) -> std::fmt::Result {
        let Tally {
            start,
            beat,
            statuses,
            transport_errors,
            ..
        } = &self.tally;
        let requests = self.tally.requests();
        let per_second = self.per_second(requests);
        writeln!(
            out,
            "{requests} requests in {:.1} s: {per_second:.0}/s, {:.0} heartbeats/s, {transport_errors} transport errors",
            self.seconds(),
            self.per_second(beat.count()),
        )?;
        if let Some(rate) = self.plan.rate
            && per_second < rate * RATE_REACHED
        {
            writeln!(out, "the rate of {rate}/s was not reached")?;
        }
        let statuses = statuses.iter();
        let statuses: Vec<_> = statuses.map(|(it, n)| format!("{n} x {it}")).collect();
        writeln!(out, "answers: {}", statuses.join(", "))?;
        let (admitted, denied, other) = (start.admitted, start.denied, start.other);
        writeln!(
            out,
            "starts: {admitted} admitted, {denied} denied, {other} other"
        )?;
        let (renewed, over, unknown, other) = (beat.renewed, beat.over, beat.unknown, beat.other);
        writeln!(
            out,
            "heartbeats: {renewed} renewed, {over} over, {unknown} unknown, {other} other\n"
        )
    }

    fn write_latencies(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "latency, µs    requests       mean      p50      p90      p99    p99.9      max"
        )?;
        let Tally {
            start, beat, stop, ..
        } = &self.tally;
        for (name, latency) in [
            ("all", &self.tally.latency()),
            ("start", &start.latency),
            ("heartbeat", &beat.latency),
            ("stop", stop),
        ] {
            write!(
                out,
                "{name:10} {:12} {:10.1}",
                latency.len(),
                latency.mean()
            )?;
            for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
                write!(out, " {:8}", latency.value_at_quantile(quantile))?;
            }
            writeln!(out)?;
        }
        writeln!(out)
    }

    fn write_costs(&self, out: &mut String) -> std::fmt::Result {
        for (pid, usage) in self.plan.pid.iter().zip(&self.server) {
            let seconds = spent([*usage].iter()).as_secs_f64();
            let mib = usage.1.resident_bytes >> 20;
            writeln!(out, "process {pid}: {seconds:.2} s CPU, {mib} MiB")?;
        }
        let server = (!self.server.is_empty()).then(|| ("server", spent(self.server.iter())));
        let generator = ("generator", spent([self.generator].iter()));
        for (name, spent) in server.into_iter().chain([generator]) {
            let seconds = spent.as_secs_f64();
            let micros = per(seconds * 1e6, self.tally.requests() as f64);
            let percent = per(seconds * 100.0, self.seconds());
            writeln!(
                out,
                "{name} CPU: {micros:.2} µs per request, {percent:.0} % of one core"
            )?;
        }
        Ok(())
    }

    fn write_findings(&self, out: &mut String) -> std::fmt::Result {
        if self.plan.unchecked {
            return writeln!(out, "model: not checked");
        }
        let Findings {
            answers_checked,
            violations,
            examples,
        } = &self.findings;
        writeln!(
            out,
            "model: {answers_checked} answers checked, {violations} violations"
        )?;
        examples
            .iter()
            .try_for_each(|example| writeln!(out, "  {example}"))
    }

    fn loop_name(&self) -> &'static str {
        self.plan.rate.map_or("closed", |_| "open")
    }

    fn seconds(&self) -> f64 {
        let Tally {
            measured_from,
            measured_to,
            ..
        } = self.tally;
        measured_to.saturating_sub(measured_from).as_secs_f64()
    }

    fn per_second(&self, count: u64) -> f64 {
        per(count as f64, self.seconds())
    }

    fn cpu(&self, spent: Duration) -> Value {
        let seconds = spent.as_secs_f64();
        json!({
            "cpuSeconds": seconds,
            "cpuMicrosPerRequest": per(seconds * 1e6, self.tally.requests() as f64),
            "cpuShare": per(seconds, self.seconds()),
        })
    }
}

fn operations(tally: &Tally) -> Value {
    let Tally {
        start, beat, stop, ..
    } = tally;
    json!({
        "start": {
            "requests": start.latency.len(),
            "admitted": start.admitted,
            "denied": start.denied,
            "other": start.other,
            "latencyMicros": latency(&start.latency),
        },
        "heartbeat": {
            "requests": beat.latency.len(),
            "renewed": beat.renewed,
            "over": beat.over,
            "unknown": beat.unknown,
            "other": beat.other,
            "latencyMicros": latency(&beat.latency),
        },
        "stop": {"requests": stop.len(), "latencyMicros": latency(stop)},
    })
}

fn latency(histogram: &Histogram<u64>) -> Value {
    json!({
        "mean": histogram.mean(),
        "p50": histogram.value_at_quantile(0.5),
        "p90": histogram.value_at_quantile(0.9),
        "p99": histogram.value_at_quantile(0.99),
        "p999": histogram.value_at_quantile(0.999),
        "max": histogram.max(),
    })
}

/// CPU time between before and after.
fn spent<'a>(usages: impl Iterator<Item = &'a (Usage, Usage)>) -> Duration {
    usages
        .map(|(before, after)| after.cpu.saturating_sub(before.cpu))
        .sum()
}

/// A ratio; of nothing, zero.
fn per(amount: f64, of: f64) -> f64 {
    if of == 0.0 { 0.0 } else { amount / of }
}
