//! Histories of one user, and what is wrong with them.

use rand::SeedableRng;

use super::*;

const USER: u64 = 7;
/// One and a half heartbeats.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request: what, which stream, when it was sent and answered, the status, what it replaced.
struct Line<'a> {
    verb: &'a str,
    id: StreamId,
    sent: Moment,
    received: Moment,
    status: u16,
    replaced: Vec<StreamId>,
}

fn id(name: &str) -> StreamId {
    StreamId::parse(name).expect("a stream id")
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let words: Vec<_> = line.split_whitespace().collect();
        let [verb, name, span, status, rest @ ..] = words.as_slice() else {
            panic!("{line:?} is no request");
        };
        let (sent, received) = span.split_once('-').expect("a span");
        let seconds = |text: &str| Moment::from_secs(text.parse().expect("seconds"));
        Self {
            verb,
            id: id(name),
            sent: seconds(sent),
            received: seconds(received),
            status: status.parse().expect("a status"),
            replaced: rest.iter().skip(1).map(|name| id(name)).collect(),
        }
    }

    fn key(&self, model: &Model) -> Option<Key> {
        let streams = &model.users.get(&USER)?.streams;
        let stream = streams.iter().find(|stream| stream.id == self.id)?;
        Some(Key {
            user: USER,
            serial: stream.serial,
        })
    }

    /// Sends it; for which stream, if the model knows that.
    fn send(&self, model: &mut Model) -> Option<Key> {
        let key = self.key(model);
        match self.verb {
            "start" => model.start_sent(USER, self.sent),
            "beat" => drop(model.beat_sent(key?)),
            "stop" => drop(model.stop_sent(key?)),
            verb => panic!("{verb} is no request"),
        }
        key
    }

    fn answer(self, key: Option<Key>, model: &mut Model) {
        match (self.verb, self.status) {
            ("start", status) => {
                let started = match status {
                    201 => Started::Admitted(Admitted {
                        id: self.id,
                        replaced: self.replaced,
                        patience: PATIENCE,
                    }),
                    409 => Started::Denied,
                    400 => Started::Refused,
                    _ => Started::Unclear,
                };
                model.start_answered(USER, self.sent, started, self.received);
            }
            ("beat", status) => {
                let beat = match status {
                    200 => Beat::Renewed,
                    404 | 410 => Beat::Over(status),
                    _ => Beat::Unclear,
                };
                let key = key.expect("the stream is known");
                model.beat_answered(key, self.sent, beat, self.received);
            }
            (_, status) => {
                let key = key.expect("the stream is known");
                model.stop_answered(key, status == 204, self.received);
            }
        }
    }
}

/// Plays requests, separated by commas, in the order of their times, and compares the violations.
#[track_caller]
fn check(limit: u8, history: &str, expected: &[&str]) {
    let mut model = Model::new(limit);
    let lines: Vec<_> = history.split(',').map(Line::parse).collect();
    let sends = lines.iter().enumerate().map(|(i, it)| (it.sent, 1, i));
    let answers = lines.iter().enumerate().map(|(i, it)| (it.received, 0, i));
    let mut events: Vec<_> = sends.chain(answers).collect();
    events.sort_unstable();
    let mut lines: Vec<_> = lines.into_iter().map(|line| (Some(line), None)).collect();
    for (_, is_send, index) in events {
        let (line, key) = &mut lines[index];
        if is_send == 1 {
            *key = line.as_ref().and_then(|line| line.send(&mut model));
        } else if let Some(line) = line.take() {
            line.answer(*key, &mut model);
        }
    }
    let found = model.findings.examples.iter();
    let found: Vec<_> = found.filter_map(|it| it.split(':').next()).collect();
    assert_eq!(found, expected, "{history}");
}

#[test]
fn a_stream_beyond_the_limit_is_an_over_admission() {
    const OVER: &[&str] = &["over-admission"];
    check(1, "start a 0-1 201, start b 2-3 201", OVER);
    check(2, "start a 0-1 201, start b 2-3 201", &[]);
    check(2, "start a 0-1 201, start b 0-1 201, start c 2-3 201", OVER);
    // The first is live until it may be suspect; a heartbeat puts that off.
    check(1, "start a 0-1 201, start b 28-29 201", OVER);
    check(1, "start a 0-1 201, start b 28-30 201", &[]);
    check(
        1,
        "start a 0-1 201, beat a 20-21 200, start b 48-49 201",
        OVER,
    );
    check(
        1,
        "start a 0-1 201, beat a 20-21 200, start b 48-50 201",
        &[],
    );
}

