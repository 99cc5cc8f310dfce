//! Where the limit of a start comes from.

use serde_json::{Value, json};

use crate::support::{Client, Setup};

fn limit_of(client: &Client, body: &Value) -> Value {
    let answer = client.start(body);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["limit"].clone()
}

#[test]
fn what_the_caller_says_goes_before_the_plan_and_the_plan_before_the_default() {
    let setup = Setup::new().set("LIMIT", 4).set("PLANS_PREMIUM", 6);
    let server = setup.start();
    let client = server.client();
    assert_eq!(limit_of(&client, &json!({"userId": "1"})), 4);
    assert_eq!(
        limit_of(&client, &json!({"userId": "1", "plan": "premium"})),
        6
    );
    let both = json!({"userId": "1", "plan": "premium", "limit": 9});
    assert_eq!(limit_of(&client, &both), 9);
    assert_eq!(client.get("/v1/users/1/streams").json()["limit"], 9);
    let asked =
        |query: &str| client.get(&format!("/v1/users/2/admission{query}")).json()["limit"].clone();
    assert_eq!(asked(""), 4);
    assert_eq!(asked("?plan=premium"), 6);
    assert_eq!(asked("?plan=premium&limit=9"), 9);
}

#[test]
fn each_limit_admits_exactly_as_many() {
    let server = Setup::new().start();
    let client = server.client();
    for limit in [1, 2, 3, 5, 64] {
        let body = json!({"userId": format!("user-{limit}"), "limit": limit});
        for active in 1..=limit {
            let started = client.start(&body);
            assert_eq!(started.status, 201, "{started:?}");
            assert_eq!(started.json()["active"], active);
        }
        let denied = client.start(&body);
        assert_eq!(denied.status, 409);
        assert_eq!(denied.json()["limit"], limit);
        assert_eq!(
            denied.json()["holders"].as_array().map(Vec::len),
            Some(limit)
        );
        assert_eq!(
            denied.header("ratelimit-policy"),
            Some(format!("\"streams\";q={limit}").as_str())
        );
    }
}

#[test]
fn a_lowered_limit_ends_nobody_and_admits_nobody() {
    let server = Setup::new().start();
    let client = server.client();
    let ids: Vec<String> = (0..3)
        .map(|_| client.admitted(&json!({"userId": "1"})))
        .collect();
    let lower = json!({"userId": "1", "limit": 1});
    assert_eq!(client.start(&lower).status, 409);
    assert_eq!(client.streams_of("1"), ids);
    for id in &ids[..2] {
        assert_eq!(client.delete(&format!("/v1/streams/{id}")).status, 204);
        assert_eq!(client.start(&lower).status, 409);
    }
    assert_eq!(
        client.delete(&format!("/v1/streams/{}", ids[2])).status,
        204
    );
    assert_eq!(client.start(&lower).status, 201);
}

#[test]
fn users_are_counted_apart() {
    let server = Setup::new().start();
    let client = server.client();
    for user in ["1", "01", "1 ", "a", "A", "é", "e\u{301}"] {
        for _ in 0..3 {
            client.admitted(&json!({"userId": user}));
        }
        assert_eq!(client.start(&json!({"userId": user})).status, 409);
    }
}
