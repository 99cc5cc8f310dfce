//! Who may do what: every route with every kind of caller, and every trap that a token can be.

mod tokens;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::{Body, BodyExt, Request, Response, World, request};
use crate::auth::Scope;
use crate::auth::tests::{Files, Issuer};
use crate::http::caller::Certified;

/// Ann plays two streams; Bob plays one. Each cell is what a caller is answered who asks for
/// something of Ann's: S is her first stream. Columns: nobody, a forged token; an API key with
/// each scope, a client certificate for reading; Ann and Bob by the platform's token; the tokens
/// of S, of Ann's other stream, of Bob's, and of S in the query. A star: S goes on; an exclamation
/// mark: it does not.
const TABLE: &str = "
                                                | none    forged  play    operate read    cert    ann     bob     S       other   bobs    ?t=S
    POST   /v1/streams                          | 401     401     201     403     403     403     201     403     403     403     403     403
    POST   /v1/streams +limit                   | 401     401     201     403     403     403     403     403     403     403     403     403
    POST   /v1/streams +plan                    | 401     401     201     403     403     403     403     403     403     403     403     403
    POST   /v1/streams +replace                 | 401     401     201     403     403     403     201     403     403     403     403     403
    POST   /v1/streams/S/heartbeat              | 401     401     200     403     403     403     200     404     200     403     403     200
    POST   /v1/streams/S/heartbeat?userId=ann   | 401     401     200     403     403     403     200     403     200     403     403     200
    POST   /v1/streams/none/heartbeat           | 401     401     404     403     403     403     404     404     403     403     403     403
    POST   /v1/users/ann/streams/S/heartbeat    | 401     401     200     403     403     403     200     403     200     403     403     200
    POST   /v1/users/bob/streams/S/heartbeat    | 401     401     404     403     403     403     403     404     403     403     403     403
    POST   /v1/heartbeats                       | 401     401     200     403     403     403     403     403     403     403     403     403
    DELETE /v1/streams/S                        | 401     401     204     403     403     403     204     204*    204     403     403     204
    POST   /v1/streams/S/stop                   | 401     401     204     403     403     403     204     204*    204     403     403     204
    POST   /v1/users/ann/streams/S/stop         | 401     401     204     403     403     403     204     403     204     403     403     204
    GET    /v1/streams/S/events                 | 401     401     200     200     200     200     200     404     200     403     403     200
    GET    /v1/streams/S/events?userId=ann      | 401     401     200     200     200     200     200     403     200     403     403     200
    GET    /v1/streams/none/events              | 401     401     404     404     404     404     404     404     403     403     403     403
    GET    /v1/users/ann/streams                | 401     401     200     200     200     200     200     403     403     403     403     403
    GET    /v1/users/ann/admission              | 401     401     200     200     200     200     200     403     403     403     403     403
    GET    /v1/users/ann/admission?limit=9      | 401     401     200     200     200     200     403     403     403     403     403     403
    DELETE /v1/users/ann/streams                | 401     401     403     204     403     403     403     403     403     403     403     403
    DELETE /v1/users/ann/streams/S              | 401     401     403     204     403     403     403     403     403     403     403     403
    GET    /v1/check                            | 401     401     401     401     401     401     401     401     200     200     200     200
    POST   /v1/check                            | 401     401     401     401     401     401     401     401     200     200     200     200
    GET    /v1/check +sid                       | 401     401     200     200     200     200     200     403     200     403     403     200
    GET    /v1/check/a/segment.ts +sid          | 401     401     200     200     200     200     200     403     200     403     403     200
    POST   /v1/cmcd                             | 204*    204*    204!    204*    204*    204*    204!    204*    204!    204*    204*    204!
    POST   /stream                              | 401     401     201     403     403     403     201     403     403     403     403     403
    POST   /dev/stream                          | 401     401     201     403     403     403     201     403     403     403     403     403
    DELETE /stream                              | 401     401     204     403     403     403     204     403     204     403     403     204
    DELETE /dev/stream                          | 401     401     204     403     403     403     204     403     204     403     403     204
    GET    /metrics                             | 401     401     403     200     200     200     403     403     403     403     403     403
    GET    /livez                               | 200     200     200     200     200     200     200     200     200     200     200     200
    GET    /readyz                              | 200     200     200     200     200     200     200     200     200     200     200     200
    GET    /openapi.json                        | 200     200     200     200     200     200     200     200     200     200     200     200
    GET    /.well-known/jwks.json               | 200     200     200     200     200     200     200     200     200     200     200     200
";

/// Whom the server trusts, and whom it does not.
pub(super) struct Cast {
    issuer: Issuer,
    forger: Issuer,
    pub(super) files: Files,
    pub(super) play: String,
    operate: String,
    pub(super) read: String,
}

impl Cast {
    pub(super) fn new(settings: &str) -> Self {
        let issuer = Issuer::new();
        let files = Files::new(&issuer, settings);
        Self {
            play: files.key(&[Scope::Play]),
            operate: files.key(&[Scope::Operate]),
            read: files.key(&[Scope::Read]),
            forger: Issuer::new(),
            issuer,
            files,
        }
    }
}

/// A server with Ann and Bob on it.
struct Scene<'a> {
    cast: &'a Cast,
    world: World,
    /// Ann's first stream, her other one and Bob's, each with its token.
    streams: [(String, String); 3],
}

