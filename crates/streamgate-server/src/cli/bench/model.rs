//! What the server must have in mind, by what it answered. It sees only the outside: a stream is
//! *certainly* live or *possibly* live, and only what is wrong in either case is a violation.
//!
//! Nothing here looks at a clock: every moment is handed in, as the time since the run began.

use std::collections::HashMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use streamgate_core::StreamId;

/// When something was sent or received, counted from the begin of the run.
pub(super) type Moment = Duration;

/// How many violations are told in full.
const EXAMPLES_MAX: usize = 10;

/// A stream, for whoever has a request in flight about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) user: u64,
    serial: u64,
}

/// What a start was answered.
#[derive(Debug)]
pub(super) enum Started {
    /// 201.
    Admitted(Admitted),
    /// 409.
    Denied,
    /// Any other refusal that changed nothing.
    Refused,
    /// 5xx, or no answer: it may have been carried out, now or later.
    Unclear,
}

/// The parts of a 201 that matter.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) id: StreamId,
    pub(super) replaced: Vec<StreamId>,
    /// From when it was sent, how long the last acknowledged request keeps the stream from
    /// being suspect, let alone expired.
    pub(super) patience: Duration,
}

/// What a heartbeat was answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Beat {
    /// 200.
    Renewed,
    /// 410 or 404.
    Over(u16),
    /// Anything else, or no answer.
    Unclear,
}

/// The streams of one thread's users.
#[derive(Debug)]
pub(super) struct Model {
    limit: usize,
    users: HashMap<u64, User>,
    /// Streams to choose from; those that are over are dropped when they are chosen.
    live: Vec<Key>,
    serial: u64,
    pub(super) findings: Findings,
}

/// What came of checking.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) answers_checked: u64,
    pub(super) violations: u64,
    pub(super) examples: Vec<String>,
}

#[derive(Debug, Default)]
struct User {
    streams: Vec<Stream>,
    /// When the starts were sent that are not answered yet.
    pending: Vec<Moment>,
    /// Starts and stops that went unanswered: each may have left a stream, for ever.
    unclear: usize,
}

#[derive(Debug)]
struct Stream {
    serial: u64,
    id: StreamId,
    /// When an answer came that said it is live, and nothing has cast doubt on it since.
    sure_since: Option<Moment>,
    /// When the last acknowledged request was sent.
    heard_at: Moment,
    patience: Duration,
    beats_in_flight: u32,
    /// No request is to be sent for it any more: a stop was sent, or the server knows it no more.
    is_done: bool,
    /// From when it is certainly over.
    over_at: Option<Moment>,
}

impl Stream {
    /// Whether it was live at every moment from `sent` to `now`, and no suspect either.
    fn is_certain(&self, sent: Moment, now: Moment) -> bool {
        let is_sure = self.sure_since.is_some_and(|since| since < sent);
        is_sure && self.is_open() && now < self.heard_at + self.patience
    }

    /// Whether requests may be sent for it.
    fn is_open(&self) -> bool {
        !self.is_done && self.over_at.is_none()
    }

    /// Whether it may have been live at some moment since `sent`.
    fn is_possible(&self, sent: Moment) -> bool {
        self.over_at.is_none_or(|over| sent <= over)
    }
}

impl User {
    fn stream(&mut self, key: Key) -> Option<&mut Stream> {
        self.streams
            .iter_mut()
            .find(|stream| stream.serial == key.serial)
    }

    /// Forgets streams that were over before every start in flight was sent.
    fn tidy(&mut self) {
        let first = self.pending.iter().min().copied().unwrap_or(Moment::MAX);
        self.streams.retain(|stream| stream.is_possible(first));
    }
}

impl Model {
    pub(super) fn new(limit: u8) -> Self {
        Self {
            limit: limit.into(),
            users: HashMap::new(),
            live: Vec::new(),
            serial: 0,
            findings: Findings::default(),
        }
    }

    /// A start leaves.
    pub(super) fn start_sent(&mut self, user: u64, at: Moment) {
        self.users.entry(user).or_default().pending.push(at);
    }

    /// The start that was sent at `sent` is answered.
    pub(super) fn start_answered(&mut self, user: u64, sent: Moment, answer: Started, now: Moment) {
        let limit = self.limit;
        let entry = self.users.entry(user).or_default();
        if let Some(index) = entry.pending.iter().position(|at| *at == sent) {
            entry.pending.swap_remove(index);
        }
        self.findings.answers_checked += 1;
        match answer {
            Started::Admitted(admitted) => {
                for stream in &mut entry.streams {
                    if admitted.replaced.contains(&stream.id) {
                        stream.over_at.get_or_insert(now);
                    }
                }
                let others = &entry.streams;
                let certain = others.iter().filter(|it| it.is_certain(sent, now)).count();
                if limit <= certain {
                    self.findings.add(|| {
                        let id = &admitted.id;
                        format!("over-admission: user {user} was given {id} beside {certain} streams that were certainly live; the limit is {limit}")
                    });
                }
                self.admit(user, sent, admitted, now);
            }
            Started::Denied => {
                let others = entry.streams.iter();
                let possible = others.filter(|it| it.is_possible(sent)).count()
                    + entry.pending.len()
                    + entry.unclear;
                if possible < limit {
                    self.findings.add(|| {
                        format!("wrong denial: user {user} was denied a stream although at most {possible} were live; the limit is {limit}")
                    });
                }
            }
            Started::Refused => {}
            Started::Unclear => entry.unclear += 1,
        }
        self.tidy(user);
    }

