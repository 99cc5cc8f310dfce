//! One player after another, on one connection to each node: asks, and writes down what came back.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use streamgate_core::{
    Admitted, Claim, Device, DeviceText, Limit, OnLimit, Over, Policy, Start, StreamId, UserId,
    WallTime,
};
use streamgate_store::history::{Answer, Asked, Operation, nameless};

use crate::account::Account;
use crate::fleet::{NODES, locator_key};
use crate::players::{Known, Players};
use crate::support::{self, Dice, Wire, is_timeout, let_pass};

/// How long a player rests before it asks again.
const REST: Duration = Duration::from_millis(2);
/// How long it rests when nobody listens where it wanted to ask.
const NOBODY_THERE: Duration = Duration::from_millis(20);
/// How long it rests when it was told to try again later: less than it was told.
const UNAVAILABLE: Duration = Duration::from_millis(150);
/// An answer that took so long came from a node that had been stopped.
const LATE_US: u64 = 10_000_000;

pub(crate) struct Player<'a> {
    players: &'a Players<'a>,
    number: usize,
    dice: Dice,
    wires: HashMap<usize, Wire>,
    nameless: usize,
    account: Account,
}

/// What a start is called.
enum Name {
    Chosen,
    Key(String),
    None,
}

/// What came back, and when it was sent and read.
struct Told {
    invoked_us: u64,
    answered: Option<(u64, support::Answer)>,
}

impl<'a> Player<'a> {
    pub(crate) fn new(players: &'a Players<'a>, number: usize) -> Self {
        Self {
            players,
            number,
            dice: Dice::new(7_000 + number as u64),
            wires: HashMap::new(),
            nameless: 0,
            account: Account::default(),
        }
    }

    pub(crate) fn play(mut self) -> Account {
        while !self.players.is_over() {
            if let Some(user) = self.players.next_user(&mut self.dice) {
                let known = self.players.known(user, &mut self.dice);
                match (self.dice.below(100), known) {
                    (0..42, _) | (_, None) => self.start(user),
                    (42..48, Some(known)) => self.start_again(user, &known),
                    (48..74, Some(known)) => self.heartbeat(user, &known),
                    (74..99, Some(known)) => self.stop(user, &known.start.id),
                    (_, Some(_)) => self.evict(user),
                }
            }
            let_pass(REST);
        }
        self.account
    }

    fn start(&mut self, user: usize) {
        let name = match self.dice.below(10) {
            0..6 => Name::Chosen,
            6..8 => Name::Key(format!("key-{}", self.dice.next())),
            _ => Name::None,
        };
        let user_id = self.players.user(user);
        self.nameless += 1;
        let number = self.nameless * 1000 + self.number;
        let id = match &name {
            Name::Chosen => StreamId::parse(&format!("s{number}")).expect("an id"),
            Name::Key(key) => locator_key().idempotent_id(&user_id, key),
            Name::None => nameless(number),
        };
        let replace = match self.players.known(user, &mut self.dice) {
            Some(known) if self.dice.chance(10) => vec![known.start.id],
            Some(_) | None => Vec::new(),
        };
        let device = format!("d{}", self.dice.below(6));
        let device = DeviceText::parse(&device).expect("a device");
        let start = Start {
            user: user_id,
            id,
            device: Device {
                id: self.dice.chance(30).then_some(device),
                ..Device::default()
            },
            content: None,
            replace,
            on_limit: if self.dice.chance(8) {
                OnLimit::ReplaceOldest
            } else {
                OnLimit::Deny
            },
            started_at: self.players.wall(),
        };
        self.send_start(user, start, &name);
    }

    /// The same start once more, as after a lost answer.
    fn start_again(&mut self, user: usize, known: &Known) {
        self.account.count("started again");
        let name = known.key.clone().map_or(Name::Chosen, Name::Key);
        self.send_start(user, known.start.clone(), &name);
    }

