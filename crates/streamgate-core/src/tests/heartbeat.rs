//! What a heartbeat comes to.

use super::{SEED_TERMS, TERMS, a_start, at, check, id, policy, seconds, user};
use crate::OnLimit::{Deny, ReplaceOldest};
use crate::*;

#[test]
fn a_heartbeat_renews_the_lease() {
    check(Deny, 3, "a@0 ~a@20", "renewed, 1 of 3 | a");
    check(Deny, 1, "a@0 ~a@89.999 .@179.998", "a");
    check(Deny, 1, "a@0 ~a@89.999 .@179.999", "");
    check(Deny, 3, "a@0 b@0 ~a@20", "renewed, 2 of 3 | a b");
}

#[test]
fn a_heartbeat_makes_a_suspect_live_again() {
    check(Deny, 1, "a@0 ~a@60 b@61", "no: a of 1 until 90.001 | a");
    check(Deny, 1, "a@0 ~a@60 b@90", "no: a of 1 until 90.001 | a");
    check(Deny, 1, "a@0 ~a@60 b@90.001", "new for a | b");
}

#[test]
fn a_heartbeat_of_nobody_is_unknown() {
    check(Deny, 1, "~a@0", "unknown | ");
    check(Deny, 1, "a@0 ~b@1", "unknown | a");
}

#[test]
fn a_late_heartbeat_takes_its_place_back() {
    check(Deny, 1, "a@0 ~a@90", "resumed, 1 of 1 | a");
    check(Deny, 1, "a@0 ~a@89.999", "renewed, 1 of 1 | a");
    check(Deny, 2, "a@0 b@80 ~a@100", "resumed, 2 of 2 | b a");
    check(Deny, 1, "a@0 ~a@689.999", "resumed, 1 of 1 | a");
    check(Deny, 1, "a@0 ~a@690", "unknown | ");
    check(Deny, 1, "a@0 ~a@100 .@189.999", "a");
    check(Deny, 1, "a@0 ~a@100 .@190", "");
    check(Deny, 1, "a@0 ~a@100 ~a@101", "renewed, 1 of 1 | a");
}

#[test]
fn a_late_heartbeat_without_room_is_over() {
    check(Deny, 1, "a@0 b@90 ~a@91", "expired | b");
    check(Deny, 2, "a@0 b@60 c@90 ~a@91", "expired | b c");
    check(Deny, 1, "a@0 b@90 ~a@91 -b@92 ~a@93", "resumed, 1 of 1 | a");
    // Room is what the last admitted start's limit leaves.
    check(Deny, 2, "a@0 b#1@90 ~a@91", "expired | b");
    check(Deny, 1, "a@0 b#2@90 ~a@91", "resumed, 2 of 2 | b a");
}

#[test]
fn a_resumed_stream_is_the_newest() {
    check(ReplaceOldest, 2, "a@0 b@80 ~a@100 c@101", "new for b | a c");
}

#[test]
fn a_device_that_started_anew_has_no_earlier_stream_to_resume() {
    check(Deny, 3, "a/tv@0 b/tv@90 ~a@91", "replaced by b | b");
    check(Deny, 3, "a/tv@0 b/phone@90 ~a@91", "resumed, 2 of 3 | b a");
    check(Deny, 3, "a@0 b@90 ~a@91", "resumed, 2 of 3 | b a");
}

#[test]
fn a_chosen_stream_that_expired_meanwhile_cannot_resume() {
    check(Deny, 3, "a@0 b>a@90 ~a@91", "replaced by b | b");
    check(Deny, 1, "a@0 b>x@90 -b@91 ~a@92", "resumed, 1 of 1 | a");
    check(Deny, 1, "a@0 b>a@90 -b@91 ~a@92", "replaced by b | ");
}

#[test]
fn a_player_is_told_why_its_stream_is_over() {
    check(Deny, 3, "a@0 -a@1 ~a@2", "stopped | ");
    check(Deny, 3, "a@0 b>a@1 ~a@2", "replaced by b | b");
    check(Deny, 1, "a@0 b@30.001 ~a@31", "replaced by b | b");
    check(ReplaceOldest, 1, "a@0 b@1 ~a@2", "replaced by b | b");
    check(Deny, 3, "a@0 !a@1 ~a@2", "evicted | ");
    check(Deny, 1, "a@0 b@90 ~a@92", "expired | b");
}

#[test]
fn a_client_without_heartbeats_is_never_suspect() {
    check(Deny, 1, "a$@0 b@90", "no: a of 1 until 14400 | a");
    check(Deny, 1, "a$@0 b@14399.999", "no: a of 1 until 14400 | a");
    check(Deny, 1, "a$@0 b@14400", "new | b");
    check(Deny, 2, "a$@0 b@0 c@40", "new for b | a c");
    check(ReplaceOldest, 2, "a$@0 b@0 c@1", "new for a | b c");
}

