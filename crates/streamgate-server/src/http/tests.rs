//! The API with a clock that tests move: what takes time on the wire takes none here.

mod answers;
mod away;
mod check;
mod cmcd;
#[cfg(feature = "cli")]
mod connections;
mod events;
mod time;
mod trust;

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use expect_test::Expect;
use http::Request;
use http_body_util::BodyExt;
use streamgate_core::LocatorKey;
use streamgate_store::flaky::Flaky;
use streamgate_store::{LeaseStore, MemoryStore};
use tower::ServiceExt;

use super::*;
use crate::clock::Clock;
use crate::clock::manual::ManualClock;
use crate::config::{Config, Sources};
use crate::limiter;
use crate::watchers::Watchers;

/// The headers that a test looks at; the others are the same everywhere or change every time.
const HEADERS: [&str; 5] = [
    "allow",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
];

struct World {
    router: Router,
    clock: Arc<ManualClock>,
    store: Arc<Flaky>,
    draining: CancellationToken,
}

impl World {
    /// Where nobody is asked who they are.
    fn new() -> Self {
        let text = "store = \"memory\"\n[plans]\npremium = 5";
        let sources = Sources {
            file: Some(("test.toml".as_ref(), text)),
            ..Sources::default()
        };
        let (config, _) = Config::load(sources).expect("it is right");
        Self::with(&config)
    }

    fn with(config: &Config) -> Self {
        Self::looking(config, |_, _| None)
    }

    /// Where requests look at the engine, if they do.
    fn looking(config: &Config, looks: impl FnOnce(&Limiter, &Arc<Auth>) -> Option<Looks>) -> Self {
        let clock = Arc::new(ManualClock::default());
        let metrics = Arc::new(Metrics::new());
        let store = Arc::new(Flaky::new(Arc::new(MemoryStore::new()), 7));
        let seconds = |seconds| Duration::from_secs(seconds);
        let limiter = Limiter::new(limiter::Parts {
            store: Arc::clone(&store) as Arc<dyn LeaseStore>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            key: LocatorKey::from_bytes([7; 16]),
            terms: Terms {
                lease: seconds(90),
                heartbeat: Some(seconds(20)),
                renew_after: Duration::ZERO,
            },
            metrics: Arc::clone(&metrics),
            on_store_failure: config.on_store_failure,
            watchers: Watchers::new(watchers_max(&config.http)),
        });
        let auth = Auth::open(config, clock.wall()).expect("it can be used");
        let auth = Arc::new(auth);
        let draining = CancellationToken::new();
        let api = Api::new(Parts {
            looks: looks(&limiter, &auth),
            limiter,
            metrics,
            starts: StartBound::new(&config.http),
            auth,
            limit: config.limit,
            plans: config.plans.clone(),
            seed_terms: Terms {
                lease: seconds(14_400),
                heartbeat: None,
                renew_after: Duration::ZERO,
            },
            draining: draining.clone(),
        });
        Self {
            router: router(&api, &config.http, &config.cors_origins, Router::new()),
            clock,
            store,
            draining,
        }
    }

    fn wait(&self, seconds: f64) {
        self.clock.advance(Duration::from_secs_f64(seconds));
    }

    async fn call(&self, line: &str, body: &str) -> Response {
        self.send(request(line, body)).await
    }

    async fn send(&self, request: Request<Body>) -> Response {
        let Ok(response) = self.router.clone().oneshot(request).await;
        response
    }

    /// One call, its answer compared: status, headers that matter, body.
    async fn check(&self, line: &str, body: &str, expected: Expect) {
        expected.assert_eq(&shown(self.call(line, body).await).await);
    }

    /// One call of which only the status and, where there is one, the code matter.
    async fn code(&self, line: &str, body: &str) -> String {
        let response = self.call(line, body).await;
        let status = response.status().as_u16().to_string();
        let bytes = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match body["code"].as_str() {
            Some(code) => format!("{status} {code}"),
            None => status,
        }
    }

    /// Starts a stream with the client's own id.
    async fn start(&self, user: &str, stream: &str, device: &str) -> String {
        let body =
            format!(r#"{{"userId":"{user}","streamId":"{stream}","device":{{"id":"{device}"}}}}"#);
        self.code("POST /v1/streams", &body).await
    }

    /// Sends a heartbeat of a stream with the client's own id.
    async fn beat(&self, user: &str, stream: &str) -> String {
        self.code(
            &format!("POST /v1/streams/{stream}/heartbeat?userId={user}"),
            "",
        )
        .await
    }
}

fn request(line: &str, body: &str) -> Request<Body> {
    let (method, path) = line.split_once(' ').expect("a line is a method and a path");
    Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .expect("it is a request")
}

async fn shown(response: Response) -> String {
    let mut text = format!("{}\n", response.status());
    for name in HEADERS {
        if let Some(value) = response.headers().get(name) {
            text += &format!("{name}: {}\n", value.to_str().unwrap_or("not text"));
        }
    }
    let bytes = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    if let Ok(mut body) = serde_json::from_slice::<serde_json::Value>(&bytes) {
        // Its keys are random.
        if let Some(token) = body.get_mut("token") {
            *token = "(a token)".into();
        }
        if let Some(url) = body.pointer_mut("/cmcd/url") {
            let (path, _) = url
                .as_str()
                .expect("text")
                .split_once('=')
                .expect("a token");
            *url = format!("{path}=(a token)").into();
        }
        text += &serde_json::to_string_pretty(&body).expect("JSON is text");
        text += "\n";
    }
    text
}
