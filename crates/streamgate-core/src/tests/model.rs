//! What the design promises, written down as naively as can be: every stream that ever was, in
//! one list from which nothing is ever removed, and every question answered by filtering it.

use alloc::vec::Vec;

use super::histories::words::{Answer, Ask, Op, Seen, Taken, Why};

/// A stream that was admitted at some time, or a stop of one that never was.
#[derive(Clone, Debug)]
struct Life {
    user: u8,
    /// Streams in the order of this took their places one after the other.
    took_place: usize,
    stream: Seen,
    patience: Option<u64>,
    /// Why it ended, if not by silence, and until when that is remembered.
    end: Option<(Why, u64)>,
}

impl Life {
    fn is_live(&self, now: u64) -> bool {
        self.end.is_none() && now < self.stream.expires
    }

    /// Silent for longer than its patience.
    fn is_suspect(&self, now: u64) -> bool {
        self.patience
            .is_some_and(|patience| patience < now.saturating_sub(self.stream.heard))
    }

    fn remembered_until(&self) -> u64 {
        self.end
            .map_or(self.stream.expires + MEMORY, |(_, until)| until)
    }

    /// Why it is over, as long as somebody remembers.
    fn over(&self, now: u64) -> Option<Why> {
        let is_remembered = !self.is_live(now) && now < self.remembered_until();
        is_remembered.then_some(self.end.map_or(Why::Expired, |(why, _)| why))
    }
}

const MEMORY: u64 = 600_000;
const HEARTBEAT_LEASE: u64 = 90_000;
const HEARTBEAT_PATIENCE: u64 = 30_000;

/// All that ever happened.
#[derive(Default)]
pub(super) struct Model {
    lives: Vec<Life>,
    /// Each admitted start's user and limit.
    limits: Vec<(u8, u8)>,
    places_taken: usize,
    looked_at: u64,
    steps: u64,
}

impl Model {
    pub(super) fn apply(&mut self, op: &Op, now: u64) -> Answer {
        self.steps += 1;
        let answer = match op {
            Op::Start(ask) => self.start(ask, now),
            Op::Heartbeat {
                user,
                id,
                paused,
                content,
            } => self.heartbeat(*user, *id, *paused, *content, now),
            Op::Stop { user, id } => self.stop(*user, *id, now),
            Op::Lapse { user, id } => self.lapse(*user, *id, now),
            Op::EvictOne { user, id } => self.evict(*user, |one| one == *id, now),
            Op::EvictAll { user } => self.evict(*user, |_| true, now),
            Op::Look => Answer::Expired(self.expired_since_last_look(now)),
            Op::Restart => self.restart(now),
        };
        self.looked_at = now;
        answer
    }

    /// A user's live streams in the order in which they took their places.
    pub(super) fn live(&self, user: u8, now: u64) -> Vec<Seen> {
        let live = self.live_indices(user, now);
        live.iter().map(|i| self.lives[*i].stream.clone()).collect()
    }

    /// When something ends or is forgotten next.
    pub(super) fn due_at(&self, now: u64) -> Option<u64> {
        let users_and_ids = self.lives.iter().map(|life| (life.user, life.stream.id));
        users_and_ids
            .filter_map(|(user, id)| self.last(user, id))
            .map(|i| &self.lives[i])
            .map(|life| match life.is_live(now) {
                true => life.stream.expires,
                false => life.remembered_until(),
            })
            .filter(|due| now < *due)
            .min()
    }

    /// Instants at which something changes for somebody.
    pub(super) fn boundaries(&self, now: u64) -> Vec<u64> {
        let instants = self.lives.iter().flat_map(|life| {
            let suspect_at = life.stream.heard + life.patience.unwrap_or_default();
            [suspect_at, life.stream.expires, life.remembered_until()]
        });
        instants.filter(|instant| now < *instant).collect()
    }

    pub(super) fn knows(&self, user: u8, id: u8, now: u64) -> bool {
        self.last(user, id)
            .map(|i| &self.lives[i])
            .is_some_and(|life| life.is_live(now) || life.over(now).is_some())
    }

