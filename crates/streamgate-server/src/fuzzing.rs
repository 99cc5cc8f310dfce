//! What fuzzers feed, here and in `fuzz/`: any bytes in, no panic out, and what must hold of
//! every answer.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use streamgate_core::{LocatorKey, Record, Terms, Timestamp};
use streamgate_store::MemoryStore;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::auth::{Auth, Players};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, OnStoreFailure, Sources};
use crate::http::{Api, Parts, StartBound, router, watchers_max};
use crate::limiter::{self, Limiter};
use crate::metrics::Metrics;
use crate::watchers::Watchers;

/// Where a request body goes, by its first byte.
const ROUTES: [(Method, &str); 8] = [
    (Method::POST, "/v1/streams"),
    (Method::POST, "/v1/heartbeats"),
    (Method::POST, "/v1/streams/s/heartbeat?userId=u"),
    (Method::POST, "/v1/streams/s/stop?userId=u"),
    (Method::DELETE, "/v1/users/u/streams"),
    (Method::POST, "/stream"),
    (Method::DELETE, "/stream"),
    (Method::POST, "/v1/users/u/streams/s/heartbeat"),
];
/// The longest answer that anybody gets, in bytes, but for a batch of heartbeats.
const ANSWER_MAX: usize = 64 << 10;

/// Bytes are a record or they are not; one that is, is written and read as itself.
pub fn record(bytes: &[u8]) {
    if let Ok(mut record) = Record::decode(bytes) {
        let again = Record::decode(&record.encode()).expect("what we write we read");
        assert_eq!(record, again);
        record.expire(Timestamp::from_millis(1_000_000));
    }
}

/// No text is one of our tokens by chance.
pub fn stream_token(bytes: &[u8]) {
    let world = &*WORLD;
    if let Ok(text) = std::str::from_utf8(bytes) {
        let tokens = &world.auth.stream_tokens;
        assert_eq!(tokens.verify(text, world.clock.wall()), None);
        // Behind the header of a token of ours the rest is looked at.
        let header = world.token.split_inclusive('.').next().unwrap_or_default();
        let behind = format!("{header}{text}");
        assert!(behind == world.token || tokens.verify(&behind, world.clock.wall()).is_none());
    }
}

/// No text is a token of the platform by chance.
pub fn platform_token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let verified = WORLD.runtime.block_on(WORLD.players.verify(text));
        assert!(verified.is_err(), "{verified:?}");
    }
}

/// Whatever a body is, the answer is one that the API documents.
pub fn request(bytes: &[u8]) {
    let Some((route, body)) = bytes.split_first() else {
        return;
    };
    let (method, path) = &ROUTES[usize::from(*route) % ROUTES.len()];
    let request = Request::builder()
        .method(method)
        .uri(*path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_vec()))
        .expect("it is a request");
    WORLD.runtime.block_on(async {
        let Ok(answer) = WORLD.router.clone().oneshot(request).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body");
        let body = body.to_bytes();
        assert!(!status.is_server_error(), "{status}: {body:?}");
        assert!(body.len() <= ANSWER_MAX || *path == "/v1/heartbeats");
        if status.is_client_error() {
            let said: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert!(said.get("code").is_some() || said.get("statusCode").is_some());
        }
    });
}

/// Whatever a player reports, it is answered 204, with nothing in it.
pub fn cmcd(bytes: &[u8]) {
    let report = Request::post(&WORLD.reports)
        .header("content-type", "application/cmcd")
        .body(Body::from(bytes.to_vec()))
        .expect("it is a request");
    WORLD.runtime.block_on(async {
        let Ok(answer) = WORLD.router.clone().oneshot(report).await;
        assert_eq!(answer.status(), 204);
        let body = answer.into_body().collect().await.expect("a body");
        assert!(body.to_bytes().is_empty());
    });
    // A gateway's viewers write what is read of a request.
    if let Ok(query) = std::str::from_utf8(bytes) {
        drop(crate::cmcd::stream_of_query(query));
    }
}

/// A file is a configuration, and what is shown of it is the same one; or its mistakes are told.
pub fn configuration(bytes: &[u8]) {
    let load = |text: &str| {
        Config::load(Sources {
            file: Some(("streamgate.toml".as_ref(), text)),
            ..Sources::default()
        })
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        match load(text) {
            Ok((config, _)) => {
                let shown = toml::to_string(&config.shown()).expect("it is TOML");
                let is_whole = !shown.contains("(set)");
                assert!(!is_whole || load(&shown).is_ok_and(|(again, _)| again == config));
            }
            Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
        }
    }
}

