//! The rules, spoken to in the model's words.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::words::{Answer, Ask, Op, Seen, Taken, Why};
use crate::tests::{TERMS, a_start, id, user};
use crate::*;

/// Names of one letter; content and devices are numbers.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

pub(super) fn name(number: u8) -> StreamId {
    id(NAMES[usize::from(number)])
}

pub(super) fn owner(number: u8) -> UserId {
    user(&number.to_string())
}

pub(super) fn number(id: &StreamId) -> u8 {
    let text = id.to_string();
    let index = NAMES.iter().position(|name| *name == text);
    u8::try_from(index.expect("one of ours")).unwrap()
}

pub(super) fn numbers<'a>(ids: impl IntoIterator<Item = &'a StreamId>) -> Vec<u8> {
    ids.into_iter().map(number).collect()
}

/// The start that is asked for, under its policy; `step` is its time on the wall.
pub(super) fn request(ask: &Ask, step: u64) -> (Start, Policy) {
    let device = (ask.device != 0).then(|| DeviceText::parse(&format!("{}", ask.device)).unwrap());
    let request = Start {
        device: Device {
            id: device,
            ..Device::default()
        },
        replace: ask.replace.iter().map(|id| name(*id)).collect(),
        on_limit: match ask.replace_oldest {
            true => OnLimit::ReplaceOldest,
            false => OnLimit::Deny,
        },
        started_at: WallTime::from_millis(step),
        ..a_start(&ask.user.to_string(), NAMES[usize::from(ask.id)])
    };
    let millis = core::time::Duration::from_millis;
    let policy = Policy {
        limit: Limit::new(ask.limit).unwrap(),
        terms: Terms {
            lease: millis(ask.lease),
            heartbeat: ask.patience.map(|patience| millis(patience) * 2 / 3),
            renew_after: core::time::Duration::ZERO,
        },
    };
    (request, policy)
}

/// Applies `op` to the real record. Callers leave out the user where the id is enough.
pub(super) fn apply(record: &mut Record, op: &Op, is_named: bool, step: u64, now: u64) -> Answer {
    let now = Timestamp::from_millis(now);
    match op {
        Op::Start(ask) => {
            let (request, policy) = request(ask, step);
            started(record.start(&request, &policy, now))
        }
        Op::Heartbeat {
            user,
            id,
            paused,
            content,
        } => {
            let beat = Heartbeat {
                playback: paused.map(|paused| match paused {
                    true => Playback::Paused,
                    false => Playback::Playing,
                }),
                content: content.map(|number| ContentId::parse(&number.to_string()).unwrap()),
            };
            let (user, id) = (owner(*user), name(*id));
            let target = Target {
                user: is_named.then_some(&user),
                id: &id,
            };
            beaten(record.heartbeat(target, &beat, TERMS, now))
        }
        Op::Stop { user, id } => {
            let (user, id) = (owner(*user), name(*id));
            let target = Target {
                user: is_named.then_some(&user),
                id: &id,
            };
            stopped(record.stop(target, now))
        }
        Op::Lapse { user, id } => {
            let (user, id) = (owner(*user), name(*id));
            let target = Target {
                user: is_named.then_some(&user),
                id: &id,
            };
            let lapsed = record.lapse(target, now);
            Answer::Lapsed(lapsed.map(|stream| number(&stream.id)))
        }
        Op::EvictOne { user, id } => {
            let ended = record.evict(&owner(*user), Which::One(&name(*id)), now);
            Answer::Evicted(numbers(ended.iter().map(|stream| &stream.id)))
        }
        Op::EvictAll { user } => {
            let ended = record.evict(&owner(*user), Which::All, now);
            Answer::Evicted(numbers(ended.iter().map(|stream| &stream.id)))
        }
        Op::Look => Answer::Expired(record.expire(now)),
        Op::Restart => {
            record.expire(now);
            record.renew_all(now);
            Answer::Restarted
        }
    }
}

pub(super) fn seen(stream: &Stream) -> Seen {
    let number = |text: &str| text.parse::<u8>().unwrap();
    Seen {
        id: self::number(&stream.id),
        device: stream
            .device
            .id
            .as_ref()
            .map_or(0, |id| number(id.as_str())),
        started: stream.started_at.as_millis(),
        heard: stream.lease.heard_at().as_millis(),
        expires: stream.lease.expires_at().as_millis(),
        paused: stream.playback == Playback::Paused,
        content: stream
            .content
            .as_ref()
            .map(|content| number(content.as_str())),
    }
}

fn taken(place: &Place) -> Taken {
    Taken {
        user: place.user.as_str().parse().unwrap(),
        stream: seen(&place.stream),
        active: place.active,
        limit: place.limit.get(),
        reclaimable_at: place.reclaimable_at.as_millis(),
    }
}

fn why(over: &Over) -> Why {
    match over {
        Over::Stopped => Why::Stopped,
        Over::Expired => Why::Expired,
        Over::Replaced { by } => Why::Replaced(number(by)),
        Over::Evicted => Why::Evicted,
    }
}

fn started(started: Started) -> Answer {
    match started {
        Started::Admitted { place, replaced } => {
            Answer::Admitted(taken(&place), numbers(&replaced))
        }
        Started::Same(place) => Answer::Same(taken(&place)),
        Started::Over(over) => Answer::Over(why(&over)),
        Started::Denied(denial) => Answer::Denied {
            limit: denial.limit.get(),
            holders: numbers(denial.holders.iter().map(|stream| &stream.id)),
            retry_at: denial.retry_at.as_millis(),
        },
    }
}

fn beaten(beat: Beat) -> Answer {
    match beat {
        Beat::Renewed(place) | Beat::Fresh(place) | Beat::Joined(place) => {
            Answer::Renewed(taken(&place))
        }
        Beat::Resumed(place) => Answer::Resumed(taken(&place)),
        Beat::Over(over) => Answer::Over(why(&over)),
        Beat::Unknown => Answer::Unknown,
    }
}

fn stopped(stopped: Stopped) -> Answer {
    match stopped {
        Stopped::Ended(stream) => Answer::Ended(number(&stream.id)),
        Stopped::Forgone => Answer::Forgone,
        Stopped::Already => Answer::Already,
        Stopped::Noted => Answer::Noted,
        Stopped::Unknown => Answer::Unknown,
    }
}
