//! How many streams users have live, as a histogram that is counted without a lock: every start
//! is counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use streamgate_core::LIMIT_MAX;

/// The most streams that a user can have live.
const STREAMS_MAX: usize = LIMIT_MAX as usize;
/// Upper bounds of the buckets, in streams.
const BOUNDS: [usize; 9] = [1, 2, 3, 4, 5, 8, 16, 32, STREAMS_MAX];

/// Observations by the number of streams that they found.
#[derive(Clone, Debug)]
pub(super) struct StreamsPerUser(Arc<[AtomicU64; STREAMS_MAX + 1]>);

impl StreamsPerUser {
    pub(super) fn new() -> Self {
        Self(Arc::new([const { AtomicU64::new(0) }; STREAMS_MAX + 1]))
    }

    pub(super) fn observe(&self, streams: usize) {
        self.0[streams.min(STREAMS_MAX)].fetch_add(1, Relaxed);
    }
}

impl EncodeMetric for StreamsPerUser {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let counts: Vec<u64> = self.0.iter().map(|it| it.load(Relaxed)).collect();
        let streams: u64 = (0..).zip(&counts).map(|(streams, it)| streams * it).sum();
        let mut first = 0;
        let mut buckets = Vec::from(BOUNDS.map(|last| {
            let count = counts[first..=last].iter().sum();
            first = last + 1;
            (last as f64, count)
        }));
        buckets.push((f64::INFINITY, 0));
        let count = counts.iter().sum();
        encoder.encode_histogram::<NoLabelSet>(streams as f64, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