/// A service without a network.
struct World {
    runtime: Runtime,
    router: Router,
    auth: Arc<Auth>,
    players: Players,
    clock: Arc<dyn Clock>,
    /// A token of ours, and where its stream's player reports.
    token: String,
    reports: String,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        let sources = Sources {
            file: Some(("streamgate.toml".as_ref(), "store = 'memory'")),
            ..Sources::default()
        };
        let (mut config, _) = Config::load(sources).expect("it is right");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(Timestamp::default()));
        let auth = Arc::new(Auth::open(&config, clock.wall()).expect("it can be used"));
        let metrics = Arc::new(Metrics::new());
        let terms = |heartbeat| Terms {
            renew_after: Duration::ZERO,
            lease: Duration::from_secs(90),
            heartbeat,
        };
        let limiter = Limiter::new(limiter::Parts {
            store: Arc::new(MemoryStore::new()),
            clock: Arc::clone(&clock),
            key: LocatorKey::from_bytes([7; 16]),
            terms: terms(Some(Duration::from_secs(20))),
            metrics: Arc::clone(&metrics),
            on_store_failure: OnStoreFailure::Deny,
            watchers: Watchers::new(watchers_max(&config.http)),
        });
        let api = Api::new(Parts {
            limiter,
            metrics,
            starts: StartBound::new(&config.http),
            auth: Arc::clone(&auth),
            limit: config.limit,
            plans: config.plans.clone(),
            seed_terms: terms(None),
            draining: CancellationToken::new(),
            looks: None,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let router = router(&api, &config.http, &[], axum::Router::new());
        let started = runtime.block_on(started(&router));
        let text = |field: &str| started.pointer(field).and_then(|it| it.as_str());
        let token = text("/token").expect("a token").to_owned();
        let reports = text("/cmcd/url").expect("a path").to_owned();
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), [b'x'; 32]).expect("it is written");
        config.jwt.issuer = Some("issuer".into());
        config.jwt.audience = Some("audience".into());
        config.jwt.secret_file = Some(secret.path().into());
        let players = Players::open(&config.jwt, &config.plans).expect("the secret is right");
        Self {
            runtime,
            router,
            auth,
            players: players.expect("there is a source"),
            clock,
            token,
            reports,
        }
    }
}

async fn started(router: &Router) -> serde_json::Value {
    let start = Request::post("/v1/streams")
        .body(Body::from(r#"{"userId":"u"}"#))
        .expect("it is a request");
    let Ok(answer) = router.clone().oneshot(start).await;
    let body = answer.into_body().collect().await.expect("a body");
    serde_json::from_slice(&body.to_bytes()).expect("JSON")
}

#[cfg(test)]
mod tests {
    //! Each target on what is committed for it, and on as many inputs as a few seconds allow:
    //! those of the corpus with some bytes changed, cut, doubled or put together.

    use std::fs;
    use std::path::Path;

    use rand::rngs::SmallRng;
    use rand::seq::IndexedRandom;
    use rand::{RngExt, SeedableRng};

    const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
    const INPUTS: usize = 20_000;
    const INPUT_MAX: usize = 4096;

    #[track_caller]
    fn fuzz(name: &str, target: fn(&[u8])) {
        let inputs: Vec<Vec<u8>> = fs::read_dir(Path::new(CORPUS).join(name))
            .expect("a corpus is committed")
            .map(|entry| fs::read(entry.expect("an entry").path()).expect("it can be read"))
            .collect();
        assert!(2 <= inputs.len(), "the corpus of {name} is too small");
        inputs.iter().for_each(|input| target(input));
        let mut rng = SmallRng::seed_from_u64(1);
        for _ in 0..INPUTS {
            target(&changed(&inputs, &mut rng));
        }
    }

    fn changed(inputs: &[Vec<u8>], rng: &mut SmallRng) -> Vec<u8> {
        let mut input = inputs.choose(rng).cloned().unwrap_or_default();
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(0..=input.len());
            match rng.random_range(0..6) {
                0 => input.truncate(at),
                1 => input.insert(at, rng.random()),
                2 if at < input.len() => input[at] = rng.random(),
                3 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
                4 => {
                    let other = inputs.choose(rng).map_or(&[][..], Vec::as_slice);
                    let from = rng.random_range(0..=other.len());
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
                _ => {
                    let tail = input[at..].to_vec();
                    input.extend(tail);
                }
            }
            input.truncate(INPUT_MAX);
        }
        input
    }

    #[test]
    fn no_bytes_are_a_record_that_is_not_read_as_it_is_written() {
        fuzz("record", super::record);
    }

    #[test]
    fn no_text_is_a_stream_token_by_chance() {
        fuzz("stream_token", super::stream_token);
    }

    #[test]
    fn no_text_is_a_token_of_the_platform_by_chance() {
        fuzz("platform_token", super::platform_token);
    }

    #[test]
    fn every_body_is_answered_as_documented() {
        fuzz("request", super::request);
    }

    #[test]
    fn every_report_is_answered_204() {
        fuzz("cmcd", super::cmcd);
    }

    #[test]
    fn every_file_is_a_configuration_or_its_mistakes_are_told() {
        fuzz("configuration", super::configuration);
    }
}
