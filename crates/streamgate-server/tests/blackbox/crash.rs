//! Promise 2, a yes is kept, and 5, a restart throws nobody out: the server is killed under
//! load again and again, and what it had answered is there.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use serde_json::json;

use crate::support::{Answer, Client, Dice, SOON, Server, wait_until};

const ROUNDS: usize = 16;
const WORKERS: usize = 16;
const USERS: usize = 20;
const LIMIT: usize = 3;

/// What the clients know of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its start was sent, with no answer so far.
    Asked,
    /// Its start was answered 201.
    Live,
    /// Its stop was sent, with no answer so far.
    Ending,
    /// Its stop was answered, or a start that replaced it.
    Ended,
}

/// What happened, as the clients know it: all that a crash may not change.
#[derive(Default)]
struct History {
    fates: Mutex<HashMap<String, (usize, Fate)>>,
    answers: AtomicUsize,
    denials: AtomicUsize,
    replacements: AtomicUsize,
    stops: AtomicUsize,
    unanswered: AtomicUsize,
    is_killed: AtomicBool,
}

impl History {
    fn fates(&self) -> MutexGuard<'_, HashMap<String, (usize, Fate)>> {
        self.fates.lock().expect("no worker failed")
    }

    fn set(&self, id: &str, fate: Fate) {
        let mut fates = self.fates();
        let (_, old) = fates.get_mut(id).expect("every stream was asked for");
        // Who reads its 201 late may find the stream replaced already.
        if *old != Fate::Ended {
            *old = fate;
        }
    }

    fn pick_live(&self, dice: &mut Dice) -> Option<(String, usize)> {
        let fates = self.fates();
        let mut live: Vec<_> = fates
            .iter()
            .filter(|(_, (_, fate))| *fate == Fate::Live)
            .map(|(id, (user, _))| (id.clone(), *user))
            .collect();
        live.sort_unstable();
        (!live.is_empty()).then(|| dice.pick(&live).clone())
    }

    /// Counts an answer, or none: then the server must have been killed.
    fn note(&self, answer: Result<Answer, ureq::Error>) -> Option<Answer> {
        match answer {
            Ok(answer) => {
                self.answers.fetch_add(1, Ordering::SeqCst);
                Some(answer)
            }
            Err(error) => {
                assert!(self.is_killed.load(Ordering::SeqCst), "unanswered: {error}");
                self.unanswered.fetch_add(1, Ordering::SeqCst);
                None
            }
        }
    }

    /// Starts, stops and heartbeats until the server is gone.
    fn load(&self, client: &Client, dice: &mut Dice, name: &str) {
        for number in 0.. {
            let answered = match dice.below(100) {
                0..50 => self.start(client, dice, &format!("{name}-{number}")),
                50..85 => self.stop(client, dice),
                _ => self.heartbeat(client, dice),
            };
            if answered.is_none() {
                return;
            }
        }
    }

    fn start(&self, client: &Client, dice: &mut Dice, id: &str) -> Option<()> {
        let user = dice.below(USERS);
        let on_limit = if dice.chance(15) {
            "replaceOldest"
        } else {
            "deny"
        };
        let body = json!({"userId": name(user), "streamId": id, "onLimit": on_limit});
        self.fates().insert(id.to_owned(), (user, Fate::Asked));
        let call = client.call(http::Method::POST, "/v1/streams").json(&body);
        let answer = self.note(call.try_send())?;
        match answer.status {
            201 => {
                for replaced in answer.json()["replaced"].as_array().expect("a list") {
                    self.set(replaced.as_str().expect("an id"), Fate::Ended);
                    self.replacements.fetch_add(1, Ordering::SeqCst);
                }
                self.set(id, Fate::Live);
            }
            409 => {
                self.set(id, Fate::Ended);
                self.denials.fetch_add(1, Ordering::SeqCst);
            }
            _ => panic!("{answer:?}"),
        }
        Some(())
    }

    fn stop(&self, client: &Client, dice: &mut Dice) -> Option<()> {
        let Some((id, user)) = self.pick_live(dice) else {
            return Some(());
        };
        self.set(&id, Fate::Ending);
        let path = format!("/v1/users/{}/streams/{id}/stop", name(user));
        let answer = self.note(client.call(http::Method::POST, &path).try_send())?;
        assert_eq!(answer.status, 204, "{answer:?}");
        self.set(&id, Fate::Ended);
        self.stops.fetch_add(1, Ordering::SeqCst);
        Some(())
    }

    fn heartbeat(&self, client: &Client, dice: &mut Dice) -> Option<()> {
        let Some((id, user)) = self.pick_live(dice) else {
            return Some(());
        };
        let answer = self.note(beat(client, user, &id))?;
        // Another worker may stop or replace it meanwhile.
        assert!(matches!(answer.status, 200 | 410), "{answer:?}");
        Some(())
    }

    /// Compares what a restarted server knows of a user with what its clients know.
    fn check(&self, client: &Client, user: usize) {
        let listed = client.streams_of(&name(user));
        assert!(
            listed.len() <= LIMIT,
            "user {user} is over the limit: {listed:?}"
        );
        let mut fates = self.fates();
        let asked: HashSet<String> = fates
            .iter()
            .filter(|(_, (_, fate))| *fate == Fate::Asked)
            .map(|(id, _)| id.clone())
            .collect();
        for id in &listed {
            assert!(fates.contains_key(id), "nobody ever started {id}");
        }
        for (id, (_, fate)) in fates.iter_mut().filter(|(_, (of, _))| *of == user) {
            let is_listed = listed.contains(id);
            match fate {
                Fate::Live if !is_listed => {
                    let answer = beat(client, user, id).expect("an answer");
                    let by = answer.json()["by"].as_str().map(str::to_owned);
                    let excuse = by.is_some_and(|by| asked.contains(&by));
                    assert!(excuse, "{id} was acknowledged and is lost: {answer:?}");
                }
                Fate::Ended => assert!(!is_listed, "{id} had ended and came back"),
                Fate::Live | Fate::Asked | Fate::Ending => {}
            }
            *fate = if is_listed { Fate::Live } else { Fate::Ended };
        }
        drop(fates);
        for id in &listed {
            let answer = beat(client, user, id).expect("an answer");
            assert_eq!(answer.status, 200, "{id} was thrown out: {answer:?}");
            assert_eq!(answer.json()["resumed"], false, "{answer:?}");
        }
    }
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

