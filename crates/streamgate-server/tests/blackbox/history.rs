//! A history of thirty thousand operations, seen from the clients' side, against the
//! specification: never more than the limit, no denial without cause, nothing acknowledged lost,
//! nothing stopped listed, while one answer in twenty never reaches its client.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use crate::support::{Answer, Dice, Server, Setup, Wire, request};

const CLIENTS: usize = 32;
const USERS: usize = 300;
const OPERATIONS: usize = 30_000;
const LIMIT: usize = 3;
/// How many streams a client keeps: together more than all users may have.
const KEPT_MAX: usize = 40;
const DROPPED_PERCENT: usize = 5;

/// A point in the order of all that the clients did.
type Moment = u64;

/// What a client knows of a stream.
struct Life {
    user: usize,
    id: String,
    /// Before its first start was sent.
    asked: Moment,
    /// After its start was answered with a yes.
    acknowledged: Option<Moment>,
    /// Before something was sent that may end it.
    ending: Option<Moment>,
    /// After it was known to be over, or never to have been.
    ended: Option<Moment>,
}

/// A "no", from before it was asked for to after it was read.
struct Denied {
    user: usize,
    asked: Moment,
    answered: Moment,
}

/// One client, with a connection of its own.
struct Client<'a> {
    server: &'a Server,
    clock: &'a AtomicU64,
    dice: Dice,
    wire: Option<Wire>,
    lives: Vec<Life>,
    denials: Vec<Denied>,
    dropped: usize,
}

impl<'a> Client<'a> {
    fn new(server: &'a Server, clock: &'a AtomicU64, number: usize) -> Self {
        Self {
            server,
            clock,
            dice: Dice::new(900 + number as u64),
            wire: None,
            lives: Vec::new(),
            denials: Vec::new(),
            dropped: 0,
        }
    }

