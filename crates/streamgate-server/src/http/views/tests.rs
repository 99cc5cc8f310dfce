use streamgate_core::{StreamId, UserId, WallTime};

use super::{CmcdBody, END_OF_9999, Moment, StateBody, StreamBody, StreamText, TermsBody};

const MINTED: &str = "6f3b1c2e-8a4d-8f00-9d7e-3b2a1c0d4e5f";

fn stream(id: &str) -> StreamText {
    StreamText(StreamId::parse(id).unwrap())
}

fn body() -> StreamBody {
    StreamBody {
        stream_id: stream(MINTED),
        user_id: UserId::parse("alice").unwrap(),
        state: StateBody::Live,
        started_at: Moment(WallTime::from_millis(1_790_000_000_123)),
        expires_at: Moment(WallTime::from_millis(1_790_000_090_000)),
        limit: 3,
        active: 2,
        resumed: false,
        provisional: false,
        heartbeat: TermsBody {
            interval_seconds: 30,
            lease_seconds: 90,
        },
        replaced: Vec::new(),
        token: None,
        cmcd: None,
    }
}

#[test]
fn a_stream_is_written_as_serde_writes_it() {
    let bodies = [
        body(),
        StreamBody {
            stream_id: stream("chosen.by~the_client"),
            user_id: UserId::parse("a \"quoted\\ name\u{2028}, \u{1f600}").unwrap(),
            state: StateBody::Suspect,
            resumed: true,
            provisional: true,
            ..body()
        },
        StreamBody {
            started_at: Moment(WallTime::from_millis(0)),
            expires_at: Moment(WallTime::from_millis(END_OF_9999 + 1)),
            limit: u8::MAX,
            active: usize::MAX,
            heartbeat: TermsBody {
                interval_seconds: 0,
                lease_seconds: u64::MAX,
            },
            replaced: vec![stream(MINTED)],
            token: Some("abc.DEF-123_.xyz".into()),
            cmcd: Some(CmcdBody {
                url: "/v1/cmcd?t=abc.DEF-123_.xyz".into(),
                sid: stream("chosen.by~the_client"),
                interval_seconds: 20,
            }),
            ..body()
        },
        StreamBody {
            expires_at: Moment(WallTime::from_millis(1_790_000_090_999)),
            ..body()
        },
        StreamBody {
            replaced: vec![stream("one"), stream(MINTED), stream("three")],
            ..body()
        },
    ];
    for body in bodies {
        let mut written = Vec::new();
        body.push_to(&mut written);
        let by_serde = serde_json::to_string(&body).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), by_serde);
    }
}