fn beat(client: &Client, user: usize, id: &str) -> Result<Answer, ureq::Error> {
    let path = format!("/v1/users/{}/streams/{id}/heartbeat", name(user));
    client.call(http::Method::POST, &path).try_send()
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_ended_comes_back_however_often_it_is_killed() {
    let history = History::default();
    let mut dice = Dice::new(4);
    let mut server = Server::start();
    for round in 0..ROUNDS {
        let target = history.answers.load(Ordering::SeqCst) + 40 + dice.below(400);
        history.is_killed.store(false, Ordering::SeqCst);
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (client, history) = (server.client(), &history);
                let mut dice = Dice::new(dice.next());
                let name = format!("r{round}-w{worker}");
                scope.spawn(move || history.load(&client, &mut dice, &name));
            }
            wait_until("the load is under way", SOON, || {
                (target <= history.answers.load(Ordering::SeqCst)).then_some(())
            });
            history.is_killed.store(true, Ordering::SeqCst);
            server.kill9();
        });
        server = server.restart();
        let client = server.client();
        wait_until("the server is ready again", SOON, || {
            (client.get("/readyz").status == 200).then_some(())
        });
        for user in 0..USERS {
            history.check(&client, user);
        }
    }
    for counter in [
        &history.denials,
        &history.replacements,
        &history.stops,
        &history.unanswered,
    ] {
        assert!(0 < counter.load(Ordering::SeqCst), "the test says nothing");
    }
    let log = server.log();
    assert_eq!(log.matches("was not closed in order").count(), ROUNDS);
}

#[test]
fn a_restart_keeps_ids_devices_and_endings() {
    let mut server = Server::start();
    let client = server.client();
    let device = json!({"id": "tv-9", "name": "Living room TV", "type": "tv"});
    let live = client.admitted(&json!({"userId": "1", "device": device, "contentId": "movie-1"}));
    let stopped = client.admitted(&json!({"userId": "1"}));
    let evicted = client.admitted(&json!({"userId": "1"}));
    assert_eq!(client.delete(&format!("/v1/streams/{stopped}")).status, 204);
    let path = format!("/v1/users/1/streams/{evicted}");
    assert_eq!(client.delete(&path).status, 204);
    let key = |client: &Client| {
        let call = client.call(http::Method::POST, "/v1/streams");
        let call = call.header("idempotency-key", "try-1");
        call.json(&json!({"userId": "1"})).send()
    };
    let first = key(&client);
    assert_eq!(first.status, 201);

    server.kill9();
    let server = server.restart();
    let client = server.client();
    let again = key(&client);
    assert_eq!(
        again.status, 200,
        "a retry over the crash is the same stream"
    );
    assert_eq!(again.text("streamId"), first.text("streamId"));
    let listed = client.get("/v1/users/1/streams").json();
    let kept = &listed["streams"][0];
    assert_eq!(kept["streamId"], live.as_str());
    assert_eq!(kept["device"], device);
    assert_eq!(kept["contentId"], "movie-1");
    assert_eq!(kept["state"], "live");
    assert_eq!(listed["active"], 2);
    for (id, code) in [(&stopped, "stream-stopped"), (&evicted, "stream-evicted")] {
        let answer = client.poke(&format!("/v1/streams/{id}/heartbeat"));
        assert_eq!((answer.status, answer.code().as_str()), (410, code));
    }
}

#[test]
fn a_seed_stream_that_sent_a_heartbeat_is_one_like_any_other_after_a_crash_too() {
    let mut server = Server::start();
    let client = server.client();
    let started = client.post("/stream", &json!({"userId": "1"})).json();
    let id = started["message"]["streamId"].as_str().expect("an id");
    assert_eq!(
        client.poke(&format!("/v1/streams/{id}/heartbeat")).status,
        200
    );
    server.kill9();

    let server = server.restart();
    let listed = server.client().get("/v1/users/1/streams").json();
    let time = |field: &str| -> jiff::Timestamp {
        let text = listed["streams"][0][field].as_str().expect("a time");
        text.parse().expect("RFC 3339")
    };
    let lease = time("expiresAt").duration_since(time("lastHeardAt"));
    assert!(lease.as_secs() <= 90, "a lease of {lease:?}");
}
