//! An engine that loses everything: whoever has a token has its place again.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use streamgate_store::engines::RedisServer;

use crate::account::CLOCKS_APART;
use crate::fleet::{Fleet, NODES, over_redis, with_short_leases};
use crate::nodes::{ALWAYS, LONG, SHORT};
use crate::players::Players;
use crate::say;
use crate::support::{Answer, elapsed_since, let_pass, now};

const USERS: usize = 40;
const LIMIT: usize = 3;

#[test]
fn an_engine_that_comes_back_empty_never_has_more_than_the_limit() {
    let redis = RedisServer::start();
    let fleet = Fleet::start(|_| over_redis(&redis.url()));
    let players = Players::new(&fleet, LONG, 400);
    let mut losses = Vec::new();
    let mut account = players.play(|| {
        for _ in 0..2 {
            let_pass(Duration::from_millis(1500));
            let from = players.us();
            redis.kill();
            let_pass(Duration::from_millis(200));
            redis.start_again();
            losses.push((from, players.us()));
        }
        let_pass(Duration::from_millis(1500));
    });
    for (from, to) in &losses {
        account.lost_everything(*from, *to);
    }
    account.count_many("losses", losses.len());
    account.nodes_asked_again();
    let words = [&ALWAYS[..], &["resumed", "unknown"]].concat();
    account.check("an engine that lost everything", CLOCKS_APART, &words);
}

/// A stream whose player has its token.
struct Playing {
    user: usize,
    id: String,
    token: String,
}

fn started(answer: &Answer, user: usize) -> Playing {
    assert_eq!(answer.status, 201, "{answer:?}");
    Playing {
        user,
        id: answer.text("streamId"),
        token: answer.text("token"),
    }
}

/// Its next heartbeat, at some node.
pub(crate) fn beat(fleet: &Fleet, node: usize, id: &str, token: &str) -> Answer {
    let path = format!("/v1/streams/{id}/heartbeat");
    fleet.client(node).post(&path, &json!({"token": token}))
}

#[test]
fn after_a_loss_one_heartbeat_brings_every_stream_back_the_oldest_first() {
    let redis = RedisServer::start();
    let fleet = Fleet::start(|_| with_short_leases(over_redis(&redis.url())));
    let start = |user: usize| {
        let body = json!({"userId": format!("user-{user}")});
        started(&fleet.client(user % NODES).start(&body), user)
    };
    let playing: Vec<Playing> = (0..USERS * LIMIT).map(|at| start(at % USERS)).collect();
    redis.kill();
    redis.start_again();
    fleet.wait_until_ready();
    let began = now();
    // Nobody knows of the others when these start, and they are the youngest.
    let newcomers: Vec<Playing> = (0..USERS).step_by(2).map(start).collect();

    let interval = SHORT.heartbeat.expect("they send heartbeats");
    let share = playing.len().div_ceil(NODES);
    let answers: Vec<Answer> = thread::scope(|scope| {
        let fleet = &fleet;
        let threads: Vec<_> = playing
            .chunks(share)
            .enumerate()
            .map(|(node, mine)| {
                scope.spawn(move || {
                    let pause = interval / 4 / u32::try_from(share).expect("a few");
                    let beat = |it: &Playing| {
                        let_pass(pause);
                        beat(fleet, node, &it.id, &it.token)
                    };
                    mine.iter().map(beat).collect::<Vec<_>>()
                })
            })
            .collect();
        let answers = threads.into_iter().map(|it| it.join().expect("it beats"));
        answers.flatten().collect()
    });
    let took = elapsed_since(began);
    let is = |field: &str, value: Value| answers.iter().all(|it| it.json()[field] == value);
    assert!(answers.iter().all(|it| it.status == 200), "{answers:#?}");
    assert!(is("resumed", json!(true)), "{answers:#?}");
    let replaced: Vec<Value> = answers
        .iter()
        .map(|it| it.json()["replaced"].clone())
        .collect();
    let replaced = replaced.iter().filter_map(|it| it.get(0)).count();
    assert_eq!(replaced, newcomers.len());

    for newcomer in &newcomers {
        let answer = beat(&fleet, newcomer.user % NODES, &newcomer.id, &newcomer.token);
        assert_eq!(
            (answer.status, answer.code()),
            (410, "stream-replaced".into())
        );
    }
    for user in 0..USERS {
        let of_user = playing.iter().filter(|it| it.user == user);
        let ids: Vec<String> = of_user.map(|it| it.id.clone()).collect();
        let streams = fleet.client(0).streams_of(&format!("user-{user}"));
        assert_eq!(streams, ids, "in the order of their starts");
    }
    say(&format!(
        "after a loss: {} of {} streams were put back in {took:?}, {replaced} newcomers gave way",
        answers.len(),
        playing.len(),
    ));
}
