//! What gateways are told: 200, 401 or 403, whatever they ask and whatever happens.

use serde_json::json;

use super::cmcd::configured;
use super::trust::{Cast, body_of, with};
use super::*;
use crate::http::caller::Certified;

/// A request with these headers.
fn asked(line: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut asked = request(line, "");
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).expect("a name");
        asked
            .headers_mut()
            .append(name, value.parse().expect("a value"));
    }
    asked
}

async fn minted(world: &World) -> (String, String) {
    let body = json!({"userId": "ann", "device": {"id": "tv"}}).to_string();
    let answer = body_of(world.call("POST /v1/streams", &body).await).await;
    let text = |name: &str| answer[name].as_str().expect("it is there").to_owned();
    (text("streamId"), text("token"))
}

#[tokio::test]
async fn a_stream_is_named_in_any_of_the_places_where_gateways_find_it() {
    let world = World::new();
    let (id, _) = minted(&world).await;
    let over = "00000000-0000-8000-8000-000000000000";
    let session = |id: &str| format!("cid=\"m\",sf=h,sid=\"{id}\",v=2");
    let query = |id: &str| format!("CMCD=bl%3D1%2Csid%3D%22{id}%22%2Csu");
    let check = async |line: &str, headers: &[(&str, &str)]| {
        world.send(asked(line, headers)).await.status().as_u16()
    };
    for (named, status) in [(id.as_str(), 200), (over, 403)] {
        let original = format!("/media/seg-1.ts?a=b&{}", query(named));
        let address = format!("https://video.example{original}");
        for (line, headers) in [
            ("/v1/check".to_owned(), [("stream-id", named)]),
            ("/v1/check".to_owned(), [("cmcd-session", &session(named))]),
            (format!("/v1/check?{}", query(named)), [("accept", "*/*")]),
            ("/v1/check".to_owned(), [("x-original-uri", &original)]),
            ("/v1/check".to_owned(), [("x-original-url", &address)]),
            ("/v1/check".to_owned(), [("x-forwarded-uri", &original)]),
            // Envoy appends the path, and its query is none of ours.
            (
                format!("/v1/check{original}&t=10&userId=x"),
                [("accept", "*/*")],
            ),
            ("/v1/check/".to_owned(), [("stream-id", named)]),
        ] {
            assert_eq!(
                check(&format!("GET {line}"), &headers).await,
                status,
                "{line}"
            );
            assert_eq!(
                check(&format!("POST {line}"), &headers).await,
                status,
                "{line}"
            );
        }
    }
    // The header goes before the query, and what the gateway names before both.
    let line = format!("GET /v1/check?{}", query(&id));
    assert_eq!(check(&line, &[("cmcd-session", &session(over))]).await, 403);
    assert_eq!(check(&line, &[("cmcd-session", "bl=1")]).await, 401);
    let named = [("stream-id", id.as_str()), ("cmcd-session", &session(over))];
    assert_eq!(check("GET /v1/check", &named).await, 200);
    let empty = [("stream-id", ""), ("cmcd-session", &session(&id))];
    assert_eq!(check("GET /v1/check", &empty).await, 200);
}

#[tokio::test]
async fn an_id_that_the_client_chose_needs_its_user() {
    let world = World::new();
    world.start("ann", "tv.1", "tv").await;
    let check = async |line: &str| {
        let asked = asked(line, &[("stream-id", "tv.1")]);
        world.send(asked).await.status().as_u16()
    };
    assert_eq!(check("GET /v1/check").await, 403);
    assert_eq!(check("GET /v1/check?userId=ann").await, 200);
    assert_eq!(check("GET /v1/check?userId=bob").await, 403);
    assert_eq!(check("GET /v1/check/x?userId=ann").await, 403);
}

#[tokio::test]
async fn a_stream_is_live_until_it_ends() {
    let world = World::new();
    let (id, token) = minted(&world).await;
    let check = async |headers: &[(&str, &str)]| {
        let asked = asked("GET /v1/check", headers);
        world.send(asked).await.status().as_u16()
    };
    let (named, bearer) = ([("stream-id", id.as_str())], format!("Bearer {token}"));
    world.wait(89.9);
    assert_eq!(check(&named).await, 200, "suspect");
    world.call("DELETE /v1/users/ann/streams", "").await;
    assert_eq!(check(&named).await, 403);
    assert_eq!(check(&[("authorization", &bearer)]).await, 403);
}

#[tokio::test]
async fn a_token_and_a_name_must_mean_the_same_stream() {
    let world = World::new();
    let (id, token) = minted(&world).await;
    let bearer = format!("Bearer {token}");
    for (named, status) in [(id.as_str(), 200), ("another", 403), ("", 200)] {
        let headers = [("authorization", bearer.as_str()), ("stream-id", named)];
        let answer = world.send(asked("GET /v1/check", &headers)).await;
        assert_eq!(answer.status(), status, "{named}");
    }
}

