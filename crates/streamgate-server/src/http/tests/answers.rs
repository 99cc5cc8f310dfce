//! Whole answers, as clients get them.

use expect_test::expect;

use super::World;

#[tokio::test]
async fn a_start_is_answered_with_the_stream_and_its_terms() {
    let world = World::new();
    let body = r#"{"userId":"u","streamId":"s1","device":{"id":"tv-9","name":"Living room TV"},"contentId":"movie-1"}"#;
    world
        .check(
            "POST /v1/streams",
            body,
            expect![[r#"
                201 Created
                location: /v1/users/u/streams/s1
                ratelimit: "streams";r=2;t=31
                ratelimit-policy: "streams";q=3
                {
                  "active": 1,
                  "cmcd": {
                    "intervalSeconds": 20,
                    "sid": "s1",
                    "url": "/v1/cmcd?t=(a token)"
                  },
                  "expiresAt": "2027-01-15T08:01:30.000Z",
                  "heartbeat": {
                    "intervalSeconds": 20,
                    "leaseSeconds": 90
                  },
                  "limit": 3,
                  "replaced": [],
                  "resumed": false,
                  "startedAt": "2027-01-15T08:00:00.000Z",
                  "state": "live",
                  "streamId": "s1",
                  "token": "(a token)",
                  "userId": "u"
                }
            "#]],
        )
        .await;
    world.wait(5.0);
    world
        .check(
            "POST /v1/streams",
            body,
            expect![[r#"
                200 OK
                location: /v1/users/u/streams/s1
                ratelimit: "streams";r=2;t=31
                ratelimit-policy: "streams";q=3
                {
                  "active": 1,
                  "cmcd": {
                    "intervalSeconds": 20,
                    "sid": "s1",
                    "url": "/v1/cmcd?t=(a token)"
                  },
                  "expiresAt": "2027-01-15T08:01:35.000Z",
                  "heartbeat": {
                    "intervalSeconds": 20,
                    "leaseSeconds": 90
                  },
                  "limit": 3,
                  "replaced": [],
                  "resumed": false,
                  "startedAt": "2027-01-15T08:00:00.000Z",
                  "state": "live",
                  "streamId": "s1",
                  "token": "(a token)",
                  "userId": "u"
                }
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_denial_lists_the_holders_and_says_when_to_try_again() {
    let world = World::new();
    let body = r#"{"userId":"u","streamId":"s1","device":{"id":"tv-9","name":"Living room TV"},"contentId":"movie-1","limit":1}"#;
    world.code("POST /v1/streams", body).await;
    world.wait(12.5);
    let body = r#"{"userId":"u","streamId":"s2","limit":1}"#;
    world
        .check(
            "POST /v1/streams",
            body,
            expect![[r#"
        409 Conflict
        ratelimit: "streams";r=0;t=18
        ratelimit-policy: "streams";q=1
        retry-after: 18
        {
          "code": "stream-limit-reached",
          "detail": "1 of 1 streams are live",
          "holders": [
            {
              "contentId": "movie-1",
              "device": {
                "id": "tv-9",
                "name": "Living room TV"
              },
              "expiresAt": "2027-01-15T08:01:30.000Z",
              "lastHeardAt": "2027-01-15T08:00:00.000Z",
              "playback": "playing",
              "startedAt": "2027-01-15T08:00:00.000Z",
              "state": "live",
              "streamId": "s1"
            }
          ],
          "limit": 1,
          "retryAfterSeconds": 18,
          "status": 409,
          "title": "The user plays as many streams as allowed",
          "type": "urn:streamgate:problem:stream-limit-reached"
        }
    "#]],
        )
        .await;
}

#[tokio::test]
async fn a_heartbeat_is_answered_with_the_renewed_stream() {
    let world = World::new();
    world.start("u", "s1", "tv").await;
    world.wait(20.0);
    let body = r#"{"state":"paused","contentId":"movie-2"}"#;
    world
        .check(
            "POST /v1/users/u/streams/s1/heartbeat",
            body,
            expect![[r#"
            200 OK
            ratelimit: "streams";r=2;t=31
            ratelimit-policy: "streams";q=3
            {
              "active": 1,
              "expiresAt": "2027-01-15T08:01:50.000Z",
              "heartbeat": {
                "intervalSeconds": 20,
                "leaseSeconds": 90
              },
              "limit": 3,
              "replaced": [],
              "resumed": false,
              "startedAt": "2027-01-15T08:00:00.000Z",
              "state": "live",
              "streamId": "s1",
              "userId": "u"
            }
        "#]],
        )
        .await;
    world
        .check(
            "GET /v1/users/u/streams",
            "",
            expect![[r#"
            200 OK
            {
              "active": 1,
              "limit": 3,
              "streams": [
                {
                  "contentId": "movie-2",
                  "device": {
                    "id": "tv"
                  },
                  "expiresAt": "2027-01-15T08:01:50.000Z",
                  "lastHeardAt": "2027-01-15T08:00:20.000Z",
                  "playback": "paused",
                  "startedAt": "2027-01-15T08:00:00.000Z",
                  "state": "live",
                  "streamId": "s1"
                }
              ],
              "userId": "u"
            }
        "#]],
        )
        .await;
}

#[tokio::test]
async fn a_replaced_player_is_told_by_which_stream() {
    let world = World::new();
    world.start("u", "s1", "tv").await;
    world.start("u", "s2", "tv").await;
    world
        .check(
            "POST /v1/streams/s1/heartbeat?userId=u",
            "",
            expect![[r#"
            410 Gone
            {
              "by": "s2",
              "code": "stream-replaced",
              "detail": "start again with a new streamId to go on",
              "status": 410,
              "title": "A newer stream took the place",
              "type": "urn:streamgate:problem:stream-replaced"
            }
        "#]],
        )
        .await;
}

#[tokio::test]
async fn an_admission_says_what_a_start_would_come_to() {
    let world = World::new();
    for stream in ["s1", "s2", "s3"] {
        world.start("u", stream, stream).await;
    }
    world
        .check(
            "GET /v1/users/u/admission?deviceId=s2",
            "",
            expect![[r#"
            200 OK
            {
              "active": 3,
              "admitted": true,
              "holders": [],
              "limit": 3,
              "replaced": [
                "s2"
              ]
            }
        "#]],
        )
        .await;
    world
        .check(
            "GET /v1/users/u/admission?plan=premium",
            "",
            expect![[r#"
            200 OK
            {
              "active": 3,
              "admitted": true,
              "holders": [],
              "limit": 5,
              "replaced": []
            }
        "#]],
        )
        .await;
    assert_eq!(
        world.code("GET /v1/users/u/admission?plan=basic", "").await,
        "400 invalid-request"
    );
}

#[tokio::test]
async fn a_batch_has_a_result_for_each_heartbeat() {
    let world = World::new();
    world.start("u", "s1", "tv").await;
    world.start("u", "s2", "pc").await;
    world.code("DELETE /v1/streams/s2?userId=u", "").await;
    world.wait(20.0);
    let body = r#"{"heartbeats":[{"streamId":"s1","userId":"u"},{"streamId":"s2","userId":"u"},
        {"streamId":"s3","userId":"u"},{"streamId":"no id"}]}"#;
    world
        .check(
            "POST /v1/heartbeats",
            body,
            expect![[r#"
                200 OK
                {
                  "results": [
                    {
                      "status": 200,
                      "stream": {
                        "active": 1,
                        "expiresAt": "2027-01-15T08:01:50.000Z",
                        "heartbeat": {
                          "intervalSeconds": 20,
                          "leaseSeconds": 90
                        },
                        "limit": 3,
                        "replaced": [],
                        "resumed": false,
                        "startedAt": "2027-01-15T08:00:00.000Z",
                        "state": "live",
                        "streamId": "s1",
                        "userId": "u"
                      },
                      "streamId": "s1"
                    },
                    {
                      "code": "stream-stopped",
                      "status": 410,
                      "streamId": "s2"
                    },
                    {
                      "code": "stream-unknown",
                      "status": 404,
                      "streamId": "s3"
                    },
                    {
                      "code": "invalid-request",
                      "detail": "must consist of letters, digits and . _ ~ - only",
                      "field": "streamId",
                      "status": 400,
                      "streamId": "no id"
                    }
                  ]
                }
            "#]],
        )
        .await;
}

#[tokio::test]
async fn mistakes_name_their_field() {
    let world = World::new();
    let body = r#"{"userId":"u","device":{"name":"\u0007"}}"#;
    world
        .check(
            "POST /v1/streams",
            body,
            expect![[r#"
        400 Bad Request
        {
          "code": "invalid-request",
          "detail": "must not contain control characters at line 1 column 40",
          "field": "device.name",
          "status": 400,
          "title": "The request is not valid",
          "type": "urn:streamgate:problem:invalid-request"
        }
    "#]],
        )
        .await;
    world
        .check(
            "PUT /v1/streams",
            "",
            expect![[r#"
        405 Method Not Allowed
        allow: POST
        {
          "code": "method-not-allowed",
          "detail": "the Allow header lists the methods of this path",
          "status": 405,
          "title": "This path does not take this method",
          "type": "urn:streamgate:problem:method-not-allowed"
        }
    "#]],
        )
        .await;
    world
        .check(
            "GET /v2",
            "",
            expect![[r#"
        404 Not Found
        {
          "code": "not-found",
          "detail": "see /docs for what there is",
          "status": 404,
          "title": "There is nothing at this path",
          "type": "urn:streamgate:problem:not-found"
        }
    "#]],
        )
        .await;
    world
        .check(
            "GET /stream",
            "",
            expect![[r#"
        405 Method Not Allowed
        allow: POST,DELETE
        {
          "message": {
            "error": "the Allow header lists the methods of this path"
          },
          "statusCode": 405
        }
    "#]],
        )
        .await;
}
