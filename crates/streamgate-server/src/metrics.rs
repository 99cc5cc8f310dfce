//! What the service counts, for Prometheus. Labels come from small fixed sets; no user, device,
//! stream or API key is ever one.

mod embedded;
mod streams_per_user;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use axum::extract::MatchedPath;
use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use streamgate_core::{Beat, Readmitted, Started};

pub(crate) use self::embedded::Embedded;
use self::streams_per_user::StreamsPerUser;
use crate::auth::KeyUse;
use crate::clock::instant;

/// Upper bounds of the latency histograms, in seconds.
const SECONDS: [f64; 13] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0,
];

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its player stopped it.
    Stopped,
    /// Its lease ran out.
    Expired,
    /// A newer start took its place.
    Replaced,
    /// An operator ended it.
    Evicted,
}

/// Whose starts were too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    /// A player's.
    Player,
    /// Those with one API key, or with certificates.
    Key,
}

/// What a player's report came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// The lease was renewed.
    Renewed,
    /// The stream has a place again.
    Resumed,
    /// The store is away, and the player may go on.
    Forgiven,
    /// The player came to its end: the place is free.
    Finished,
    /// It came to its end, and had no place.
    Nothing,
    /// The stream is over and the player was told to stop.
    Over,
    /// There is no such stream.
    Unknown,
    /// It is not the sender's stream, or nobody knows who the sender is.
    Refused,
    /// The service had too much to do, or the store is away.
    Failed,
    /// A record is none.
    Unreadable,
    /// A record is one too many.
    Surplus,
    /// The body is too large, or did not come.
    TooLarge,
}

impl Reported {
    const fn name(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Resumed => "resumed",
            Self::Forgiven => "forgiven",
            Self::Finished => "finished",
            Self::Nothing => "nothing",
            Self::Over => "over",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
            Self::Surplus => "surplus",
            Self::TooLarge => "too_large",
        }
    }
}

