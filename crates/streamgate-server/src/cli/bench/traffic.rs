//! What one thread asks of the server, and what it makes of the answers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use serde::Deserialize;
use streamgate_core::{Locator, StreamId};

use super::model::{Admitted, Beat, Key, Model, Moment, Started};
use super::plan::{Mix, Plan};
use super::tally::{Kind, Tally};

/// How old a token is when a heartbeat's answer is looked through for a new one: a little less than
/// when there is one.
const RENEWAL_EXPECTED: Duration = Duration::from_secs(110);

/// Chooses requests and takes in answers. Each thread has users of its own, and so a model of
/// its own.
pub(super) struct Traffic<'a> {
    plan: &'a Plan,
    tag: u32,
    thread: u64,
    rng: SmallRng,
    ranks: Zipf<f64>,
    /// The users who are still to be given a stream before measuring.
    fill: Range<u64>,
    pub(super) is_filling: bool,
    devices: u64,
    pub(super) model: Model,
    pub(super) tally: Tally,
    /// What streams were answered with, if that is to be sent.
    tokens: HashMap<StreamId, Token>,
}

/// A stream's token, and when it came.
struct Token {
    text: Arc<str>,
    came: Moment,
}

/// One request.
pub(super) enum Action {
    Start {
        user: u64,
        body: String,
    },
    /// For a stream that the model knows, or for any.
    Beat(Option<Key>, StreamId),
    Beats {
        keys: Vec<Option<Key>>,
        body: String,
    },
    Stop(Key, StreamId),
}

/// What became of a request.
pub(super) struct Exchange<'a> {
    /// When it should have been sent, and when it was.
    pub(super) due: Moment,
    pub(super) sent: Moment,
    /// The status and the body, if there was no error.
    pub(super) answer: Option<&'a (u16, Bytes)>,
    pub(super) now: Moment,
}

/// The parts of a 201 that matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartedBody {
    stream_id: String,
    heartbeat: TermsBody,
    replaced: Vec<String>,
    #[serde(default)]
    token: Option<String>,
}

/// The part of a heartbeat's 200 that may bring something new.
#[derive(Deserialize)]
struct RenewedBody {
    #[serde(default)]
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TermsBody {
    interval_seconds: u64,
    lease_seconds: u64,
}

#[derive(Deserialize)]
struct BatchBody {
    results: Vec<ResultBody>,
}

#[derive(Deserialize)]
struct ResultBody {
    status: u16,
}

impl<'a> Traffic<'a> {
    pub(super) fn new(plan: &'a Plan, tag: u32, thread: u64) -> anyhow::Result<Self> {
        let seed = plan.seed.unwrap_or_default().wrapping_add(thread);
        Ok(Self {
            plan,
            tag,
            thread,
            rng: SmallRng::seed_from_u64(seed),
            ranks: Zipf::new(plan.share(plan.users, thread) as f64, plan.zipf)?,
            fill: 0..plan.share(plan.fill, thread),
            is_filling: true,
            devices: 0,
            model: Model::new(plan.limit),
            tally: Tally::new(),
            tokens: HashMap::new(),
        })
    }

    /// The next request, which leaves `now`; `None` when the fill is over.
    pub(super) fn next(&mut self, now: Moment) -> Option<Action> {
        let action = if self.is_filling {
            let rank = self.fill.next()?;
            self.start(self.user(rank), now)
        } else {
            self.any(now)
        };
        self.tally.in_flight += 1;
        Some(action)
    }

    /// What a request says of who it is from.
    pub(super) fn credential(&self, action: &Action) -> Option<Arc<str>> {
        let key = self.plan.credential.clone();
        match action {
            Action::Beat(_, id) | Action::Stop(_, id) if self.plan.tokens => {
                self.tokens.get(id).map(|it| Arc::clone(&it.text)).or(key)
            }
            Action::Start { .. } | Action::Beat(..) | Action::Beats { .. } | Action::Stop(..) => {
                key
            }
        }
    }

    fn any(&mut self, now: Moment) -> Action {
        let Mix {
            starts,
            beats,
            stops,
        } = self.plan.mix;
        let dice = self.rng.random_range(0..starts + beats + stops);
        let action = if dice < starts {
            None
        } else if dice < starts + beats {
            self.beats()
        } else {
            let stop = self.model.stop(&mut self.rng);
            stop.map(|(key, id)| Action::Stop(key, id))
        };
        // Without a stream that could be meant, one is started.
        action.unwrap_or_else(|| {
            let user = self.any_user();
            self.start(user, now)
        })
    }

    fn start(&mut self, user: u64, now: Moment) -> Action {
        self.model.start_sent(user, now);
        self.devices += 1;
        let (tag, thread, device) = (self.tag, self.thread, self.devices);
        let body = format!(
            r#"{{"userId":"u{tag:06x}{user:09}","device":{{"id":"{tag:06x}{thread:02x}{device:08x}","name":"Living room TV 1"}},"contentId":"movie{user:011}"}}"#
        );
        Action::Start { user, body }
    }