#[tokio::test]
async fn a_gateway_with_a_certificate_may_pass_on_what_its_viewer_brings_for_somebody_else() {
    let cast = Cast::new("");
    let world = World::with(&cast.files.config);
    let start = request("POST /v1/streams", r#"{"userId":"ann"}"#);
    let started = body_of(world.send(with(start, &cast.play)).await).await;
    let id = started["streamId"].as_str().expect("a name");
    let foreign = [
        ("stream-id", id),
        ("authorization", "Bearer of.another.service"),
    ];
    let of_nobody = asked("GET /v1/check/a.ts", &foreign);
    assert_eq!(world.send(of_nobody).await.status(), 401);
    let mut of_gateway = asked("GET /v1/check/a.ts", &foreign);
    of_gateway.extensions_mut().insert(Certified);
    assert_eq!(world.send(of_gateway).await.status(), 200);
}

#[tokio::test]
async fn while_the_store_is_away_what_was_seen_there_last_is_answered() {
    for (setting, of_a_stranger) in [("deny", 403), ("admit", 200)] {
        let text = format!("store = \"memory\"\non_store_failure = \"{setting}\"");
        let sources = Sources {
            file: Some(("test.toml".as_ref(), &text)),
            ..Sources::default()
        };
        let world = World::with(&Config::load(sources).expect("it is right").0);
        let (id, _) = minted(&world).await;
        let at = streamgate_core::StreamId::parse(&id)
            .expect("ours")
            .locator();
        let seen = world
            .store
            .load(at.expect("ours"))
            .await
            .expect("it is there");
        let check = async |id: &str| {
            let asked = asked("GET /v1/check", &[("stream-id", id)]);
            world.send(asked).await.status().as_u16()
        };
        world.store.set_down(true);
        assert_eq!(check(&id).await, of_a_stranger);
        world.store.recall_always(seen);
        // For longer than its lease: its heartbeats may have gone unheard.
        world.wait(300.0);
        assert_eq!(check(&id).await, 200);
        world.store.set_down(false);
        assert_eq!(check(&id).await, 403, "{setting}");
    }
}

#[tokio::test]
async fn whatever_is_asked_is_answered_200_401_or_403() {
    let world = World::new();
    let (id, _) = minted(&world).await;
    let basic = [("authorization", "Basic YTpi"), ("stream-id", id.as_str())];
    let answer = world.send(asked("GET /v1/check/a.ts?t=10", &basic)).await;
    assert_eq!(answer.status(), 200, "it is meant for somebody else");
    let headers: [&[(&str, &str)]; 8] = [
        &[],
        &[("stream-id", &id)],
        &[("stream-id", "not one of ours")],
        &[("stream-id", &id), ("stream-id", "another")],
        &[("cmcd-session", "sid=\"")],
        &basic,
        &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
        &[("x-original-uri", "%ff?CMCD=%ff")],
    ];
    for is_down in [false, true] {
        world.store.set_down(is_down);
        for path in [
            "/v1/check",
            "/v1/check?userId=%ff",
            "/v1/check?userId=",
            "/v1/check?userId=a&userId=b",
            "/v1/check?t=1&t=2",
            "/v1/check?CMCD",
            "/v1/check/",
            "/v1/check//a/../b",
            "/v1/check/%ff?%ff",
        ] {
            for method in ["GET", "POST", "HEAD", "DELETE", "OPTIONS", "PROPFIND"] {
                let is_exact = path.split('?').next() == Some("/v1/check");
                if is_exact && !["GET", "POST", "HEAD"].contains(&method) {
                    continue;
                }
                for headers in headers {
                    let asked = asked(&format!("{method} {path}"), headers);
                    let answer = world.send(asked).await;
                    assert_eq!(answer.headers()["cache-control"], "no-store");
                    let status = answer.status().as_u16();
                    let is_taken = [200, 401, 403].contains(&status);
                    assert!(is_taken, "{status}: {method} {path} {headers:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_gateway_is_asked_about_every_method_also_where_pages_may_call() {
    let world = configured("[cors]\norigins = \"https://video.example\"");
    let headers = [
        ("origin", "https://video.example"),
        ("access-control-request-method", "GET"),
    ];
    for headers in [&headers[..], &[]] {
        let answer = world
            .send(asked("OPTIONS /v1/check/media/1.ts", headers))
            .await;
        assert_eq!(answer.status(), 401, "{headers:?}");
    }
}

#[tokio::test]
async fn a_token_proves_nothing_where_an_ending_may_have_been_forgotten() {
    let world = World::new();
    let start = r#"{"userId":"ann","streamId":"mine"}"#;
    let started = body_of(world.call("POST /v1/streams", start).await).await;
    let token = started["token"].as_str().expect("a token").to_owned();
    let check = format!("GET /v1/check?t={token}");
    let beat = format!("POST /v1/streams/mine/heartbeat?userId=ann&t={token}");
    assert_eq!(world.code(&check, "").await, "200");
    let stop = "DELETE /v1/streams/mine?userId=ann";
    assert_eq!(world.code(stop, "").await, "204");
    // As many stops of streams that never were as endings are remembered.
    for index in 0..64 {
        let stop = format!("DELETE /v1/streams/never-{index}?userId=ann");
        assert_eq!(world.code(&stop, "").await, "204");
    }
    assert_eq!(world.code(&check, "").await, "403 forbidden");
    assert_eq!(world.code(&beat, "").await, "404 stream-unknown");
}
