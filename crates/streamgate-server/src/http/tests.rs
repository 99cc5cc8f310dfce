//! The API with a clock that tests move: what takes time on the wire takes none here.

mod answers;
mod time;

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use expect_test::Expect;
use http::Request;
use http_body_util::BodyExt;
use streamgate_core::LocatorKey;
use streamgate_store::MemoryStore;
use tower::ServiceExt;

use super::*;
use crate::clock::manual::ManualClock;
use crate::config::{Config, Sources};
use crate::limiter;

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
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let metrics = Arc::new(Metrics::new());
        let seconds = |seconds| Duration::from_secs(seconds);
        let limiter = Limiter::new(limiter::Parts {
            store: Arc::new(MemoryStore::new()),
            clock: Arc::clone(&clock) as Arc<dyn crate::clock::Clock>,
            key: LocatorKey::from_bytes([7; 16]),
            terms: Terms {
                lease: seconds(90),
                heartbeat: Some(seconds(20)),
            },
            metrics: Arc::clone(&metrics),
        });
        let premium = Limit::new(5).expect("5 is a limit");
        let api = Api::new(Parts {
            limiter,
            metrics,
            limit: Limit::DEFAULT,
            plans: Plans::from([("premium".to_owned(), premium)]),
            seed_terms: Terms {
                lease: seconds(14_400),
                heartbeat: None,
            },
            draining: CancellationToken::new(),
        });
        let (config, _) = Config::load(Sources::default()).expect("the defaults are good");
        Self {
            router: router(&api, &config.http),
            clock,
        }
    }

    fn wait(&self, seconds: f64) {
        self.clock.advance(Duration::from_secs_f64(seconds));
    }

    async fn call(&self, line: &str, body: &str) -> Response {
        let (method, path) = line.split_once(' ').expect("a line is a method and a path");
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let request = request
            .body(Body::from(body.to_owned()))
            .expect("it is a request");
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
    if let Ok(body) = serde_json::from_slice::<serde_json::Value>(&bytes) {
        text += &serde_json::to_string_pretty(&body).expect("JSON is text");
        text += "\n";
    }
    text
}
