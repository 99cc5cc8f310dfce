//! Where the issuer's keys come from, and what happens when they don't.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use futures_util::FutureExt;
use serde_json::{Value, json};
use streamgate_core::UserId;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::{AUDIENCE, Issuer, claims_for};
use crate::auth::{Player, Players, Refusal};
use crate::config::{Config, JwtConfig, Plans, Sources};

/// An issuer that publishes its keys, and counts how often it is asked for them.
struct Published {
    issuer: Issuer,
    url: String,
    asked: Arc<AtomicUsize>,
    server: AbortOnDropHandle<()>,
}

impl Published {
    async fn new() -> Self {
        let issuer = Issuer::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (page, asked) = (issuer.page().to_string(), Arc::new(AtomicUsize::new(0)));
        let (counting, configuration) = (Arc::clone(&asked), configuration(&url, &url));
        let lying = configuration_of_another(&url);
        let router = Router::new()
            .route(
                "/jwks.json",
                get(async move || {
                    counting.fetch_add(1, Ordering::Relaxed);
                    page
                }),
            )
            .route(
                "/.well-known/openid-configuration",
                get(async move || configuration),
            )
            .route(
                "/lying/.well-known/openid-configuration",
                get(async move || lying),
            )
            .route(
                "/elsewhere",
                get(async || Redirect::temporary("/jwks.json")),
            )
            .route("/large", get(async || " ".repeat(1 << 20)))
            .route("/nonsense", get(async || "{\"keys\":7}"));
        let serve = async move { axum::serve(listener, router).await.expect("it serves") };
        #[expect(clippy::disallowed_methods, reason = "it ends with its value")]
        let server = AbortOnDropHandle::new(tokio::spawn(serve));
        Self {
            issuer,
            url,
            asked,
            server,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn token(&self, issuer: &str) -> String {
        let mut claims = claims_for("ann");
        claims["iss"] = json!(issuer);
        self.issuer
            .es256(&json!({"alg": "ES256", "kid": "ec"}), &claims)
    }

    fn unknown(&self) -> String {
        let header = json!({"alg": "ES256", "kid": "unknown"});
        self.issuer.es256(&header, &claims_for("ann"))
    }
}

fn configuration(issuer: &str, url: &str) -> String {
    json!({"issuer": issuer, "jwks_uri": format!("{url}/jwks.json")}).to_string()
}

fn configuration_of_another(url: &str) -> String {
    configuration("https://login.example.org", url)
}

fn trusting(set: impl FnOnce(&mut JwtConfig)) -> Players {
    let (config, _) = Config::load(Sources::default()).expect("the defaults are right");
    let mut jwt = config.jwt;
    jwt.audience = Some(AUDIENCE.into());
    set(&mut jwt);
    let players = Players::open(&jwt, &Plans::new()).expect("what is fetched may come later");
    players.expect("there is a source")
}

fn is_ann(verified: &Result<Player, Refusal>) -> bool {
    let ann = UserId::parse("ann").expect("a name");
    verified.as_ref().is_ok_and(|player| player.user == ann)
}

#[tokio::test]
async fn keys_are_fetched_once_however_many_tokens_name_an_unknown_one() {
    let published = Published::new().await;
    let (url, issuer) = (format!("{}/jwks.json", published.url), "https://issuer/");
    let players = trusting(|jwt| {
        jwt.issuer = Some(issuer.into());
        jwt.jwks_url = Some(url);
    });
    assert_eq!(published.asked(), 0);
    assert!(is_ann(&players.verify(&published.token(issuer)).await));
    for _ in 0..100 {
        assert!(players.verify(&published.unknown()).await.is_err());
        assert!(is_ann(&players.verify(&published.token(issuer)).await));
    }
    assert_eq!(published.asked(), 1);

    // The issuer is gone; its keys are still good.
    drop(published.server);
    players.refresh().await;
    let mut claims: Value = claims_for("ann");
    claims["iss"] = json!(issuer);
    let header = json!({"alg": "ES256", "kid": "ec"});
    assert!(is_ann(
        &players
            .verify(&published.issuer.es256(&header, &claims))
            .await
    ));
}

#[tokio::test]
async fn keys_that_were_asked_for_come_although_whoever_asked_is_gone() {
    let published = Published::new().await;
    let players = trusting(|jwt| {
        jwt.issuer = Some("https://issuer/".into());
        jwt.jwks_url = Some(format!("{}/jwks.json", published.url));
    });
    let unknown = published.unknown();
    let gone = players.verify(&unknown).now_or_never();
    assert!(gone.is_none(), "it was not waited for");
    assert!(is_ann(
        &players.verify(&published.token("https://issuer/")).await
    ));
    assert_eq!(published.asked(), 1);
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are_and_speaks_for_itself_only() {
    let published = Published::new().await;
    let discover = |issuer: String| {
        trusting(|jwt| {
            jwt.issuer = Some(issuer);
            jwt.discovery = true;
        })
    };
    let players = discover(published.url.clone());
    assert!(is_ann(
        &players.verify(&published.token(&published.url)).await
    ));

    let lying = format!("{}/lying", published.url);
    let players = discover(lying.clone());
    assert!(players.verify(&published.token(&lying)).await.is_err());
}

#[tokio::test]
async fn a_page_that_sends_elsewhere_is_too_large_or_no_page_gives_no_keys() {
    let published = Published::new().await;
    for path in ["elsewhere", "large", "nonsense", "nowhere"] {
        let players = trusting(|jwt| {
            jwt.issuer = Some("https://issuer/".into());
            jwt.jwks_url = Some(format!("{}/{path}", published.url));
        });
        let token = published.token("https://issuer/");
        assert_eq!(players.verify(&token).await, Err(Refusal::NoKeys), "{path}");
    }
    assert_eq!(published.asked(), 0);
}