    fn beats(&mut self) -> Option<Action> {
        let Some(count) = self.plan.batch else {
            let (key, id) = self.beat()?;
            return Some(Action::Beat(key, id));
        };
        let beats: Option<Vec<_>> = (0..count).map(|_| self.beat()).collect();
        let (keys, items): (Vec<_>, Vec<_>) = beats?
            .into_iter()
            .map(|(key, id)| (key, format!(r#"{{"streamId":"{id}"}}"#)))
            .unzip();
        let body = format!(r#"{{"heartbeats":[{}]}}"#, items.join(","));
        Some(Action::Beats { keys, body })
    }

    fn beat(&mut self) -> Option<(Option<Key>, StreamId)> {
        let user = self.any_user();
        if let Some((key, id)) = self.model.beat(user, &mut self.rng) {
            return Some((Some(key), id));
        }
        let (locator, random) = (self.rng.random(), self.rng.random());
        let id = StreamId::mint(Locator::from_bits(locator), random);
        self.plan.unchecked.then_some((None, id))
    }

    /// A user, by the law of Zipf.
    fn any_user(&mut self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is a whole number from 1 to how many users there are"
        )]
        let rank = self.ranks.sample(&mut self.rng) as u64;
        self.user(rank - 1)
    }

    /// One of this thread's users, by popularity.
    fn user(&self, rank: u64) -> u64 {
        rank * self.plan.threads + self.thread
    }

    pub(super) fn answered(&mut self, action: &Action, exchange: &Exchange<'_>) {
        let Exchange { sent, now, .. } = *exchange;
        let status = exchange.answer.map(|(status, _)| *status);
        let kind = match action {
            Action::Start { user, .. } => {
                let (started, token) = started(exchange.answer);
                if let (true, Started::Admitted(admitted), Some(token)) =
                    (self.plan.tokens, &started, token)
                {
                    let token = Token {
                        text: token,
                        came: now,
                    };
                    self.tokens.insert(admitted.id.clone(), token);
                }
                self.model.start_answered(*user, sent, started, now);
                Kind::Start
            }
            Action::Beat(key, id) => {
                self.take_renewed(id, exchange);
                self.beat_answered(*key, status, exchange);
                Kind::Beat
            }
            Action::Beats { keys, .. } => {
                let each = exchange.answer.map(statuses_of_batch).unwrap_or_default();
                for (index, key) in keys.iter().enumerate() {
                    self.beat_answered(*key, each.get(index).copied(), exchange);
                }
                Kind::Beat
            }
            Action::Stop(key, id) => {
                self.tokens.remove(id);
                self.model.stop_answered(*key, status == Some(204), now);
                Kind::Stop
            }
        };
        self.tally.count(kind, status, exchange.due, now);
    }

    /// Takes the new token in a heartbeat's answer. None is looked for until one is to be expected.
    fn take_renewed(&mut self, id: &StreamId, exchange: &Exchange<'_>) {
        let Some(token) = self.tokens.get_mut(id) else {
            return;
        };
        if exchange.now.saturating_sub(token.came) < RENEWAL_EXPECTED {
            return;
        }
        let body = exchange.answer.map(|(_, body)| body);
        let renewed = body.and_then(|body| serde_json::from_slice::<RenewedBody>(body).ok());
        if let Some(text) = renewed.and_then(|body| body.token) {
            *token = Token {
                text: text.into(),
                came: exchange.now,
            };
        }
    }

    fn beat_answered(&mut self, key: Option<Key>, status: Option<u16>, exchange: &Exchange<'_>) {
        self.tally.count_beat(status, exchange.due);
        let beat = match status {
            Some(200) => Beat::Renewed,
            Some(status @ (404 | 410)) => Beat::Over(status),
            Some(_) | None => Beat::Unclear,
        };
        if let Some(key) = key {
            let Exchange { sent, now, .. } = *exchange;
            self.model.beat_answered(key, sent, beat, now);
        }
    }
}

/// What a start came to, and the token for its stream.
fn started(answer: Option<&(u16, Bytes)>) -> (Started, Option<Arc<str>>) {
    let started = match answer {
        Some((201, body)) => {
            let body = serde_json::from_slice::<StartedBody>(body).ok();
            let token = body
                .as_ref()
                .and_then(|body| body.token.as_deref().map(Into::into));
            let started = body.as_ref().and_then(admitted);
            return (started.map_or(Started::Unclear, Started::Admitted), token);
        }
        Some((409, _)) => Started::Denied,
        Some((400..500, _)) => Started::Refused,
        Some(_) | None => Started::Unclear,
    };
    (started, None)
}

fn admitted(body: &StartedBody) -> Option<Admitted> {
    let suspect = Duration::from_secs(body.heartbeat.interval_seconds) * 3 / 2;
    let lease = Duration::from_secs(body.heartbeat.lease_seconds);
    let replaced = body.replaced.iter();
    Some(Admitted {
        id: StreamId::parse(&body.stream_id).ok()?,
        replaced: replaced.filter_map(|id| StreamId::parse(id).ok()).collect(),
        patience: suspect.min(lease),
    })
}

/// What each heartbeat of a batch was answered; nothing if the batch was not.
fn statuses_of_batch((status, body): &(u16, Bytes)) -> Vec<u16> {
    let batch: Option<BatchBody> = serde_json::from_slice(body).ok();
    let results = batch.filter(|_| *status == 200).map(|batch| batch.results);
    let results = results.unwrap_or_default().into_iter();
    results.map(|result| result.status).collect()
}