    fn send_start(&mut self, user: usize, mut start: Start, name: &Name) {
        let mut body = json!({
            "userId": start.user.as_str(),
            "device": {"id": start.device.id.as_ref().map(DeviceText::as_str)},
            "replace": start.replace.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "onLimit": if start.on_limit == OnLimit::Deny { "deny" } else { "replaceOldest" },
        });
        let mut key = "";
        match name {
            Name::Chosen => body["streamId"] = json!(start.id.to_string()),
            Name::Key(it) => key = it,
            Name::None => {}
        }
        let known = Known {
            start: start.clone(),
            key: (!key.is_empty()).then(|| key.to_owned()),
            token: None,
        };
        if !matches!(name, Name::None) {
            // Others may already beat and stop what is not yet answered.
            self.players.learn(user, known);
        }
        let Some(told) = self.call("POST", "/v1/streams", key, &body.to_string()) else {
            return;
        };
        let answer = self.answer(&told, |body, status| {
            start.started_at = time(&body["startedAt"]);
            start.id = id(&body["streamId"]);
            let active = active(body);
            match status {
                201 => Answer::Admitted {
                    active,
                    replaced: ids(&body["replaced"]),
                },
                _ => Answer::Same { active },
            }
        });
        let chose_none = start.replace.is_empty() && start.device.id.is_none();
        if let Some((_, Answer::Admitted { replaced, .. })) = &answer
            && chose_none
            && start.on_limit == OnLimit::Deny
            && !replaced.is_empty()
        {
            // Of a suspect: only time gave it the place.
            self.account.count("reclaimed");
        }
        if let (Some(_), Some((_, told))) = (&answer, &told.answered)
            && (told.status == 200 || told.status == 201)
        {
            self.players.learn(
                user,
                Known {
                    start: start.clone(),
                    key: (!key.is_empty()).then(|| key.to_owned()),
                    token: Some(told.text("token")),
                },
            );
        }
        if answer.is_none() && matches!(name, Name::None) {
            // Its node may have stopped it since: nobody else knows its name.
            let stop = Asked::Stop(start.id.clone());
            self.write(user, stop, told.invoked_us, None);
        }
        let policy = Policy {
            limit: Limit::DEFAULT,
            terms: self.players.terms(),
        };
        self.write(
            user,
            Asked::Start(Box::new(start), policy),
            told.invoked_us,
            answer,
        );
    }

    fn heartbeat(&mut self, user: usize, known: &Known) {
        let token = known.token.as_ref().filter(|_| self.dice.chance(80));
        let claim = token.map(|_| {
            Box::new(Claim {
                user: known.start.user.clone(),
                id: known.start.id.clone(),
                device: known.start.device.clone(),
                started_at: known.start.started_at,
                limit: Limit::DEFAULT,
                admitted: Admitted::ByStore,
            })
        });
        let body = token.map_or(json!({}), |token| json!({"token": token}));
        let path = self.path(user, &known.start.id, "heartbeat");
        let Some(told) = self.call("POST", &path, "", &body.to_string()) else {
            return;
        };
        let answer = self.answer(&told, |body, _| {
            let active = active(body);
            if body["resumed"] == true {
                let replaced = ids(&body["replaced"]);
                Answer::Resumed { active, replaced }
            } else {
                Answer::Renewed { active }
            }
        });
        let asked = Asked::Heartbeat {
            id: known.start.id.clone(),
            terms: self.players.terms(),
            claim,
        };
        self.write(user, asked, told.invoked_us, answer);
    }

    fn stop(&mut self, user: usize, id: &StreamId) {
        let path = self.path(user, id, "stop");
        if let Some(told) = self.call("POST", &path, "", "") {
            let answer = self.answer(&told, |_, _| Answer::Done);
            self.write(user, Asked::Stop(id.clone()), told.invoked_us, answer);
        }
    }

    fn evict(&mut self, user: usize) {
        let path = format!("/v1/users/{}/streams", self.players.user(user).as_str());
        if let Some(told) = self.call("DELETE", &path, "", "") {
            let answer = self.answer(&told, |_, _| Answer::Done);
            self.write(user, Asked::Evict(None), told.invoked_us, answer);
        }
    }

    fn path(&self, user: usize, id: &StreamId, verb: &str) -> String {
        format!(
            "/v1/users/{}/streams/{id}/{verb}",
            self.players.user(user).as_str()
        )
    }

    fn write(
        &mut self,
        user: usize,
        asked: Asked,
        invoked_us: u64,
        answered: Option<(u64, Answer)>,
    ) {
        self.account.operations.push(Operation {
            user: self.players.user(user),
            asked,
            invoked_us,
            answered,
        });
    }

    /// Any node; of one that sleeps, some players know and ask another.
    fn node(&mut self) -> usize {
        let node = self.dice.below(NODES);
        if self.players.is_asleep(node) && self.number.is_multiple_of(2) {
            (node + 1) % NODES
        } else {
            node
        }
    }

