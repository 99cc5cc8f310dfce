//! What the passing of time does, seen through the API.

use super::World;

#[tokio::test]
async fn a_suspect_gives_its_place_to_whoever_needs_it() {
    let world = World::new();
    for stream in ["s1", "s2", "s3"] {
        assert_eq!(world.start("u", stream, stream).await, "201");
    }
    world.wait(30.0);
    assert_eq!(
        world.start("u", "s4", "s4").await,
        "409 stream-limit-reached"
    );
    assert_eq!(world.beat("u", "s2").await, "200");
    world.wait(0.001);
    assert_eq!(world.start("u", "s4", "s4").await, "201");
    assert_eq!(world.beat("u", "s1").await, "410 stream-replaced");
    assert_eq!(world.beat("u", "s3").await, "200");
    assert_eq!(world.beat("u", "s4").await, "200");
}

#[tokio::test]
async fn with_nobody_waiting_silence_is_forgiven_until_the_lease_ends() {
    let world = World::new();
    world.start("u", "s1", "tv").await;
    world.wait(89.999);
    assert_eq!(world.beat("u", "s1").await, "200");
}

#[tokio::test]
async fn a_late_heartbeat_resumes_if_there_is_room_and_is_told_why_if_not() {
    let world = World::new();
    world.start("u", "s1", "d1").await;
    world.start("u", "s2", "d2").await;
    world.wait(90.0);
    for stream in ["s3", "s4"] {
        assert_eq!(world.start("u", stream, stream).await, "201");
    }
    assert_eq!(world.beat("u", "s1").await, "200");
    assert_eq!(world.beat("u", "s2").await, "410 stream-expired");
    world.wait(600.0);
    assert_eq!(world.beat("u", "s2").await, "404 stream-unknown");
}

#[tokio::test]
async fn an_ending_is_remembered_for_ten_minutes() {
    let world = World::new();
    world.start("u", "s1", "d1").await;
    assert_eq!(
        world.code("DELETE /v1/streams/s1?userId=u", "").await,
        "204"
    );
    world.wait(599.999);
    assert_eq!(world.start("u", "s1", "d1").await, "410 stream-stopped");
    assert_eq!(world.beat("u", "s1").await, "410 stream-stopped");
    world.wait(0.001);
    assert_eq!(world.beat("u", "s1").await, "404 stream-unknown");
}

#[tokio::test]
async fn a_stream_of_the_seeds_route_is_never_suspect_and_lasts_four_hours() {
    let world = World::new();
    for _ in 0..3 {
        assert_eq!(world.code("POST /stream", r#"{"userId":"u"}"#).await, "201");
    }
    world.wait(14_399.999);
    assert_eq!(world.code("POST /stream", r#"{"userId":"u"}"#).await, "403");
    world.wait(0.001);
    assert_eq!(
        world.code("POST /dev/stream", r#"{"userId":"u"}"#).await,
        "201"
    );
}

#[tokio::test]
async fn the_first_heartbeat_makes_a_seed_stream_one_like_any_other() {
    let world = World::new();
    let body = r#"{"userId":"u","streamId":"s1"}"#;
    assert_eq!(world.code("POST /stream", body).await, "201");
    assert_eq!(world.beat("u", "s1").await, "200");
    for stream in ["s2", "s3"] {
        world.start("u", stream, stream).await;
    }
    world.wait(30.001);
    assert_eq!(world.start("u", "s4", "s4").await, "201");
    assert_eq!(world.beat("u", "s1").await, "410 stream-replaced");
}

#[tokio::test]
async fn an_evicted_player_is_told_and_does_not_come_back() {
    let world = World::new();
    world.start("u", "s1", "d1").await;
    world.start("u", "s2", "d2").await;
    world.wait(90.0);
    assert_eq!(world.code("DELETE /v1/users/u/streams", "").await, "204");
    assert_eq!(world.beat("u", "s1").await, "410 stream-evicted");
    assert_eq!(world.start("u", "s2", "d2").await, "410 stream-evicted");
}
