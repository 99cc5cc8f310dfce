//! Bad heartbeats, one at a time or many.

use expect_test::expect;
use serde_json::json;

use super::{Target, post};

#[test]
fn a_bad_heartbeat_names_the_field() {
    let target = Target::new();
    target
        .client
        .admitted(&json!({"userId": "1", "streamId": "a"}));
    let path = "/v1/users/1/streams/a/heartbeat";
    target.check_rows(
        |body| post(path, body),
        &[
            ("", "200"),
            ("null", "200"),
            ("{}", "200"),
            (r#"{"state":null,"contentId":null,"unknown":[1]}"#, "200"),
            (r#"{"state":"paused"}"#, "200"),
            (r#"{"state":"PAUSED"}"#, "400 invalid-request (state)"),
            (r#"{"state":"stopped"}"#, "400 invalid-request (state)"),
            (r#"{"state":1}"#, "400 invalid-request (state)"),
            (r#"{"contentId":""}"#, "400 invalid-request (contentId)"),
            (r#"{"contentId":7}"#, "400 invalid-request (contentId)"),
            (
                r#"{"contentId":"a\u0000"}"#,
                "400 invalid-request (contentId)",
            ),
            ("[]", "400 invalid-request"),
            ("{", "400 invalid-request"),
            ("7", "400 invalid-request"),
        ],
    );
}

#[test]
fn a_bad_batch_is_refused_as_a_whole_and_a_bad_item_alone() {
    let target = Target::new();
    target.check_rows(
        |body| post("/v1/heartbeats", body),
        &[
            ("", "400 invalid-request"),
            ("{}", "400 invalid-request"),
            (r#"{"heartbeats":null}"#, "400 invalid-request (heartbeats)"),
            (r#"{"heartbeats":{}}"#, "400 invalid-request (heartbeats)"),
            (
                r#"{"heartbeats":[7]}"#,
                "400 invalid-request (heartbeats[0])",
            ),
            (
                r#"{"heartbeats":[{}]}"#,
                "400 invalid-request (heartbeats[0])",
            ),
            (
                r#"{"heartbeats":[{"streamId":7}]}"#,
                "400 invalid-request (heartbeats[0].streamId)",
            ),
            (
                r#"{"heartbeats":[{"streamId":"a","userId":7}]}"#,
                "400 invalid-request (heartbeats[0].userId)",
            ),
            (
                r#"{"heartbeats":[{"streamId":"a","state":7}]}"#,
                "400 invalid-request (heartbeats[0].state)",
            ),
            (
                r#"{"heartbeats":[{"streamId":"a","contentId":[]}]}"#,
                "400 invalid-request (heartbeats[0].contentId)",
            ),
            (r#"{"heartbeats":[{"streamId":"a","state":"loud"}]}"#, "200"),
            (r#"{"heartbeats":[{"streamId":"a","contentId":""}]}"#, "200"),
            (r#"{"heartbeats":[]}"#, "200"),
            (r#"[{"streamId":"a"}]"#, "400 invalid-request"),
        ],
    );

    let body = json!({"heartbeats": [
        {"streamId": ""},
        {"streamId": "a b", "userId": "1"},
        {"streamId": "a", "userId": ""},
        {"streamId": "a", "userId": "x".repeat(257)},
        {"streamId": target.secret},
    ]});
    let results = target.client.post("/v1/heartbeats", &body).json();
    let results = results["results"].as_array().expect("a list");
    let outcomes: Vec<String> = results
        .iter()
        .map(|result| format!("{} {}", result["status"], result["code"]))
        .collect();
    expect![[r#"
        400 "invalid-request"
        400 "invalid-request"
        400 "invalid-request"
        400 "invalid-request"
        200 null"#]]
    .assert_eq(&outcomes.join("\n"));
}
