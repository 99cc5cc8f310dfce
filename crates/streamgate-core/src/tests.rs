//! Tests of the rules: tables by topic, histories against a naive model, and the whole protocol
//! checked exhaustively.
//!
//! The tables are scripts. A script is words of the form `what@seconds`, in the order of time:
//!
//! | word | meaning |
//! |---|---|
//! | `a@0` | stream `a` starts; its device does not say who it is |
//! | `a/tv@0` | … on the device `tv` |
//! | `a>b,c@0` | … and replaces `b` and `c`, as the viewer chose |
//! | `a#2@0` | … under a limit of 2, whatever the table says |
//! | `a$@0` | … on the terms of clients that send no heartbeats |
//! | `~a@20` | a heartbeat of `a` |
//! | `-a@20` | `a` is stopped |
//! | `!a@20`, `!*@20` | an operator evicts `a`, or every stream |
//! | `?a@20` | would `a` be admitted? |
//! | `^@20` | a restart renews every lease |
//! | `.@90` | nothing happens but time |
//!
//! `2:a@0` is the same for the user `2`; without that it is the user `1`. An expectation is
//! `answer to the last word | who has a place then`, or only the latter.

mod codec;
mod expiry;
mod heartbeat;
mod histories;
mod ids_and_text;
mod model;
mod protocol;
mod readmit;
mod start;
mod stop_evict;
mod take_in;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::*;

/// The default terms of the service: 90 s, heard every 20 s.
const TERMS: Terms = Terms {
    lease: Duration::from_secs(90),
    heartbeat: Some(Duration::from_secs(20)),
    renew_after: Duration::ZERO,
};

/// The terms of the seed's route: 4 hours, and no heartbeats.
const SEED_TERMS: Terms = Terms {
    lease: Duration::from_secs(4 * 3600),
    heartbeat: None,
    renew_after: Duration::ZERO,
};

