//! What a function's process counts, as lines in CloudWatch's Embedded Metric Format: CloudWatch
//! makes metrics of them and adds up what the processes say. A line is for many requests, since
//! CloudWatch is paid by the byte; none runs beside requests, since the process is frozen then.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use streamgate_core::WallTime;

use super::{Counts, Metrics};

const NAMESPACE: &str = "streamgate";
/// The one dimension: the name of the function.
const DIMENSION: &str = "FunctionName";
/// How long requests are gathered. The first after a longer pause is told at once.
const GATHER_MAX: Duration = Duration::from_secs(10);
/// How many values of a metric one line may have, by the format.
const VALUES_MAX: usize = 100;

/// What the process has to tell.
pub(crate) struct Embedded {
    function: String,
    metrics: Arc<Metrics>,
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    /// When a line was told last.
    told_at: Option<Instant>,
    /// What was counted then.
    told: Counts,
    errors: u64,
    latencies_ms: Vec<f64>,
}

impl Embedded {
    pub(crate) fn new(function: String, metrics: Arc<Metrics>) -> Self {
        Self {
            function,
            metrics,
            gathered: Mutex::default(),
        }
    }

    /// Takes in a request that was answered `now` after `took`: the line to write, if one is due.
    pub(crate) fn answered(
        &self,
        status: StatusCode,
        took: Duration,
        wall: WallTime,
        now: Instant,
    ) -> Option<String> {
        let mut gathered = self.gathered.lock();
        gathered.errors += u64::from(status.is_server_error());
        // Microseconds are enough, and short.
        let micros = (took.as_secs_f64() * 1e6).round();
        gathered.latencies_ms.push(micros / 1e3);
        let is_young = |told_at| now.saturating_duration_since(told_at) < GATHER_MAX;
        if gathered.told_at.is_some_and(is_young) && gathered.latencies_ms.len() < VALUES_MAX {
            return None;
        }
        gathered.told_at = Some(now);
        self.line(&mut gathered, wall)
    }

    /// What has not been told yet.
    pub(crate) fn rest(&self, wall: WallTime) -> Option<String> {
        self.line(&mut self.gathered.lock(), wall)
    }

    fn line(&self, gathered: &mut Gathered, wall: WallTime) -> Option<String> {
        let latencies_ms = std::mem::take(&mut gathered.latencies_ms);
        if latencies_ms.is_empty() {
            return None;
        }
        let counts = self.metrics.counts();
        let told = std::mem::replace(&mut gathered.told, counts);
        let values = [
            ("Requests", json!(latencies_ms.len())),
            ("Errors", json!(std::mem::take(&mut gathered.errors))),
            ("Starts", json!(counts.starts - told.starts)),
            ("Denials", json!(counts.denials - told.denials)),
            ("Heartbeats", json!(counts.heartbeats - told.heartbeats)),
            ("StoreConflicts", json!(counts.conflicts - told.conflicts)),
            ("Latency", json!(latencies_ms)),
        ];
        let unit = |name| {
            if name == "Latency" {
                "Milliseconds"
            } else {
                "Count"
            }
        };
        let metrics = values
            .each_ref()
            .map(|(name, _)| json!({"Name": name, "Unit": unit(*name)}));
        let mut line = json!({
            "_aws": {
                "Timestamp": wall.as_millis(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [[DIMENSION]],
                    "Metrics": metrics,
                }],
            },
            DIMENSION: self.function,
        });
        for (name, value) in values {
            line[name] = value;
        }
        Some(Value::to_string(&line))
    }
}
