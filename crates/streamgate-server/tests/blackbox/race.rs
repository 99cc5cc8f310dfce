//! Promise 1: never more than the limit, however many ask at once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use serde_json::json;
use streamgate_core::ENDINGS_MAX;

use crate::support::{Client, Dice, Server, Setup};

const LIMIT: usize = 3;

/// How often each status was answered, as "3 x 201, 47 x 409".
fn tally(statuses: &[u16]) -> String {
    let mut counts: Vec<(u16, usize)> = Vec::new();
    let mut sorted = statuses.to_vec();
    sorted.sort_unstable();
    for status in sorted {
        match counts.last_mut() {
            Some((last, count)) if *last == status => *count += 1,
            _ => counts.push((status, 1)),
        }
    }
    let counts = counts
        .iter()
        .map(|(status, count)| format!("{count} x {status}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// Does the same at once from many threads, each with a connection that is open already.
fn at_once<T: Send>(
    server: &Server,
    threads: usize,
    act: impl Fn(usize, &Client) -> T + Sync,
) -> Vec<T> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let (barrier, act) = (&barrier, &act);
        let running: Vec<_> = (0..threads)
            .map(|index| {
                scope.spawn(move || {
                    let client = server.client();
                    let live = client.get("/livez");
                    barrier.wait();
                    assert_eq!(live.status, 200);
                    act(index, &client)
                })
            })
            .collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended.map(|ended| ended.expect("no thread fails")).collect()
    })
}

#[test]
fn of_fifty_simultaneous_starts_exactly_three_are_admitted_in_every_round() {
    const ROUNDS: usize = 30;
    let server = Server::start();
    let round = Barrier::new(50);
    let statuses: Vec<Vec<u16>> = at_once(&server, 50, |_, client| {
        let start = |number| {
            round.wait();
            client
                .start(&json!({"userId": format!("user-{number}")}))
                .status
        };
        (0..ROUNDS).map(start).collect()
    });
    for number in 0..ROUNDS {
        let of_round: Vec<u16> = statuses.iter().map(|thread| thread[number]).collect();
        assert_eq!(tally(&of_round), "3 x 201, 47 x 409", "round {number}");
        let listed = server.client().streams_of(&format!("user-{number}"));
        assert_eq!(listed.len(), LIMIT, "round {number}");
    }
}

#[test]
fn two_hundred_users_at_once_have_their_limit_each() {
    const USERS: usize = 200;
    const THREADS: usize = 40;
    const STARTS: usize = 5;
    let server = Server::start();
    let admitted: Vec<Vec<(usize, u16)>> = at_once(&server, THREADS, |thread, client| {
        let mine = (0..USERS * STARTS).filter(|index| index % THREADS == thread);
        let start = |index: usize| {
            // Prime to the number of users, so that each one's starts come from all threads.
            let user = index * 77 % USERS;
            let answer = client.start(&json!({"userId": format!("user-{user}")}));
            (user, answer.status)
        };
        mine.map(start).collect()
    });
    let mut of_user: HashMap<usize, Vec<u16>> = HashMap::new();
    for (user, status) in admitted.into_iter().flatten() {
        of_user.entry(user).or_default().push(status);
    }
    assert_eq!(of_user.len(), USERS);
    for (user, statuses) in of_user {
        assert_eq!(tally(&statuses), "3 x 201, 2 x 409", "user {user}");
    }
}