#[test]
fn the_first_heartbeat_makes_a_silent_client_one_like_any_other() {
    check(
        Deny,
        1,
        "a$@0 ~a@1000 b@1030",
        "no: a of 1 until 1030.001 | a",
    );
    check(Deny, 1, "a$@0 ~a@1000 b@1030.001", "new for a | b");
    check(Deny, 1, "a$@0 ~a@1000 .@1089.999", "a");
    check(Deny, 1, "a$@0 ~a@1000 .@1090", "");
    check(Deny, 1, "a$@0 ~a@1000", "joined, 1 of 1 | a");
    check(Deny, 1, "a$@0 ~a@1000 ~a@1020", "renewed, 1 of 1 | a");
    // The start again is no heartbeat.
    check(Deny, 1, "a$@0 a@1000 b@1100", "no: a of 1 until 15400 | a");
}

#[test]
fn a_heartbeat_tells_what_changed() {
    let mut record = Record::default();
    let request = Start {
        content: ContentId::parse("news").ok(),
        started_at: WallTime::from_millis(7),
        ..a_start("1", "a")
    };
    record.start(&request, &policy(1, SEED_TERMS), at("0"));
    let (user, id) = (user("1"), id("a"));
    let target = Target {
        user: Some(&user),
        id: &id,
    };
    let mut beat = |beat: Heartbeat, time| match record.heartbeat(target, &beat, TERMS, at(time)) {
        Beat::Renewed(place) | Beat::Fresh(place) | Beat::Joined(place) | Beat::Resumed(place) => {
            place
        }
        no @ (Beat::Over(_) | Beat::Unknown) => panic!("{no:?}"),
    };

    let paused = beat(
        Heartbeat {
            playback: Some(Playback::Paused),
            content: None,
        },
        "10",
    );
    assert_eq!(paused.stream.playback, Playback::Paused);
    assert_eq!(paused.stream.content, request.content);
    assert_eq!(seconds(paused.stream.lease.heard_at()), "10");
    assert_eq!(seconds(paused.stream.lease.expires_at()), "100");
    assert_eq!(seconds(paused.reclaimable_at), "40.001");

    let zapped = beat(
        Heartbeat {
            playback: None,
            content: ContentId::parse("sports").ok(),
        },
        "20",
    );
    assert_eq!(zapped.stream.playback, Playback::Paused);
    assert_eq!(zapped.stream.content, ContentId::parse("sports").ok());

    let resumed = beat(
        Heartbeat {
            playback: Some(Playback::Playing),
            content: None,
        },
        "200",
    );
    assert_eq!(resumed.stream.playback, Playback::Playing);
    assert_eq!(resumed.stream.content, ContentId::parse("sports").ok());
    assert_eq!(resumed.stream.started_at, request.started_at);
    assert_eq!((resumed.active, resumed.limit.get()), (1, 1));
    assert_eq!(record.streams(&user, at("200")).0, [resumed.stream]);
}

#[test]
fn a_minted_id_is_enough_to_find_its_stream() {
    let mut record = Record::default();
    record.start(&a_start("1", "a"), &policy(1, TERMS), at("0"));
    record.start(&a_start("2", "b"), &policy(1, TERMS), at("0"));
    for (stream, owner) in [("a", "1"), ("b", "2")] {
        let id = id(stream);
        let target = Target {
            user: None,
            id: &id,
        };
        let Beat::Renewed(place) = record.heartbeat(target, &Heartbeat::default(), TERMS, at("1"))
        else {
            panic!("{stream} is there");
        };
        assert_eq!(
            (place.user, place.stream.id.clone()),
            (user(owner), id.clone())
        );
    }
    let stranger = id("c");
    let target = Target {
        user: None,
        id: &stranger,
    };
    let beat = record.heartbeat(target, &Heartbeat::default(), TERMS, at("1"));
    assert_eq!(beat, Beat::Unknown);
}

#[test]
fn a_named_user_never_reaches_another_ones_stream() {
    check(Deny, 1, "a@0 2:~a@1", "unknown | a");
    check(Deny, 1, "a@0 2:b@0 2:~a@1", "unknown | a 2:b");
    check(
        Deny,
        1,
        "a@0 2:a@0 2:~a@40 2:b@41",
        "no: a of 1 until 70.001 | a 2:a",
    );
    check(Deny, 1, "a@0 2:a@0 2:~a@40 b@41", "new for a | b 2:a");
    check(Deny, 1, "a@0 2:a@0 -a@1 2:~a@2", "renewed, 1 of 1 | 2:a");
}