impl<'a> Scene<'a> {
    async fn new(cast: &'a Cast) -> Self {
        let world = World::with(&cast.files.config);
        let mut streams = Vec::new();
        for (user, device) in [("ann", "tv"), ("ann", "phone"), ("bob", "tv")] {
            let body = json!({"userId": user, "device": {"id": device}}).to_string();
            let start = with(request("POST /v1/streams", &body), &cast.play);
            let started = body_of(world.send(start).await).await;
            let text = |name: &str| started[name].as_str().expect("it is there").to_owned();
            streams.push((text("streamId"), text("token")));
        }
        let streams = streams.try_into().expect("there are three");
        Self {
            cast,
            world,
            streams,
        }
    }

    /// One request of the table as one kind of caller sends it.
    fn request_as(&self, caller: &str, line: &str) -> Request<Body> {
        let (line, extra) = line.split_once(" +").unwrap_or((line, ""));
        let (s, _) = &self.streams[0];
        let line = line.replace("/S", &format!("/{s}"));
        let body = match (line.as_str(), extra) {
            ("POST /v1/streams", "limit") => json!({"userId": "ann", "limit": 9}),
            ("POST /v1/streams", "plan") => json!({"userId": "ann", "plan": "premium"}),
            ("POST /v1/streams", "replace") => json!({"userId": "ann", "replace": [s]}),
            ("POST /v1/cmcd", _) => return self.report_as(caller),
            ("POST /v1/heartbeats", _) => json!({"heartbeats": [{"streamId": s}]}),
            (line, _) if line.starts_with("DELETE") => json!({"userId": "ann", "streamId": s}),
            _ => json!({"userId": "ann"}),
        };
        let body = if line.ends_with("heartbeat") || line.contains("/heartbeat?") {
            String::new()
        } else {
            body.to_string()
        };
        let mut request = self.sent_as(caller, &line, &body);
        if extra == "sid" {
            let id = HeaderValue::try_from(s).expect("it is visible");
            request.headers_mut().insert("stream-id", id);
        }
        request
    }

    /// A report that Ann's first stream is at its end.
    fn report_as(&self, caller: &str) -> Request<Body> {
        let (s, _) = &self.streams[0];
        let record = format!("e=ps,sid=\"{s}\",sta=e,v=2");
        self.sent_as(caller, "POST /v1/cmcd", &record)
    }

    fn sent_as(&self, caller: &str, line: &str, body: &str) -> Request<Body> {
        let [(_, s_token), (_, other), (_, bobs)] = &self.streams;
        if caller == "?t=S" {
            let mark = if line.contains('?') { '&' } else { '?' };
            return request(&format!("{line}{mark}t={s_token}"), body);
        }
        let mut request = request(line, body);
        let token = match caller {
            "none" => return request,
            "cert" => {
                request.extensions_mut().insert(Certified);
                return request;
            }
            "forged" => self.cast.forger.token_for("ann"),
            "play" => self.cast.play.clone(),
            "operate" => self.cast.operate.clone(),
            "read" => self.cast.read.clone(),
            "ann" | "bob" => self.cast.issuer.token_for(caller),
            "S" => s_token.clone(),
            "other" => other.clone(),
            "bobs" => bobs.clone(),
            unknown => panic!("no caller {unknown}"),
        };
        with(request, &token)
    }

    /// What the metrics say of who starts streams.
    async fn metrics_of_starts(&self) -> String {
        let page = with(request("GET /metrics", ""), &self.cast.read);
        let page = self.world.send(page).await.into_body().collect().await;
        let page = page.expect("a body").to_bytes();
        let page = std::str::from_utf8(&page).expect("text");
        let is_meant = |line: &&str| {
            !line.starts_with('#') && (line.contains("rate_limited") || line.contains("api_key"))
        };
        let mut lines: Vec<_> = page.lines().filter(is_meant).collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    /// Whether Ann's first stream still has its place.
    async fn is_live(&self) -> bool {
        let list = with(request("GET /v1/users/ann/streams", ""), &self.cast.play);
        let list = body_of(self.world.send(list).await).await;
        let streams = list["streams"].as_array().expect("a list");
        streams
            .iter()
            .any(|stream| stream["streamId"] == *self.streams[0].0)
    }
}

pub(super) fn with(mut request: Request<Body>, token: &str) -> Request<Body> {
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("it is visible");
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

pub(super) async fn body_of(response: Response) -> Value {
    let body = response.into_body().collect().await.expect("a body");
    serde_json::from_slice(&body.to_bytes()).unwrap_or_default()
}

#[tokio::test]
async fn each_caller_may_do_what_the_table_says_on_each_route_and_nothing_else() {
    let cast = Cast::new("[tls]\nclient_scopes = \"read\"");
    let mut rows = TABLE.lines().filter_map(|line| line.split_once('|'));
    let (_, callers) = rows.next().expect("a head");
    let callers: Vec<&str> = callers.split_whitespace().collect();
    let mut checked = 0;
    for (call, cells) in rows {
        let call = call.split_whitespace().collect::<Vec<_>>().join(" ");
        let cells: Vec<&str> = cells.split_whitespace().collect();
        assert_eq!(cells.len(), callers.len(), "{call}");
        for (caller, cell) in callers.iter().zip(cells) {
            let scene = Scene::new(&cast).await;
            let request = scene.request_as(caller, &call);
            let status = scene.world.send(request).await.status().as_u16();
            let expected = cell.trim_end_matches(['*', '!']);
            assert_eq!(status.to_string(), expected, "{caller}: {call}");
            // Whoever was refused ended nothing, and nobody by a stop of what is not theirs.
            if cell.ends_with('*') || 400 <= status {
                assert!(scene.is_live().await, "{caller} ended it: {call}");
            }
            if cell.ends_with('!') {
                assert!(!scene.is_live().await, "{caller} did not end it: {call}");
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 35 * 12);
}