    fn start(&mut self, ask: &Ask, now: u64) -> Answer {
        let earlier = self.last(ask.user, ask.id);
        if let Some(i) = earlier {
            let life = &mut self.lives[i];
            if life.is_live(now) {
                life.stream.expires = now + (life.stream.expires - life.stream.heard);
                life.stream.heard = now;
                return Answer::Same(self.taken(i, now));
            }
            match life.over(now) {
                Some(why) if why != Why::Expired => return Answer::Over(why),
                _ => {}
            }
        }
        let yields = |life: &Life| {
            (ask.device != 0 && life.stream.device == ask.device)
                || ask.replace.contains(&life.stream.id)
        };
        let live = self.live_indices(ask.user, now);
        let (mut replaced, others): (Vec<usize>, Vec<usize>) =
            live.iter().partition(|i| yields(&self.lives[**i]));
        match self.make_room(&others, ask, now) {
            Ok(more) => replaced.extend(more),
            Err(denied) => return denied,
        }

        for i in &replaced {
            self.lives[*i].end = Some((Why::Replaced(ask.id), now + MEMORY));
        }
        for i in 0..self.lives.len() {
            let life = &self.lives[i];
            let is_last = self.last(life.user, life.stream.id) == Some(i);
            if is_last && life.user == ask.user && life.stream.id != ask.id && yields(life) {
                self.give_up(i, Why::Replaced(ask.id), now);
            }
        }
        self.limits.push((ask.user, ask.limit));
        let i = self.admit(ask, now);
        let replaced = replaced.iter().map(|i| self.lives[*i].stream.id).collect();
        Answer::Admitted(self.taken(i, now), replaced)
    }

    /// Who goes so that one more is within the limit: the longest-silent suspects, then the
    /// oldest if that is wanted.
    fn make_room(&self, others: &[usize], ask: &Ask, now: u64) -> Result<Vec<usize>, Answer> {
        let limit = usize::from(ask.limit);
        let mut going: Vec<usize> = others
            .iter()
            .copied()
            .filter(|i| self.lives[*i].is_suspect(now))
            .collect();
        going.sort_by_key(|i| self.lives[*i].stream.heard);
        let oldest: Vec<usize> = others
            .iter()
            .copied()
            .filter(|i| !going.contains(i))
            .collect();
        if ask.replace_oldest {
            going.extend(oldest);
        }
        let going: Vec<usize> = going
            .into_iter()
            .enumerate()
            .take_while(|(gone, _)| limit < others.len() - gone + 1)
            .map(|(_, i)| i)
            .collect();
        if others.len() - going.len() < limit {
            return Ok(going);
        }
        let free_at = |instant: u64| {
            let stays = |i: &&usize| {
                let life = &self.lives[**i];
                life.is_live(instant) && !life.is_suspect(instant)
            };
            others.iter().filter(stays).count() < limit
        };
        let instants = others.iter().flat_map(|i| {
            let life = &self.lives[*i];
            let suspect_at = life
                .patience
                .map(|patience| life.stream.heard + patience + 1);
            suspect_at.into_iter().chain([life.stream.expires])
        });
        let retry_at = instants.filter(|instant| free_at(*instant)).min();
        Err(Answer::Denied {
            limit: ask.limit,
            holders: others.iter().map(|i| self.lives[*i].stream.id).collect(),
            retry_at: retry_at.expect("all of them expire some time"),
        })
    }

    fn admit(&mut self, ask: &Ask, now: u64) -> usize {
        self.places_taken += 1;
        self.lives.push(Life {
            user: ask.user,
            took_place: self.places_taken,
            stream: Seen {
                id: ask.id,
                device: ask.device,
                started: self.steps,
                heard: now,
                expires: now + ask.lease,
                paused: false,
                content: None,
            },
            patience: ask.patience,
            end: None,
        });
        self.lives.len() - 1
    }

    fn heartbeat(
        &mut self,
        user: u8,
        id: u8,
        paused: Option<bool>,
        content: Option<u8>,
        now: u64,
    ) -> Answer {
        let Some(i) = self.last(user, id) else {
            return Answer::Unknown;
        };
        let active = self.live(user, now).len();
        let was_live = self.lives[i].is_live(now);
        if !was_live {
            match self.lives[i].over(now) {
                None => return Answer::Unknown,
                Some(Why::Expired) if active < usize::from(self.limit(user)) => {
                    self.places_taken += 1;
                    self.lives[i].took_place = self.places_taken;
                }
                Some(why) => return Answer::Over(why),
            }
        }
        let life = &mut self.lives[i];
        life.end = None;
        life.stream.heard = now;
        life.stream.expires = now + HEARTBEAT_LEASE;
        life.patience = Some(HEARTBEAT_PATIENCE);
        life.stream.paused = paused.unwrap_or(life.stream.paused);
        life.stream.content = content.or(life.stream.content);
        if was_live {
            Answer::Renewed(self.taken(i, now))
        } else {
            Answer::Resumed(self.taken(i, now))
        }
    }