/// Who a request was from, where callers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// A back end or an operator.
    Trusted,
    /// A player, by a token of the platform.
    Player,
    /// A player, by the token of its stream.
    Stream,
    /// Somebody without a valid credential: it was answered 401.
    Nobody,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    caller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct By {
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreCall {
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpCall {
    method: &'static str,
    route: Route,
    status: u16,
}

/// The pattern that a request's path matched, or none.
#[derive(Clone, Debug)]
struct Route(Option<MatchedPath>);

impl Route {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("none", MatchedPath::as_str)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Route {}

impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// Heartbeats by what they came to: looked up once, since there are so many of them.
struct Beats {
    renewed: Counter,
    joined: Counter,
    resumed: Counter,
    over: Counter,
    unknown: Counter,
    fresh: Counter,
    readmitted: Counter,
    denied: Counter,
    forgiven: Counter,
}

impl Beats {
    fn new(heartbeats: &Family<Outcome, Counter>) -> Self {
        let outcome = |outcome| heartbeats.get_or_create_owned(&Outcome { outcome });
        Self {
            renewed: outcome("renewed"),
            joined: outcome("joined"),
            resumed: outcome("resumed"),
            over: outcome("over"),
            unknown: outcome("unknown"),
            fresh: outcome("fresh"),
            readmitted: outcome("readmitted"),
            denied: outcome("denied"),
            forgiven: outcome("forgiven"),
        }
    }

    fn total(&self) -> u64 {
        let Self {
            renewed,
            joined,
            resumed,
            over,
            unknown,
            fresh,
            readmitted,
            denied,
            forgiven,
        } = self;
        let all = [
            renewed, joined, resumed, over, unknown, fresh, readmitted, denied, forgiven,
        ];
        all.into_iter().map(Counter::get).sum()
    }
}

/// What has been counted so far.
#[derive(Clone, Copy, Default)]
struct Counts {
    starts: u64,
    denials: u64,
    heartbeats: u64,
    conflicts: u64,
}

/// How long the calls of one operation of the store took.
struct Calls {
    ok: Histogram,
    refused: Histogram,
}

impl Calls {
    fn new(operation: &'static str, store: &Family<StoreCall, Histogram>) -> Self {
        let result = |result| store.get_or_create_owned(&StoreCall { operation, result });
        Self {
            ok: result("ok"),
            refused: result("refused"),
        }
    }

    fn took(&self, began: Instant, is_ok: bool) -> Instant {
        let (Self { ok, refused }, now) = (self, instant());
        let histogram = if is_ok { ok } else { refused };
        histogram.observe((now - began).as_secs_f64());
        now
    }
}

/// Requests by who they were from.
struct Callers {
    trusted: Counter,
    player: Counter,
    stream: Counter,
    nobody: Counter,
}

impl Callers {
    fn new(callers: &Family<Kind, Counter>) -> Self {
        let caller = |caller| callers.get_or_create_owned(&Kind { caller });
        Self {
            trusted: caller("trusted"),
            player: caller("player"),
            stream: caller("stream"),
            nobody: caller("nobody"),
        }
    }
}

/// Starts that were too many, by whose they were.
struct RateLimited {
    player: Counter,
    key: Counter,
}

impl RateLimited {
    fn new(rate_limited: &Family<By, Counter>) -> Self {
        let by = |by| rate_limited.get_or_create_owned(&By { by });
        Self {
            player: by("player"),
            key: by("key"),
        }
    }
}

/// All counters, gauges and histograms of the process.
pub(crate) struct Metrics {
    registry: Registry,
    starts: Family<Outcome, Counter>,
    heartbeats: Beats,
    reports: Family<Outcome, Counter>,
    ended: Family<Cause, Counter>,
    live: Gauge,
    watchers: Gauge,
    loads: Calls,
    swaps: Calls,
    http: Family<HttpCall, Histogram>,
    conflicts: Counter,
    shed: Counter,
    callers: Callers,
    rate_limited: RateLimited,
    streams_per_user: StreamsPerUser,
    keys: Gauge,
    key_busiest: Gauge<f64, AtomicU64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let store = Family::new_with_constructor(histogram);
        let heartbeats = Family::default();
        let callers = Family::default();
        let rate_limited = Family::default();
        let mut metrics = Self {
            registry: Registry::with_prefix("streamgate"),
            starts: Family::default(),
            heartbeats: Beats::new(&heartbeats),
            reports: Family::default(),
            ended: Family::default(),
            live: Gauge::default(),
            watchers: Gauge::default(),
            loads: Calls::new("load", &store),
            swaps: Calls::new("swap", &store),
            http: Family::new_with_constructor(histogram),
            conflicts: Counter::default(),
            shed: Counter::default(),
            callers: Callers::new(&callers),
            rate_limited: RateLimited::new(&rate_limited),
            streams_per_user: StreamsPerUser::new(),
            keys: Gauge::default(),
            key_busiest: Gauge::default(),
        };
        metrics.register_callers(callers, rate_limited);
        metrics.register(store, heartbeats);
        metrics
    }

    fn register_callers(
        &mut self,
        callers: Family<Kind, Counter>,
        rate_limited: Family<By, Counter>,
    ) {
        let registry = &mut self.registry;
        registry.register(
            "requests",
            "Requests that said who they are from, by that",
            callers,
        );
        registry.register(
            "starts_rate_limited",
            "Starts refused because there were too many of late, by whose they were",
            rate_limited,
        );
        registry.register(
            "streams_per_user",
            "Streams that a user has live, looked at whenever one is started",
            self.streams_per_user.clone(),
        );
        registry.register("api_keys", "API keys that are good", self.keys.clone());
        registry.register(
            "api_key_busiest_ratio",
            "Part of the last minute's starts with API keys that came with the busiest one",
            self.key_busiest.clone(),
        );
    }

    fn register(
        &mut self,
        store: Family<StoreCall, Histogram>,
        heartbeats: Family<Outcome, Counter>,
    ) {
        let registry = &mut self.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", version);
        registry.register("starts", "Starts by what they came to", self.starts.clone());
        registry.register("heartbeats", "Heartbeats by what they came to", heartbeats);
        registry.register(
            "cmcd_reports",
            "What players reported by CMCD, by what it came to",
            self.reports.clone(),
        );
        registry.register(
            "streams_ended",
            "Streams that ended, by cause",
            self.ended.clone(),
        );
        registry.register(
            "streams_live",
            "Streams that have a place",
            self.live.clone(),
        );
        registry.register(
            "watchers",
            "Players that have their events open on this node",
            self.watchers.clone(),
        );
        registry.register_with_unit(
            "store",
            "How long the store took, by operation and result",
            Unit::Seconds,
            store,
        );
        registry.register_with_unit(
            "http_request",
            "How long requests took, by route and status",
            Unit::Seconds,
            self.http.clone(),
        );
        registry.register(
            "store_conflicts",
            "Writes that somebody else's came before, decided again",
            self.conflicts.clone(),
        );
        registry.register(
            "requests_shed",
            "Requests refused because too many were in flight",
            self.shed.clone(),
        );
    }

    pub(crate) fn started(&self, started: &Started) {
        let outcome = match started {
            Started::Admitted { place, replaced } => {
                self.ended(Ended::Replaced, replaced.len());
                self.streams_per_user.observe(place.active);
                "admitted"
            }
            Started::Same(place) => {
                self.streams_per_user.observe(place.active);
                "same"
            }
            Started::Over(_) => "over",
            Started::Denied(_) => "denied",
        };
        self.starts.get_or_create(&Outcome { outcome }).inc();
    }

    /// A start that was admitted although the store is away.
    pub(crate) fn admitted_provisionally(&self) {
        let outcome = "provisional";
        self.starts.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn heartbeat(&self, readmitted: &Readmitted) {
        let beats = &self.heartbeats;
        let counter = match readmitted {
            Readmitted::Known(Beat::Renewed(_)) => &beats.renewed,
            Readmitted::Known(Beat::Fresh(_)) => &beats.fresh,
            Readmitted::Known(Beat::Joined(_)) => &beats.joined,
            Readmitted::Known(Beat::Resumed(_)) => &beats.resumed,
            Readmitted::Known(Beat::Over(_)) => &beats.over,
            Readmitted::Known(Beat::Unknown) => &beats.unknown,
            Readmitted::Entered { replaced, .. } => {
                self.ended(Ended::Replaced, replaced.len());
                &beats.readmitted
            }
            Readmitted::Denied(_) => &beats.denied,
        };
        counter.inc();
    }

    /// So many reports came to this.
    pub(crate) fn reported(&self, reported: Reported, count: usize) {
        if 0 < count {
            let outcome = reported.name();
            let counter = self.reports.get_or_create(&Outcome { outcome });
            counter.inc_by(count as u64);
        }
    }

    /// A heartbeat that was answered although the store is away.
    pub(crate) fn forgave(&self) {
        self.heartbeats.forgiven.inc();
    }

    pub(crate) fn ended(&self, cause: Ended, streams: usize) {
        let cause = match cause {
            Ended::Stopped => "stopped",
            Ended::Expired => "expired",
            Ended::Replaced => "replaced",
            Ended::Evicted => "evicted",
        };
        if 0 < streams {
            self.ended
                .get_or_create(&Cause { cause })
                .inc_by(streams as u64);
        }
    }

    pub(crate) fn called(&self, called: Called) {
        let counter = match called {
            Called::Trusted => &self.callers.trusted,
            Called::Player => &self.callers.player,
            Called::Stream => &self.callers.stream,
            Called::Nobody => &self.callers.nobody,
        };
        counter.inc();
    }

    pub(crate) fn rate_limited(&self, limited: Limited) {
        let counter = match limited {
            Limited::Player => &self.rate_limited.player,
            Limited::Key => &self.rate_limited.key,
        };
        counter.inc();
    }

    pub(crate) fn keys(&self, usage: &KeyUse) {
        self.keys.set(i64::try_from(usage.good).unwrap_or(i64::MAX));
        self.key_busiest.set(usage.busiest);
    }

    pub(crate) fn watchers(&self, count: usize) {
        self.watchers.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A swap was refused because somebody else's came before.
    pub(crate) fn conflicted(&self) {
        self.conflicts.inc();
    }

    pub(crate) fn shed(&self) {
        self.shed.inc();
    }

    pub(crate) fn http(
        &self,
        method: &'static str,
        route: Option<MatchedPath>,
        status: StatusCode,
        took: Duration,
    ) {
        let call = HttpCall {
            method,
            route: Route(route),
            status: status.as_u16(),
        };
        self.http.get_or_create(&call).observe(took.as_secs_f64());
    }

    /// A load that began then is done. Returns the time.
    pub(crate) fn loaded(&self, began: Instant, is_ok: bool) -> Instant {
        self.loads.took(began, is_ok)
    }

    /// A swap that began then is done. Returns the time.
    pub(crate) fn swapped(&self, began: Instant, is_ok: bool) -> Instant {
        self.swaps.took(began, is_ok)
    }

    fn counts(&self) -> Counts {
        let starts = |outcome| {
            let counter = self.starts.get(&Outcome { outcome });
            counter.map_or(0, |counter| counter.get())
        };
        Counts {
            starts: starts("admitted") + starts("provisional"),
            denials: starts("denied"),
            heartbeats: self.heartbeats.total(),
            conflicts: self.conflicts.get(),
        }
    }

    /// Everything in the text format of Prometheus (OpenMetrics 1.0).
    pub(crate) fn text(&self, live: Option<usize>) -> String {
        if let Some(live) = live {
            self.live.set(i64::try_from(live).unwrap_or(i64::MAX));
        }
        let mut page = String::new();
        text::encode(&mut page, &self.registry).expect("a string takes every character");
        page
    }
}