#[test]
fn a_storm_of_replacements_never_shows_more_than_the_limit() {
    const THREADS: usize = 16;
    const STARTS: usize = 25;
    let server = Server::start();
    let is_over = AtomicBool::new(false);
    let (admitted, replaced) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let client = server.client();
            while !is_over.load(Ordering::Relaxed) {
                let listed = client.streams_of("storm");
                assert!(listed.len() <= LIMIT, "{listed:?}");
            }
        });
        let ids: Vec<_> = at_once(&server, THREADS, |_, client| {
            let body = json!({"userId": "storm", "onLimit": "replaceOldest"});
            let start = |_| {
                let answer = client.start(&body);
                assert_eq!(answer.status, 201, "{answer:?}");
                let body = answer.json();
                assert!(body["active"].as_u64() <= Some(3), "{body}");
                let replaced = body["replaced"].as_array().expect("a list").clone();
                (answer.text("streamId"), replaced)
            };
            (0..STARTS).map(start).collect::<Vec<_>>()
        });
        is_over.store(true, Ordering::Relaxed);
        watcher.join().expect("the watcher never saw too many");
        let (admitted, replaced): (Vec<_>, Vec<_>) = ids.into_iter().flatten().unzip();
        (admitted, replaced)
    });

    let replaced: Vec<String> = replaced
        .into_iter()
        .flatten()
        .map(|id| id.as_str().expect("an id").to_owned())
        .collect();
    let once: HashSet<&String> = replaced.iter().collect();
    assert_eq!(once.len(), replaced.len(), "nothing is replaced twice");
    let client = server.client();
    let listed: HashSet<String> = client.streams_of("storm").into_iter().collect();
    let survivors = admitted.into_iter().filter(|id| !once.contains(id));
    assert_eq!(survivors.collect::<HashSet<_>>(), listed);
    // As many endings as are remembered are told, whichever came last; the others are forgotten.
    let told = replaced.iter().map(|id| {
        let gone = client.poke(&format!("/v1/streams/{id}/heartbeat"));
        (gone.status, gone.code())
    });
    let is_remembered = |gone: &(u16, String)| *gone == (410, "stream-replaced".into());
    let (remembered, forgotten): (Vec<_>, Vec<_>) = told.partition(is_remembered);
    assert_eq!(remembered.len(), ENDINGS_MAX);
    assert!(
        forgotten
            .iter()
            .all(|gone| *gone == (404, "stream-unknown".into())),
        "{forgotten:?}"
    );
}

#[test]
fn starts_and_stops_mixed_never_exceed_the_limit() {
    const THREADS: usize = 24;
    const TURNS: usize = 60;
    const USERS: usize = 4;
    // No silence is long enough here for a place to be reclaimed.
    let server = Setup::new()
        .set("HEARTBEAT_INTERVAL_SECONDS", 60)
        .set("HEARTBEAT_LEASE_SECONDS", 600)
        .start();
    // Streams that are live for certain: their 201 was read, their stop is not yet sent.
    let live: Vec<AtomicI32> = (0..USERS).map(|_| AtomicI32::new(0)).collect();
    let refused = Mutex::new(0);
    at_once(&server, THREADS, |thread, client| {
        let mut dice = Dice::new(thread as u64);
        for _ in 0..TURNS {
            let user = dice.below(USERS);
            let answer = client.start(&json!({"userId": format!("user-{user}")}));
            if answer.status == 409 {
                *refused.lock().expect("no thread failed") += 1;
                continue;
            }
            assert_eq!(answer.status, 201, "{answer:?}");
            let before = live[user].fetch_add(1, Ordering::SeqCst);
            assert!(before < 3, "a stream beyond the limit was admitted");
            if dice.chance(50) {
                let listed = client.streams_of(&format!("user-{user}"));
                assert!(listed.len() <= LIMIT, "{listed:?}");
            }
            live[user].fetch_sub(1, Ordering::SeqCst);
            let id = answer.text("streamId");
            assert_eq!(client.delete(&format!("/v1/streams/{id}")).status, 204);
        }
    });
    let refused = refused.into_inner().expect("no thread failed");
    assert!(
        0 < refused,
        "the limit was never reached: the test says nothing"
    );
    for user in 0..USERS {
        let listed = server.client().streams_of(&format!("user-{user}"));
        assert_eq!(listed, [""; 0], "everything was stopped");
    }
}
