//! Players at once at all nodes: a few users at a time, so that they meet, and each user again
//! and again, so that all of them live through what fails.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use streamgate_core::{Start, StreamId, Terms, UserId, WallTime};

use crate::account::Account;
use crate::fleet::{Fleet, NODES};
use crate::player::{Player, user_id};
use crate::support::{Dice, elapsed_since, let_pass, now};

const PLAYERS: usize = 12;
/// How many users are played with at once, and for how long.
const AT_ONCE: usize = 4;
const TURN: Duration = Duration::from_millis(30);
/// How many operations a user has at the most, so that their order is soon found.
const OPERATIONS_MAX: usize = 60;
/// How many of a user's streams are remembered.
const KNOWN_MAX: usize = 8;

/// A stream of which all players know.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) start: Start,
    pub(crate) key: Option<String>,
    pub(crate) token: Option<String>,
}

pub(crate) struct Players<'a> {
    fleet: &'a Fleet,
    terms: Terms,
    began: Instant,
    users: Vec<User>,
    /// A node that sleeps; any other number if none does.
    asleep: AtomicUsize,
    is_over: AtomicBool,
}

#[derive(Default)]
struct User {
    operations: AtomicUsize,
    known: Mutex<VecDeque<Known>>,
}

impl<'a> Players<'a> {
    /// Players of so many users.
    pub(crate) fn new(fleet: &'a Fleet, terms: Terms, users: usize) -> Self {
        Self {
            fleet,
            terms,
            began: now(),
            users: std::iter::repeat_with(User::default).take(users).collect(),
            asleep: AtomicUsize::new(NODES),
            is_over: AtomicBool::new(false),
        }
    }

    /// Lets them play until `act` is over.
    pub(crate) fn play(&self, act: impl FnOnce()) -> Account {
        let mut account = Account::default();
        thread::scope(|scope| {
            let players: Vec<_> = (0..PLAYERS)
                .map(|number| scope.spawn(move || Player::new(self, number).play()))
                .collect();
            let over = Over(&self.is_over);
            act();
            drop(over);
            for player in players {
                account.add(player.join().expect("no player fails"));
            }
        });
        account
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Stops a node for some time, of the engine's clock, which no test can drive. Half of the
    /// players wait for its answers, the others go on.
    pub(crate) fn stop_for(&self, node: usize, duration: Duration) {
        self.asleep.store(node, Ordering::Relaxed);
        self.fleet.signal(node, Signal::STOP);
        let_pass(duration);
        self.fleet.signal(node, Signal::CONT);
        self.asleep.store(NODES, Ordering::Relaxed);
    }

    pub(crate) fn is_asleep(&self, node: usize) -> bool {
        self.asleep.load(Ordering::Relaxed) == node
    }

    /// Whom to play for now, if that user has operations left.
    pub(crate) fn next_user(&self, dice: &mut Dice) -> Option<usize> {
        let turn = elapsed_since(self.began).as_millis() / TURN.as_millis();
        let sets = self.users.len() / AT_ONCE;
        let set = usize::try_from(turn).expect("a short test") % sets;
        let user = set * AT_ONCE + dice.below(AT_ONCE);
        let done = self.users[user].operations.fetch_add(1, Ordering::Relaxed);
        (done < OPERATIONS_MAX).then_some(user)
    }

    pub(crate) fn known(&self, user: usize, dice: &mut Dice) -> Option<Known> {
        let known = self.users[user].known.lock().expect("nobody failed");
        (!known.is_empty()).then(|| known[dice.below(known.len())].clone())
    }

    /// Remembers a stream, or what is new of it.
    pub(crate) fn learn(&self, user: usize, stream: Known) {
        let mut known = self.users[user].known.lock().expect("nobody failed");
        let is_same = |it: &Known, id: &StreamId| it.start.id == *id;
        let there = known.iter_mut().find(|it| is_same(it, &stream.start.id));
        match there {
            Some(there) if stream.token.is_some() => *there = stream,
            Some(_) => {}
            None => known.push_back(stream),
        }
        if KNOWN_MAX < known.len() {
            known.pop_front();
        }
    }

    pub(crate) fn user(&self, user: usize) -> UserId {
        user_id(user)
    }

    pub(crate) fn terms(&self) -> Terms {
        self.terms
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.fleet.address(node)
    }

    /// The clock of all players, in microseconds.
    pub(crate) fn us(&self) -> u64 {
        u64::try_from(elapsed_since(self.began).as_micros()).expect("a short test")
    }

    pub(crate) fn wall(&self) -> WallTime {
        let ms = jiff::Timestamp::now().as_millisecond();
        WallTime::from_millis(u64::try_from(ms).expect("after 1970"))
    }
}

/// Ends the players also if what goes on besides fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