    /// Asks a node; nothing if nobody listens there.
    fn call(&mut self, method: &str, path: &str, key: &str, body: &str) -> Option<Told> {
        let node = self.node();
        let mut wire = match self.wires.remove(&node) {
            Some(wire) => wire,
            None => match Wire::connect(self.players.address(node)) {
                Ok(wire) => wire,
                Err(_) => {
                    self.account.count("nobody there");
                    let_pass(NOBODY_THERE);
                    return None;
                }
            },
        };
        let (length, mut header) = (body.len(), String::new());
        if !key.is_empty() {
            header = format!("idempotency-key: {key}\r\n");
        }
        let bytes = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n{header}\
             content-length: {length}\r\n\r\n{body}"
        );
        let invoked_us = self.players.us();
        let answered = match wire.exchange(bytes.as_bytes()) {
            Ok(answer) => {
                self.wires.insert(node, wire);
                Some((self.players.us(), answer))
            }
            Err(error) => {
                let word = if is_timeout(&error) {
                    "too late"
                } else {
                    "connection lost"
                };
                self.account.count(word);
                None
            }
        };
        Some(Told {
            invoked_us,
            answered,
        })
    }

    /// What an answer says; nothing if it does not say what the store has.
    fn answer(
        &mut self,
        told: &Told,
        yes: impl FnOnce(&Value, u16) -> Answer,
    ) -> Option<(u64, Answer)> {
        let (at, answer) = told.answered.as_ref()?;
        if LATE_US < at - told.invoked_us {
            self.account.count("late");
        }
        let said = match answer.status {
            204 => {
                self.account.count("done");
                yes(&Value::Null, 204)
            }
            200 | 201 => {
                let body = answer.json();
                if body["provisional"] == true {
                    self.account.count("provisional");
                    return None;
                }
                let said = yes(&body, answer.status);
                self.account.count(word(&said));
                said
            }
            503 => {
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                self.account.count("unavailable");
                let_pass(UNAVAILABLE);
                return None;
            }
            _ => self.refusal(answer),
        };
        Some((*at, said))
    }

    fn refusal(&mut self, answer: &support::Answer) -> Answer {
        let body = answer.json();
        let over = match (answer.status, answer.code().as_str()) {
            (409 | 410, "stream-limit-reached") => {
                self.account.count("denied");
                let holders = ids_in(&body["holders"]);
                return Answer::Denied { holders };
            }
            (404, "stream-unknown") => {
                self.account.count("unknown");
                return Answer::Unknown;
            }
            (410, "stream-stopped") => Over::Stopped,
            (410, "stream-expired") => Over::Expired,
            (410, "stream-evicted") => Over::Evicted,
            (410, "stream-replaced") => Over::Replaced {
                by: id(&body["by"]),
            },
            _ => panic!("{answer:?}"),
        };
        self.account.count("over");
        Answer::Over(over)
    }
}

fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Admitted { replaced, .. } if !replaced.is_empty() => "replaced",
        Answer::Admitted { .. } => "admitted",
        Answer::Same { .. } => "same",
        Answer::Renewed { .. } => "renewed",
        Answer::Resumed { .. } => "resumed",
        Answer::Denied { .. } => "denied",
        Answer::Over(_) => "over",
        Answer::Unknown => "unknown",
        Answer::Done => "done",
    }
}

pub(crate) fn id(text: &Value) -> StreamId {
    StreamId::parse(text.as_str().expect("a text")).expect("an id")
}

fn ids(list: &Value) -> Vec<StreamId> {
    list.as_array().expect("a list").iter().map(id).collect()
}

fn ids_in(list: &Value) -> Vec<StreamId> {
    let list = list.as_array().expect("a list").iter();
    list.map(|it| id(&it["streamId"])).collect()
}

fn active(body: &Value) -> usize {
    let active = body["active"].as_u64().expect("a number");
    usize::try_from(active).expect("a small one")
}

pub(crate) fn time(text: &Value) -> WallTime {
    let text = text.as_str().expect("a text");
    let at: jiff::Timestamp = text.parse().expect("a time");
    WallTime::from_millis(u64::try_from(at.as_millisecond()).expect("after 1970"))
}

pub(crate) fn user_id(number: usize) -> UserId {
    UserId::parse(&format!("user-{number}")).expect("a user")
}