/// Plays a script from the empty record and compares what its last word comes to.
#[track_caller]
fn check(on_limit: OnLimit, limit: u8, script: &str, expected: &str) {
    let mut play = Play {
        record: Record::default(),
        on_limit,
        limit,
    };
    let mut answer = String::new();
    let mut now = at("0");
    for word in script.split_whitespace() {
        let (what, seconds) = word.split_once('@').expect("a word is what@seconds");
        assert!(now <= at(seconds), "time goes back at {word} in {script}");
        now = at(seconds);
        answer = play.word(what, now);
        assert_eq!(
            Record::decode(&play.record.encode()).unwrap(),
            play.record,
            "the record after {word} in {script} is not what was kept"
        );
    }
    let live = play.live(now);
    let got = if expected.contains('|') {
        format!("{answer} | {live}")
    } else {
        live
    };
    assert_eq!(got, expected, "{on_limit:?}, limit {limit}, {script}");
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn id(text: &str) -> StreamId {
    StreamId::parse(text).unwrap()
}

/// `"30.001"` is 30,001 ms.
fn at(seconds: &str) -> Timestamp {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let millis: u64 = format!("{fraction:0<3}").parse().expect("milliseconds");
    let whole: u64 = whole.parse().expect("seconds");
    Timestamp::from_millis(whole * 1000 + millis)
}

fn seconds(time: Timestamp) -> String {
    let (whole, millis) = (time.as_millis() / 1000, time.as_millis() % 1000);
    if millis == 0 {
        whole.to_string()
    } else {
        format!("{whole}.{millis:03}")
    }
}

fn policy(limit: u8, terms: Terms) -> Policy {
    Policy {
        limit: Limit::new(limit).unwrap(),
        terms,
    }
}

/// A start of an unnamed device that denies at the limit.
fn a_start(user_name: &str, stream: &str) -> Start {
    Start {
        user: user(user_name),
        id: id(stream),
        device: Device::default(),
        content: None,
        replace: Vec::new(),
        on_limit: OnLimit::Deny,
        started_at: WallTime::from_millis(0),
    }
}

/// A script under way.
struct Play {
    record: Record,
    on_limit: OnLimit,
    limit: u8,
}

impl Play {
    fn word(&mut self, what: &str, now: Timestamp) -> String {
        let (user_name, what) = what.split_once(':').unwrap_or(("1", what));
        let user = user(user_name);
        let (verb, name) = what.split_at(usize::from(
            what.starts_with(['~', '-', '!', '?', '^', '.', '_', '+']),
        ));
        match verb {
            "." => format!("{} expired", self.record.expire(now)),
            "^" => {
                self.record.renew_all(now);
                String::from("renewed")
            }
            "~" => {
                let target_id = id(name);
                let target = Target {
                    user: Some(&user),
                    id: &target_id,
                };
                beat(
                    self.record
                        .heartbeat(target, &Heartbeat::default(), TERMS, now),
                )
            }
            "-" => {
                let target_id = id(name);
                let target = Target {
                    user: Some(&user),
                    id: &target_id,
                };
                stopped(&self.record.stop(target, now))
            }
            "_" => {
                let target_id = id(name);
                let target = Target {
                    user: Some(&user),
                    id: &target_id,
                };
                let lapsed = self.record.lapse(target, now);
                lapsed.map_or(String::from("nothing"), |stream| {
                    format!("lapsed {}", stream.id)
                })
            }
            "+" => {
                let (request, policy) = self.request(user_name, name);
                let taken = self.record.take_in(&request, &policy, now);
                match taken {
                    TakenIn::Over(over) => format!("over: {over:?}"),
                    TakenIn::Entered => String::from("entered"),
                    TakenIn::Known => String::from("known"),
                    TakenIn::Full => String::from("full"),
                    TakenIn::Forgotten => String::from("forgotten"),
                }
            }
            "!" if name == "*" => names(&self.record.evict(&user, Which::All, now)),
            "!" => names(&self.record.evict(&user, Which::One(&id(name)), now)),
            "?" => {
                let (request, policy) = self.request(user_name, name);
                let before = self.record.clone();
                let answer = admission(&self.record.admission(&request, &policy, now));
                assert_eq!(before, self.record, "asking changes nothing");
                answer
            }
            _ => self.start(user_name, name, now),
        }
    }

    /// Starts, and asks before whether it would: both must say the same.
    fn start(&mut self, user_name: &str, what: &str, now: Timestamp) -> String {
        let (request, policy) = self.request(user_name, what);
        let foretold = self.record.admission(&request, &policy, now);
        let mut before = self.record.clone();
        before.expire(now);
        let (count, _) = before.streams(&request.user, now);
        let started = self.record.start(&request, &policy, now);
        match (&started, foretold) {
            (
                Started::Admitted { replaced, .. },
                Admission::Open {
                    active,
                    limit,
                    replaced: would,
                },
            ) => {
                assert_eq!(*replaced, would);
                assert_eq!((active, limit), (count.len(), policy.limit));
            }
            (Started::Denied(denial), Admission::Closed(would)) => {
                assert_eq!(*denial, would);
                assert_eq!(before, self.record, "a denial changes nothing");
            }
            (Started::Same(_) | Started::Over(_), _) => {}
            (_, foretold) => panic!("{started:?}, but {foretold:?} was foretold"),
        }
        answer(started)
    }

    /// Reads `id[/device][#limit][>replaced,…][$]`.
    fn request(&self, user_name: &str, what: &str) -> (Start, Policy) {
        let (what, terms) = match what.strip_suffix('$') {
            Some(rest) => (rest, SEED_TERMS),
            None => (what, TERMS),
        };
        let (what, replace) = what.split_once('>').unwrap_or((what, ""));
        let (what, limit) = match what.split_once('#') {
            Some((rest, limit)) => (rest, limit.parse().expect("a limit")),
            None => (what, self.limit),
        };
        let (name, device) = what.split_once('/').unwrap_or((what, ""));
        let request = Start {
            device: Device {
                id: DeviceText::parse(device).ok(),
                ..Device::default()
            },
            replace: replace
                .split(',')
                .filter_map(|id| StreamId::parse(id).ok())
                .collect(),
            on_limit: self.on_limit,
            ..a_start(user_name, name)
        };
        (request, policy(limit, terms))
    }

    /// Who has a place, user 1 unmarked.
    fn live(&self, now: Timestamp) -> String {
        let mut live = names(&self.record.streams(&user("1"), now).0);
        for other in self.record.streams(&user("2"), now).0 {
            live = format!("{live} 2:{}", other.id);
        }
        String::from(live.trim())
    }
}

fn names(streams: &[Stream]) -> String {
    let names: Vec<String> = streams.iter().map(|stream| stream.id.to_string()).collect();
    names.join(" ")
}

fn list(verdict: &str, ids: &[StreamId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("{verdict} {}", ids.join(" ")).trim().into()
}

fn answer(started: Started) -> String {
    match started {
        Started::Admitted { replaced, .. } if replaced.is_empty() => String::from("new"),
        Started::Admitted { replaced, .. } => list("new for", &replaced),
        Started::Same(_) => String::from("same"),
        Started::Over(why) => over(&why),
        Started::Denied(denial) => no(&denial),
    }
}

fn admission(admission: &Admission) -> String {
    match admission {
        Admission::Open {
            active,
            limit,
            replaced,
        } => list(&format!("open at {active} of {limit}"), replaced),
        Admission::Closed(denial) => no(denial),
    }
}

fn no(denial: &Denial) -> String {
    let Denial {
        limit,
        holders,
        retry_at,
    } = denial;
    format!(
        "no: {} of {limit} until {}",
        names(holders),
        seconds(*retry_at)
    )
}

fn over(why: &Over) -> String {
    match why {
        Over::Stopped => String::from("stopped"),
        Over::Expired => String::from("expired"),
        Over::Replaced { by } => format!("replaced by {by}"),
        Over::Evicted => String::from("evicted"),
    }
}

fn beat(beat: Beat) -> String {
    match beat {
        Beat::Renewed(place) => format!("renewed, {} of {}", place.active, place.limit),
        Beat::Fresh(place) => format!("fresh, {} of {}", place.active, place.limit),
        Beat::Joined(place) => format!("joined, {} of {}", place.active, place.limit),
        Beat::Resumed(place) => format!("resumed, {} of {}", place.active, place.limit),
        Beat::Over(why) => over(&why),
        Beat::Unknown => String::from("unknown"),
    }
}

fn stopped(stopped: &Stopped) -> String {
    match stopped {
        Stopped::Ended(stream) => format!("ended {}", stream.id),
        Stopped::Forgone => String::from("forgone"),
        Stopped::Already => String::from("already"),
        Stopped::Noted => String::from("noted"),
        Stopped::Unknown => String::from("unknown"),
    }
}