    fn stop(&mut self, user: u8, id: u8, now: u64) -> Answer {
        let remembered = self.last(user, id).filter(|_| self.knows(user, id, now));
        let Some(i) = remembered else {
            let note = Life {
                user,
                took_place: 0,
                stream: Seen {
                    id,
                    device: 0,
                    started: 0,
                    heard: 0,
                    expires: 0,
                    paused: false,
                    content: None,
                },
                patience: None,
                end: Some((Why::Stopped, now + MEMORY)),
            };
            self.lives.push(note);
            return Answer::Noted;
        };
        if self.lives[i].is_live(now) {
            self.lives[i].end = Some((Why::Stopped, now + MEMORY));
            Answer::Ended(id)
        } else if self.lives[i].over(now) == Some(Why::Expired) {
            self.give_up(i, Why::Stopped, now);
            Answer::Forgone
        } else {
            Answer::Already
        }
    }

    fn lapse(&mut self, user: u8, id: u8, now: u64) -> Answer {
        let live = self.live_indices(user, now);
        let live = live.into_iter().find(|i| self.lives[*i].stream.id == id);
        if let Some(i) = live {
            self.lives[i].end = Some((Why::Expired, now + MEMORY));
        }
        Answer::Lapsed(live.map(|_| id))
    }

    fn evict(&mut self, user: u8, is_meant: impl Fn(u8) -> bool, now: u64) -> Answer {
        let mut live = self.live_indices(user, now);
        live.retain(|i| is_meant(self.lives[*i].stream.id));
        for i in 0..self.lives.len() {
            let life = &self.lives[i];
            let is_last = self.last(life.user, life.stream.id) == Some(i);
            if is_last && life.user == user && is_meant(life.stream.id) {
                self.give_up(i, Why::Evicted, now);
            }
        }
        for i in &live {
            self.lives[*i].end = Some((Why::Evicted, now + MEMORY));
        }
        Answer::Evicted(live.iter().map(|i| self.lives[*i].stream.id).collect())
    }

    /// What was over by silence can't resume from now on.
    fn give_up(&mut self, i: usize, why: Why, now: u64) {
        let life = &mut self.lives[i];
        if life.over(now) == Some(Why::Expired) {
            life.end = Some((why, now + MEMORY));
        }
    }

    fn expired_since_last_look(&self, now: u64) -> usize {
        let is_new =
            |life: &&Life| self.looked_at < life.stream.expires && life.stream.expires <= now;
        let ended = self.lives.iter().filter(|life| life.end.is_none());
        ended.filter(is_new).count()
    }

    fn restart(&mut self, now: u64) -> Answer {
        for life in &mut self.lives {
            if life.is_live(now) {
                life.stream.expires = now + (life.stream.expires - life.stream.heard);
                life.stream.heard = now;
            }
        }
        Answer::Restarted
    }

    fn taken(&self, i: usize, now: u64) -> Taken {
        let life = &self.lives[i];
        let live = self.live_indices(life.user, now);
        let reclaimable_at = live.iter().map(|i| {
            let life = &self.lives[*i];
            let suspect_at = life
                .patience
                .map(|patience| life.stream.heard + patience + 1);
            life.stream.expires.min(suspect_at.unwrap_or(u64::MAX))
        });
        Taken {
            user: life.user,
            stream: life.stream.clone(),
            active: live.len(),
            limit: self.limit(life.user),
            reclaimable_at: reclaimable_at.min().expect("it is live itself"),
        }
    }

    /// What last became of a name.
    fn last(&self, user: u8, id: u8) -> Option<usize> {
        self.lives
            .iter()
            .rposition(|life| (life.user, life.stream.id) == (user, id))
    }

    fn live_indices(&self, user: u8, now: u64) -> Vec<usize> {
        let is_live = |i: &usize| self.lives[*i].user == user && self.lives[*i].is_live(now);
        let mut live: Vec<usize> = (0..self.lives.len()).filter(is_live).collect();
        live.sort_by_key(|i| self.lives[*i].took_place);
        live
    }

    /// The limit of the user's last admitted start.
    fn limit(&self, user: u8) -> u8 {
        let of_user = self.limits.iter().rev().find(|(whose, _)| *whose == user);
        of_user.expect("somebody was admitted").1
    }
}