#[test]
fn a_stream_that_may_be_over_blocks_nobody() {
    // Not acknowledged when the other start was sent.
    check(1, "start a 0-5 201, start b 4-6 201", &[]);
    check(1, "start a 0-1 503, start b 2-3 201", &[]);
    check(1, "start a 0-1 201, stop a 2-9 204, start b 3-4 201", &[]);
    check(1, "start a 0-1 201, stop a 2-3 503, start b 4-5 201", &[]);
    check(1, "start a 0-1 201, start b 2-3 201 replaces a", &[]);
    check(1, "start a 0-1 201, beat a 2-3 503, start b 4-5 201", &[]);
}

#[test]
fn a_denial_below_the_limit_is_wrong() {
    const WRONG: &[&str] = &["wrong denial"];
    check(1, "start a 0-1 409", WRONG);
    check(1, "start a 0-1 201, start b 2-3 409", &[]);
    check(2, "start a 0-1 201, start b 2-3 409", WRONG);
    check(1, "start a 0-1 201, stop a 2-3 204, start b 4-5 409", WRONG);
    check(
        1,
        "start a 0-1 201, start b 2-3 201 replaces a, stop b 4-5 204, start c 6-7 409",
        WRONG,
    );
    check(
        1,
        "start a 0-1 201, beat a 40-41 410, start b 42-43 409",
        WRONG,
    );
    check(1, "start a 0-1 400, start b 2-3 409", WRONG);
}

#[test]
fn a_stream_that_may_be_live_explains_a_denial() {
    // In flight at the same time, whether admitted or stopped.
    check(1, "start a 0-5 201, start b 1-3 409", &[]);
    check(1, "start a 0-1 201, stop a 2-5 204, start b 4-6 409", &[]);
    check(1, "start a 0-1 201, start b 2-9 409, stop a 3-4 204", &[]);
    check(1, "start a 0-1 503, start b 2-3 409", &[]);
    check(1, "start a 0-1 201, stop a 2-3 503, start b 4-5 409", &[]);
    // Another heartbeat of the expired stream may have given it its place back.
    check(
        1,
        "start a 0-1 201, beat a 39-50 200, beat a 40-41 410, start b 42-43 409",
        &[],
    );
}

#[test]
fn a_live_stream_that_the_server_does_not_know_is_lost() {
    const LOST: &[&str] = &["lost stream"];
    check(1, "start a 0-1 201, beat a 2-3 410", LOST);
    check(1, "start a 0-1 201, beat a 2-3 404", LOST);
    check(
        1,
        "start a 0-1 201, beat a 2-3 503, beat a 4-5 200, beat a 6-7 410",
        LOST,
    );
    check(1, "start a 0-1 201, beat a 2-3 503, beat a 4-5 410", &[]);
    check(1, "start a 0-1 201, beat a 29-30 410", &[]);
    check(1, "start a 0-1 201, beat a 2-5 410, stop a 3-4 204", &[]);
    check(1, "start a 0-1 201, beat a 2-5 410, stop a 3-9 204", &[]);
    check(
        1,
        "start a 0-1 201, start b 31-32 201 replaces a, beat a 31-33 410",
        &[],
    );
}

#[test]
fn what_is_over_is_not_chosen_and_not_kept() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut model = Model::new(3);
    let at = Moment::from_secs;
    for (n, name) in [(0, "a"), (1, "b")] {
        model.start_sent(n, at(0));
        let admitted = Admitted {
            id: id(name),
            replaced: Vec::new(),
            patience: PATIENCE,
        };
        model.start_answered(n, at(0), Started::Admitted(admitted), at(1));
    }
    let (first, stopped) = model.stop(&mut rng).expect("two are live");
    let (second, other) = model.stop(&mut rng).expect("one is live");
    assert_ne!(stopped, other);
    assert!(model.stop(&mut rng).is_none() && model.beat(0, &mut rng).is_none());
    model.stop_answered(first, true, at(2));
    model.stop_answered(second, true, at(2));
    assert!(model.users.is_empty() && model.live.is_empty());
}