    fn admit(&mut self, user: u64, sent: Moment, admitted: Admitted, now: Moment) {
        let serial = self.serial;
        self.serial += 1;
        self.live.push(Key { user, serial });
        self.users.entry(user).or_default().streams.push(Stream {
            serial,
            id: admitted.id,
            sure_since: Some(now),
            heard_at: sent,
            patience: admitted.patience,
            beats_in_flight: 0,
            is_done: false,
            over_at: None,
        });
    }

    /// A stream to send a heartbeat for: one of this user, else any. Its heartbeat leaves.
    pub(super) fn beat(&mut self, user: u64, rng: &mut SmallRng) -> Option<(Key, StreamId)> {
        let key = self.live_of(user, rng).or_else(|| self.any_live(rng))?;
        Some((key, self.beat_sent(key)?))
    }

    /// The heartbeat that was sent at `sent` is answered.
    pub(super) fn beat_answered(&mut self, key: Key, sent: Moment, answer: Beat, now: Moment) {
        self.findings.answers_checked += 1;
        // Of a stream that is over for sure, nothing more is to be learned.
        let Some(stream) = self.stream(key) else {
            return;
        };
        // One that was not answered may be carried out at any time.
        if answer != Beat::Unclear {
            stream.beats_in_flight -= 1;
        }
        match answer {
            Beat::Renewed => {
                stream.heard_at = stream.heard_at.max(sent);
                stream.sure_since.get_or_insert(now);
            }
            Beat::Over(status) => {
                let was_certain = stream.is_certain(sent, now);
                let id = stream.id.clone();
                stream.sure_since = None;
                stream.is_done = true;
                // A heartbeat still in flight may give an expired stream its place back.
                if stream.beats_in_flight == 0 {
                    stream.over_at.get_or_insert(now);
                }
                if was_certain {
                    let user = key.user;
                    self.findings.add(|| {
                        format!("lost stream: {id} of user {user} was certainly live, and its heartbeat answered {status}")
                    });
                }
            }
            Beat::Unclear => stream.sure_since = None,
        }
    }

    /// Any live stream to stop. Its stop leaves.
    pub(super) fn stop(&mut self, rng: &mut SmallRng) -> Option<(Key, StreamId)> {
        let key = self.any_live(rng)?;
        Some((key, self.stop_sent(key)?))
    }

    fn beat_sent(&mut self, key: Key) -> Option<StreamId> {
        let stream = self.stream(key)?;
        stream.beats_in_flight += 1;
        Some(stream.id.clone())
    }

    fn stop_sent(&mut self, key: Key) -> Option<StreamId> {
        let stream = self.stream(key)?;
        stream.is_done = true;
        Some(stream.id.clone())
    }

    /// A stop is answered; `is_stopped` is false for anything but 204.
    pub(super) fn stop_answered(&mut self, key: Key, is_stopped: bool, now: Moment) {
        let Some(user) = self.users.get_mut(&key.user) else {
            return;
        };
        if is_stopped {
            if let Some(stream) = user.stream(key) {
                stream.over_at.get_or_insert(now);
            }
        } else {
            user.unclear += 1;
            user.streams.retain(|stream| stream.serial != key.serial);
        }
        self.tidy(key.user);
    }

    fn live_of(&self, user: u64, rng: &mut SmallRng) -> Option<Key> {
        let streams = &self.users.get(&user)?.streams;
        let mut live = streams.iter().filter(|it| it.is_open());
        let index = match live.clone().count() {
            0 => return None,
            count => rng.random_range(0..count),
        };
        let serial = live.nth(index)?.serial;
        Some(Key { user, serial })
    }

    fn any_live(&mut self, rng: &mut SmallRng) -> Option<Key> {
        while !self.live.is_empty() {
            let index = rng.random_range(0..self.live.len());
            let key = self.live[index];
            if self.stream(key).is_some_and(|it| it.is_open()) {
                return Some(key);
            }
            self.live.swap_remove(index);
        }
        None
    }

    fn stream(&mut self, key: Key) -> Option<&mut Stream> {
        self.users.get_mut(&key.user)?.stream(key)
    }

    fn tidy(&mut self, user: u64) {
        let Some(entry) = self.users.get_mut(&user) else {
            return;
        };
        entry.tidy();
        if entry.streams.is_empty() && entry.pending.is_empty() && entry.unclear == 0 {
            self.users.remove(&user);
        }
    }
}

impl Findings {
    fn add(&mut self, sentence: impl FnOnce() -> String) {
        self.violations += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(sentence());
        }
    }

    /// Adds what another thread found.
    pub(super) fn merge(&mut self, other: Self) {
        self.answers_checked += other.answers_checked;
        self.violations += other.violations;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES_MAX);
    }
}

#[cfg(test)]
mod tests;