    fn moment(&self) -> Moment {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Sends a request until an answer is read; now and then the connection breaks before.
    /// Says also whether it was sent more than once.
    fn call(&mut self, method: &str, path: &str, body: &str) -> (Answer, bool) {
        let bytes = request(method, path, body);
        for attempt in 0.. {
            let address = self.server.address();
            let mut wire = self.wire.take().unwrap_or_else(|| Wire::open(address));
            wire.send(&bytes).expect("the server takes requests");
            if self.dice.chance(DROPPED_PERCENT) {
                self.dropped += 1;
                continue;
            }
            let answer = wire.answer().expect("the server answers");
            self.wire = Some(wire);
            return (answer, 0 < attempt);
        }
        unreachable!("an answer is read some time")
    }

    fn live(&mut self) -> Option<usize> {
        let is_live = |life: &Life| life.acknowledged.is_some() && life.ending.is_none();
        let live = self
            .lives
            .iter()
            .enumerate()
            .filter(|(_, life)| is_live(life));
        let live: Vec<usize> = live.map(|(index, _)| index).collect();
        (!live.is_empty()).then(|| *self.dice.pick(&live))
    }

    fn work(&mut self, name: &str) {
        for number in 0..OPERATIONS / CLIENTS {
            let id = format!("{name}-{number}");
            let kept = self
                .lives
                .iter()
                .filter(|life| life.ending.is_none())
                .count();
            match (self.dice.below(100), self.live()) {
                (0..45, _) if kept < KEPT_MAX => self.start(id, None),
                (45..85, Some(own)) => self.stop(own),
                (85..95, Some(own)) => self.heartbeat(own),
                (95.., Some(own)) => self.start(id, Some(own)),
                _ => self.start(id, None),
            }
        }
    }

    /// Starts a stream, in the place of an own one of the same user.
    fn start(&mut self, id: String, instead_of: Option<usize>) {
        let user = instead_of.map_or_else(|| self.dice.below(USERS), |own| self.lives[own].user);
        let replace: Vec<&str> = instead_of
            .iter()
            .map(|own| self.lives[*own].id.as_str())
            .collect();
        let body = json!({"userId": name(user), "streamId": id, "replace": replace}).to_string();
        let asked = self.moment();
        if let Some(own) = instead_of {
            self.lives[own].ending = Some(asked);
        }
        let (answer, was_repeated) = self.call("POST", "/v1/streams", &body);
        let answered = self.moment();
        let mut life = Life {
            user,
            id,
            asked,
            acknowledged: None,
            ending: None,
            ended: None,
        };
        match answer.status {
            200 | 201 => {
                assert!(answer.status == 201 || was_repeated, "{answer:?}");
                life.acknowledged = Some(answered);
                if let Some(own) = instead_of {
                    self.lives[own].ended = Some(answered);
                }
                self.lives.push(life);
            }
            409 => {
                assert!(instead_of.is_none(), "it takes its own place: {answer:?}");
                self.denials.push(Denied {
                    user,
                    asked,
                    answered,
                });
                life.ending = Some(answered);
                self.lives.push(life);
                if was_repeated {
                    // An earlier delivery may still be on its way: only a stop makes sure.
                    self.stop(self.lives.len() - 1);
                } else if let Some(life) = self.lives.last_mut() {
                    life.ended = Some(asked);
                }
            }
            _ => panic!("{answer:?}"),
        }
    }

    fn stop(&mut self, index: usize) {
        let moment = self.moment();
        self.lives[index].ending.get_or_insert(moment);
        let path = self.path(index, "stop");
        let (answer, _) = self.call("POST", &path, "");
        assert_eq!(answer.status, 204, "{answer:?}");
        self.lives[index].ended = Some(self.moment());
    }

    fn heartbeat(&mut self, index: usize) {
        let path = self.path(index, "heartbeat");
        let (answer, _) = self.call("POST", &path, "{}");
        assert_eq!(answer.status, 200, "a live stream was refused: {answer:?}");
        assert_eq!(answer.json()["resumed"], false, "{answer:?}");
    }

    fn path(&self, index: usize, verb: &str) -> String {
        let Life { user, id, .. } = &self.lives[index];
        format!("/v1/users/{}/streams/{id}/{verb}", name(*user))
    }
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

/// How many spans there are at once at most; each begins at its start and is over at its end.
fn at_once(spans: impl Iterator<Item = (Moment, Moment)>) -> usize {
    let mut steps: BTreeMap<Moment, isize> = BTreeMap::new();
    for (start, end) in spans {
        *steps.entry(start).or_default() += 1;
        *steps.entry(end).or_default() -= 1;
    }
    let mut count = 0_isize;
    let counts = steps.values().map(|step| {
        count += step;
        count
    });
    usize::try_from(counts.max().unwrap_or(0)).expect("no span ends before it starts")
}

/// No user's streams that were live for certain were ever more than the limit.
fn check_limit(lives: &[Life]) {
    for user in 0..USERS {
        let certain = lives
            .iter()
            .filter(|life| life.user == user)
            .filter_map(|life| {
                let end = life.ending.unwrap_or(Moment::MAX);
                Some((life.acknowledged?, end))
            });
        let most = at_once(certain);
        assert!(most <= LIMIT, "user {user} had {most} streams live at once");
    }
}

/// Every "no" was given while as many streams as allowed may have been live.
fn check_denials(lives: &[Life], denials: &[Denied]) {
    for denied in denials {
        let possible = lives.iter().filter(|life| {
            let end = life.ended.unwrap_or(Moment::MAX);
            life.user == denied.user && life.asked < denied.answered && denied.asked < end
        });
        let possible = possible.filter(|life| life.asked != denied.asked).count();
        assert!(
            LIMIT <= possible,
            "user {} was refused at {possible}",
            denied.user
        );
    }
}

/// The server lists what is acknowledged and not ended, and nothing else.
fn check_lists(server: &Server, lives: &[Life]) {
    let client = server.client();
    for user in 0..USERS {
        let live = lives
            .iter()
            .filter(|life| life.user == user && life.ending.is_none());
        let live: HashSet<String> = live.map(|life| life.id.clone()).collect();
        let listed: HashSet<String> = client.streams_of(&name(user)).into_iter().collect();
        assert_eq!(listed, live, "user {user}");
    }
}

/// Looks at one user after another; nobody ever has too many.
fn watch(server: &Server, is_over: &AtomicBool) {
    let client = server.client();
    let mut dice = Dice::new(1);
    while !is_over.load(Ordering::Relaxed) {
        let listed = client.streams_of(&name(dice.below(USERS)));
        assert!(listed.len() <= LIMIT, "{listed:?}");
    }
}

#[test]
fn a_history_with_lost_answers_keeps_every_promise() {
    // No silence is long enough here for a place to be reclaimed.
    let server = Setup::new()
        .set("HEARTBEAT_INTERVAL_SECONDS", 60)
        .set("HEARTBEAT_LEASE_SECONDS", 600)
        .start();
    let (clock, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (mut lives, mut denials, mut dropped) = (Vec::new(), Vec::new(), 0);
    thread::scope(|scope| {
        let (server, clock) = (&server, &clock);
        let watcher = scope.spawn(|| watch(server, &is_over));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn(move || {
                    let mut client = Client::new(server, clock, number);
                    client.work(&format!("c{number}"));
                    (client.lives, client.denials, client.dropped)
                })
            })
            .collect();
        let clients: Vec<_> = clients.into_iter().map(|thread| thread.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        watcher.join().expect("the watcher never saw too many");
        for client in clients {
            let client = client.expect("no client fails");
            lives.extend(client.0);
            denials.extend(client.1);
            dropped += client.2;
        }
    });
    assert!(1_000 < dropped, "{dropped} answers were dropped");
    assert!(
        1_000 < denials.len(),
        "{} starts were denied",
        denials.len()
    );
    assert!(5_000 < lives.len(), "{} streams were started", lives.len());
    check_limit(&lives);
    check_denials(&lives, &denials);
    check_lists(&server, &lives);
}
