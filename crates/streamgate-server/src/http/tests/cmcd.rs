//! What players that speak CMCD are told: 204, and whether to stop.

use std::pin::pin;

use futures_util::poll;
use serde_json::{Value, json};

use super::trust::{Cast, body_of, with};
use super::*;

/// A player without any code of ours.
struct Player {
    url: String,
    sid: String,
}

impl Player {
    async fn start(world: &World, device: &str) -> Self {
        let body = json!({"userId": "ann", "device": {"id": device}, "contentId": "one"});
        Self::of(&body_of(world.call("POST /v1/streams", &body.to_string()).await).await)
    }

    /// As the start's answer configures it.
    fn of(answer: &Value) -> Self {
        let cmcd = &answer["cmcd"];
        assert_eq!(cmcd["sid"], answer["streamId"]);
        assert_eq!(
            cmcd["intervalSeconds"],
            answer["heartbeat"]["intervalSeconds"]
        );
        Self {
            url: cmcd["url"].as_str().expect("a path").to_owned(),
            sid: cmcd["sid"].as_str().expect("a name").to_owned(),
        }
    }

    /// Sends a record: "stop" if it must stop.
    async fn says(&self, world: &World, said: &str) -> String {
        self.sends(world, &format!("sid=\"{}\",v=2,{said}\n", self.sid))
            .await
    }

    async fn sends(&self, world: &World, body: &str) -> String {
        told(world.call(&format!("POST {}", self.url), body).await).await
    }
}

/// What an answer tells a player; each is 204 and empty.
async fn told(answer: Response) -> String {
    assert_eq!(answer.status(), 204);
    let action = answer.headers().get("stream-action").cloned();
    let body = answer.into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes(), "");
    action.map_or(String::new(), |it| it.to_str().expect("text").to_owned())
}

