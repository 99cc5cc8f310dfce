//! A thousand heartbeats in one request.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Names, Server};

#[test]
fn each_heartbeat_of_a_batch_has_its_own_result() {
    let server = Server::start();
    let client = server.client();
    let mut names = Names::default();
    let start = || client.admitted(&json!({"userId": "1"}));
    let live = start();
    client.admitted(&json!({"userId": "2", "streamId": "own"}));
    let stopped = start();
    client.delete(&format!("/v1/streams/{stopped}"));
    let evicted = start();
    client.delete(&format!("/v1/users/1/streams/{evicted}"));
    let replaced = start();
    let replace = client.start(&json!({"userId": "1", "replace": [replaced]}));
    assert_eq!(replace.status, 201);
    let batch = json!({"heartbeats": [
        {"streamId": live, "state": "paused", "contentId": "movie-2"},
        {"streamId": "own", "userId": "2"},
        {"streamId": "own"},
        {"streamId": stopped},
        {"streamId": evicted},
        {"streamId": replaced},
        {"streamId": "6f3b1c2e-8a4d-8f00-9d7e-3b2a1c0d4e5f"},
        {"streamId": "no stream id!"},
        {"streamId": live, "state": "sleeping"},
        {"streamId": live, "contentId": ""},
        {"streamId": live},
    ]});
    let answer = client.post("/v1/heartbeats", &batch);
    expect![[r#"
        200
        {
          results: [
            {"status":200,"stream":{"active":2,"expiresAt":"<time>","heartbeat":{"intervalSeconds":20,"leaseSeconds":90},"limit":3,"replaced":[],"resumed":false,"startedAt":"<time>","state":"live","streamId":"<id 1>","userId":"1"},"streamId":"<id 1>"}
            {"status":200,"stream":{"active":1,"expiresAt":"<time>","heartbeat":{"intervalSeconds":20,"leaseSeconds":90},"limit":3,"replaced":[],"resumed":false,"startedAt":"<time>","state":"live","streamId":"own","userId":"2"},"streamId":"own"}
            {"code":"stream-unknown","status":404,"streamId":"own"}
            {"code":"stream-stopped","status":410,"streamId":"<id 2>"}
            {"code":"stream-evicted","status":410,"streamId":"<id 3>"}
            {"by":"<id 4>","code":"stream-replaced","status":410,"streamId":"<id 5>"}
            {"code":"stream-unknown","status":404,"streamId":"<id 6>"}
            {"code":"invalid-request","detail":"must consist of letters, digits and . _ ~ - only","field":"streamId","status":400,"streamId":"no stream id!"}
            {"code":"invalid-request","detail":"must be playing or paused","field":"state","status":400,"streamId":"<id 1>"}
            {"code":"invalid-request","detail":"must not be empty","field":"contentId","status":400,"streamId":"<id 1>"}
            {"status":200,"stream":{"active":2,"expiresAt":"<time>","heartbeat":{"intervalSeconds":20,"leaseSeconds":90},"limit":3,"replaced":[],"resumed":false,"startedAt":"<time>","state":"live","streamId":"<id 1>","userId":"1"},"streamId":"<id 1>"}
          ]
        }
    "#]]
    .assert_eq(&names.show(&answer));
    let listed = client.get("/v1/users/1/streams").json();
    assert_eq!(listed["streams"][0]["contentId"], "movie-2");
    assert_eq!(listed["streams"][0]["playback"], "paused");
}

#[test]
fn a_thousand_heartbeats_are_taken_and_one_more_is_not() {
    let server = Server::start();
    let client = server.client();
    let beats: Vec<Value> = (0..250)
        .flat_map(|user| {
            let start = || client.admitted(&json!({"userId": format!("user-{user}"), "limit": 4}));
            [start(), start(), start(), start()]
        })
        .map(|id| json!({"streamId": id}))
        .collect();
    let answer = client.post("/v1/heartbeats", &json!({"heartbeats": beats}));
    assert_eq!(answer.status, 200);
    let results = answer.json()["results"].as_array().expect("a list").clone();
    assert_eq!(results.len(), 1_000);
    for (result, beat) in results.iter().zip(&beats) {
        assert_eq!(result["streamId"], beat["streamId"]);
        assert_eq!(result["status"], 200, "{result}");
    }
    let more: Vec<&Value> = beats.iter().chain(&beats[..1]).collect();
    let refused = client.post("/v1/heartbeats", &json!({"heartbeats": more}));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "invalid-request")
    );
    assert_eq!(refused.text("field"), "heartbeats");
}