/// Ann's streams: device, state of playback, content.
async fn watching(world: &World) -> String {
    let page = body_of(world.call("GET /v1/users/ann/streams", "").await).await;
    let streams = page["streams"].as_array().expect("a list").iter();
    let shown = streams.map(|it| {
        let text = |it: &Value| it.as_str().unwrap_or("-").to_owned();
        let device = text(&it["device"]["id"]);
        format!(
            "{device} {} {}",
            text(&it["playback"]),
            text(&it["contentId"])
        )
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// How many reports came to this.
async fn counted(world: &World, outcome: &str) -> String {
    counted_as(world, request("GET /metrics", ""), outcome).await
}

async fn counted_as(world: &World, page: Request<Body>, outcome: &str) -> String {
    let name = format!("streamgate_cmcd_reports_total{{outcome=\"{outcome}\"}}");
    metric(world, page, &name).await.unwrap_or("0".into())
}

/// How many writes the store took.
async fn swaps(world: &World) -> usize {
    let name = "streamgate_store_seconds_count{operation=\"swap\",result=\"ok\"}";
    let count = metric(world, request("GET /metrics", ""), name).await;
    count.expect("it is there").parse().expect("a number")
}

async fn metric(world: &World, page: Request<Body>, name: &str) -> Option<String> {
    let page = world.send(page).await.into_body().collect().await;
    let page = page.expect("a body").to_bytes();
    let page = std::str::from_utf8(&page).expect("text");
    let mut values = page.lines().filter_map(|line| line.strip_prefix(name));
    values.next().map(|value| value.trim().to_owned())
}

pub(super) fn configured(text: &str) -> World {
    let text = format!("store = \"memory\"\n{text}");
    let sources = Sources {
        file: Some(("test.toml".as_ref(), &text)),
        ..Sources::default()
    };
    World::with(&Config::load(sources).expect("it is right").0)
}

#[tokio::test]
async fn reports_are_heartbeats_for_a_whole_day() {
    let world = World::new();
    let tv = Player::start(&world, "tv").await;
    for _ in 0..1000 {
        world.wait(85.0);
        assert_eq!(tv.says(&world, "e=t,sta=p").await, "");
    }
    assert_eq!(watching(&world).await, "tv playing one");
    assert_eq!(counted(&world, "renewed").await, "1000");
    world.wait(90.0);
    assert_eq!(watching(&world).await, "", "silence ends it as ever");
}

#[tokio::test]
async fn what_a_player_says_of_itself_is_shown() {
    let world = World::new();
    let tv = Player::start(&world, "tv").await;
    for (said, shown) in [
        ("e=ps,sta=a", "tv paused one"),
        ("e=t", "tv paused one"),
        ("e=ps,sta=k", "tv paused one"),
        ("e=ps,sta=p,cid=\"two\"", "tv playing two"),
        ("e=ps,sta=r,cid=\"\"", "tv playing two"),
        ("e=ps,sta=zz,cid=3", "tv playing two"),
    ] {
        assert_eq!(tv.says(&world, said).await, "");
        assert_eq!(watching(&world).await, shown, "{said}");
    }
    // dash.js without enabledKeys names no session; the token does.
    world.wait(60.0);
    assert_eq!(tv.sends(&world, "e=t,ts=1795454453935,v=2").await, "");
    world.wait(60.0);
    assert_eq!(watching(&world).await, "tv playing two");
}

#[tokio::test]
async fn an_end_gives_the_place_up_and_a_replay_takes_one_if_there_is_room() {
    let world = configured("limit = 1");
    let tv = Player::start(&world, "tv").await;
    for end in ["e", "f", "q"] {
        assert_eq!(tv.says(&world, &format!("e=ps,sta={end}")).await, "");
        assert_eq!(watching(&world).await, "", "{end}");
        // Players repeat it for ever.
        assert_eq!(tv.says(&world, &format!("e=t,sta={end}")).await, "");
        assert_eq!(watching(&world).await, "", "{end}");
        assert_eq!(tv.says(&world, "e=ps,sta=p").await, "");
        assert_eq!(watching(&world).await, "tv playing one", "{end}");
    }
    assert_eq!(counted(&world, "finished").await, "3");
    assert_eq!(counted(&world, "nothing").await, "3");
    assert_eq!(counted(&world, "resumed").await, "3");

    tv.says(&world, "e=ps,sta=e").await;
    let web = Player::start(&world, "web").await;
    assert_eq!(tv.says(&world, "e=ps,sta=p").await, "stop");
    assert_eq!(watching(&world).await, "web playing one");
    web.says(&world, "e=ps,sta=e").await;
    assert_eq!(tv.says(&world, "e=ps,sta=p").await, "");
    assert_eq!(watching(&world).await, "tv playing one");
}

#[tokio::test]
async fn a_player_whose_stream_is_over_is_told_to_stop_and_brings_nothing_back() {
    let world = configured("limit = 1");
    for end in ["DELETE /v1/streams/SID", "DELETE /v1/users/ann/streams"] {
        let tv = Player::start(&world, "tv").await;
        world.call(&end.replace("SID", &tv.sid), "").await;
        assert_eq!(tv.says(&world, "e=t,sta=p").await, "stop", "{end}");
        assert_eq!(tv.says(&world, "e=t,sta=e").await, "", "{end}");
        assert_eq!(tv.says(&world, "e=t,sta=p").await, "stop", "{end}");
        assert_eq!(watching(&world).await, "");
        // For longer than anybody remembers.
        world.wait(700.0);
        assert_eq!(tv.says(&world, "e=t,sta=p").await, "stop", "{end}");
        assert_eq!(watching(&world).await, "");
    }
    let before = Player::start(&world, "tv").await;
    let after = Player::start(&world, "tv").await;
    assert_eq!(before.says(&world, "e=t,sta=p").await, "stop");
    assert_eq!(after.says(&world, "e=t,sta=p").await, "");
}

#[tokio::test]
async fn records_come_in_any_order_and_cost_one_write() {
    let world = World::new();
    let tv = Player::start(&world, "tv").await;
    let record = |n: u8, said: &str| format!("sid=\"{}\",sn={n},v=2,{said}\n", tv.sid);
    let before = swaps(&world).await;
    let body = record(7, "sta=p") + &record(5, "sta=e") + &record(6, "sta=a,cid=\"two\"");
    assert_eq!(tv.sends(&world, &body).await, "");
    assert_eq!(swaps(&world).await, before + 1);
    assert_eq!(watching(&world).await, "tv playing two");
}

#[tokio::test]
async fn a_token_speaks_for_its_stream_only() {
    let world = World::new();
    let tv = Player::start(&world, "tv").await;
    let web = Player::start(&world, "web").await;
    let of_web = format!("sid=\"{}\",sta=e,v=2", web.sid);
    assert_eq!(tv.sends(&world, &of_web).await, "");
    assert_eq!(watching(&world).await, "tv playing one, web playing one");
    assert_eq!(counted(&world, "refused").await, "1");
    // Where nobody is asked who they are, the name of a stream is enough, as for a heartbeat.
    assert_eq!(told(world.call("POST /v1/cmcd", &of_web).await).await, "");
    assert_eq!(watching(&world).await, "tv playing one");
}

#[tokio::test]
async fn a_token_for_reports_is_good_for_nothing_else_and_for_a_day() {
    let cast = Cast::new("");
    let world = World::with(&cast.files.config);
    let start = with(
        request("POST /v1/streams", r#"{"userId":"ann"}"#),
        &cast.play,
    );
    let answer = body_of(world.send(start).await).await;
    let tv = Player::of(&answer);
    let (_, token) = tv.url.split_once("t=").expect("a token");
    let sid = &tv.sid;
    for line in [
        format!("POST /v1/streams/{sid}/heartbeat?t={token}"),
        format!("POST /v1/streams/{sid}/stop?t={token}"),
        format!("DELETE /v1/streams/{sid}?t={token}"),
        format!("GET /v1/check?t={token}"),
        format!("GET /v1/users/ann/streams?t={token}"),
    ] {
        assert_eq!(world.code(&line, "").await, "401 unauthorized", "{line}");
        let (line, _) = line.split_once('?').expect("a query");
        let answer = world.send(with(request(line, ""), token)).await;
        assert_eq!(answer.status(), 401, "{line}");
    }
    let page = || with(request("GET /metrics", ""), &cast.read);
    let renewed = counted_as(&world, page(), "renewed");
    assert_eq!(
        (tv.says(&world, "sta=p").await.as_str(), renewed.await),
        ("", "1".into())
    );
    // A name alone is not enough here.
    let record = format!("sid=\"{sid}\",sta=e,v=2");
    assert_eq!(told(world.call("POST /v1/cmcd", &record).await).await, "");
    world.wait(86_400.0 + 60.0);
    assert_eq!(tv.says(&world, "sta=p").await, "stop");
    assert_eq!(counted_as(&world, page(), "over").await, "1");
    assert_eq!(counted_as(&world, page(), "refused").await, "1");
    // What never was a token of ours stops nobody.
    let forged = format!("POST /v1/cmcd?t={}", token.replace(['A', 'B'], "C"));
    assert_eq!(told(world.call(&forged, &record).await).await, "");
}

#[tokio::test]
async fn where_nobody_is_asked_a_token_still_says_which_stream_and_when_it_is_too_old() {
    let world = World::new();
    let body = json!({"userId": "ann", "streamId": "mine"}).to_string();
    let answer = body_of(world.call("POST /v1/streams", &body).await).await;
    let player = Player::of(&answer);
    // dash.js names no session unless it is told to.
    assert_eq!(player.sends(&world, "sta=p,v=2\n").await, "");
    let token = answer["token"].as_str().expect("a token");
    let in_header = with(request("POST /v1/cmcd", "sid=\"mine\",sta=p,v=2\n"), token);
    assert_eq!(told(world.send(in_header).await).await, "");
    assert_eq!(counted(&world, "renewed").await, "2");
    world.wait(86_400.0 + 60.0);
    assert_eq!(player.sends(&world, "sta=p,v=2\n").await, "stop");
    assert_eq!(player.says(&world, "sta=p").await, "stop");
    assert_eq!(counted(&world, "over").await, "2");
}

#[tokio::test]
async fn whatever_comes_is_answered_204() {
    let world = World::new();
    let tv = Player::start(&world, "tv").await;
    let long = format!("sid=\"{}\",sta=p\n", tv.sid).repeat(400);
    let odd: [&[u8]; 20] = [
        b"",
        b"\n\n\r\n \t",
        b"null",
        b"{\"sid\":\"a\"}",
        b"[]",
        b"sid",
        b"sid=",
        b"sid=\"",
        b"sid=\"a\\",
        b"sid=\"\"",
        b"sid=(\"a\" \"b\")",
        b"sid=1,sta=2,sn=\"x\",v=(1)",
        b"sid=\"a\",v=-1",
        b"sid=\"a\",sn=999999999999999",
        b"sid=\"a\",sn=9999999999999999",
        b"\xff\xfe\x00",
        b"sid=\"\xc3\xa9\"",
        b"CMCD=sid%3D%22a%22",
        b"sid=\"unknown\",sta=p,v=2\nsid=\"6f3b1c2e-8a4d-8f00-9d7e-3b2a1c0d4e5f\",sta=e",
        long.as_bytes(),
    ];
    let queries = ["", "?t=", "?t=no.token.atall", "?t=a&t=b", "?t=%ff", "?x"];
    for body in odd {
        for query in queries {
            for kind in ["application/cmcd", "text/cmcd", "application/json", ""] {
                let request = Request::post(format!("/v1/cmcd{query}"));
                let request = match kind {
                    "" => request,
                    kind => request.header("content-type", kind),
                };
                let request = request.body(Body::from(body.to_vec())).expect("a request");
                assert_eq!(told(world.send(request).await).await, "", "{query} {kind}");
            }
        }
        tv.sends(&world, std::str::from_utf8(body).unwrap_or("sid=1"))
            .await;
    }
    assert_eq!(watching(&world).await, "tv playing one");
    assert_eq!(counted(&world, "too_large").await, "25");
    assert_eq!(world.call("GET /v1/cmcd", "").await.status(), 405);
}

#[tokio::test]
async fn a_report_that_the_service_has_no_time_or_no_store_for_is_answered_204() {
    let world = configured("[http]\nrequests_max = 1");
    let tv = Player::start(&world, "tv").await;
    world.store.set_down(true);
    assert_eq!(
        tv.says(&world, "sta=p").await,
        "",
        "it can prove its stream"
    );
    assert_eq!(tv.says(&world, "sta=e").await, "");
    let record = format!("sid=\"{}\",sta=p,v=2", tv.sid);
    assert_eq!(told(world.call("POST /v1/cmcd", &record).await).await, "");
    assert_eq!(counted(&world, "forgiven").await, "1");
    assert_eq!(counted(&world, "failed").await, "2");
    world.store.set_down(false);

    // Somebody else's request takes its time.
    let never = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let slow = Request::post("/v1/cmcd").body(Body::from_stream(never));
    let mut slow = pin!(world.send(slow.expect("a request")));
    assert!(poll!(slow.as_mut()).is_pending());
    let heartbeat = format!("POST /v1/streams/{}/heartbeat", tv.sid);
    assert_eq!(world.code(&heartbeat, "").await, "503 overloaded");
    assert_eq!(tv.says(&world, "sta=p").await, "");
    assert_eq!(counted(&world, "failed").await, "3");
}

#[tokio::test]
async fn pages_of_other_origins_may_report_and_see_what_to_do() {
    let world = configured("[cors]\norigins = \"https://video.example\"");
    let preflight = Request::options("/v1/cmcd?t=x")
        .header("origin", "https://video.example")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "content-type,authorization",
        )
        .body(Body::empty());
    let answer = world.send(preflight.expect("a request")).await;
    assert_eq!(answer.status(), 200);
    let allowed = &answer.headers()["access-control-allow-headers"];
    assert!(allowed.to_str().expect("text").contains("content-type"));
    assert_eq!(answer.headers()["access-control-max-age"], "7200");
    let report = Request::post("/v1/cmcd?t=x")
        .header("origin", "https://video.example")
        .header("content-type", "application/cmcd")
        .body(Body::from("e=t"));
    let answer = world.send(report.expect("a request")).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "https://video.example"
    );
    let exposed = &answer.headers()["access-control-expose-headers"];
    assert!(exposed.to_str().expect("text").contains("stream-action"));
}
