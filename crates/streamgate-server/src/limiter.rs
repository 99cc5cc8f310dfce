//! Ties the rules to a store: load, decide, swap, and again if somebody was faster.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use streamgate_core::{
    Admission, Beat, Claim, ContentId, Device, Heartbeat, Limit, Locator, LocatorKey, OnLimit,
    Place, Policy, Readmitted, Record, Standing, Start, Started, Stopped, Stream, StreamId,
    TakenIn, Target, Terms, Timestamp, UserId, Which,
};
use streamgate_store::{LeaseStore, StoreError, Swap, Versioned, Write};
use tokio::sync::Semaphore;

use crate::clock::{Clock, instant};
use crate::config::OnStoreFailure;
use crate::metrics::{Ended, Metrics};
use crate::watchers::{Watch, Watchers};

/// How often one request may lose the race for its record before it gives up.
const ATTEMPTS_MAX: u32 = 16;
/// How many starts may be in doubt at once. The oldest of more are left to silence.
const IN_DOUBT_MAX: usize = 4096;
/// How many of a gateway's questions may be with the store at once: half of what may be in all, so
/// that heartbeats and stops get there. Others are answered by what was seen there last.
const CHECKS_MAX: usize = 2048;

/// How many records may be decided over at once, where a store is far away. Two that share a turn
/// wait for each other.
const TURNS: usize = 1 << 14;

/// Decides over streams. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Limiter(Arc<Parts>, Arc<Pending>);

/// What waits.
struct Pending {
    /// Starts of which the store did not say whether it has them, and which were answered with an
    /// error, or not at all because their clients went: nobody knows the names of their streams,
    /// so nobody else would ever stop them.
    in_doubt: Mutex<VecDeque<(UserId, StreamId)>>,
    /// Requests of this node for one record follow each other, where each would else make the
    /// others' round trips vain. None where a store takes no round trips.
    turns: Vec<tokio::sync::Mutex<()>>,
    checks: Semaphore,
}

impl Pending {
    fn of(store: &dyn LeaseStore) -> Self {
        let is_far = store.recall(Locator::from_bits(0)).is_some();
        let turns = std::iter::repeat_with(tokio::sync::Mutex::default);
        Self {
            in_doubt: Mutex::default(),
            turns: turns.take(if is_far { TURNS } else { 0 }).collect(),
            checks: Semaphore::new(CHECKS_MAX),
        }
    }

    fn doubt(&self, start: (UserId, StreamId)) {
        let mut in_doubt = self.in_doubt.lock();
        if in_doubt.len() == IN_DOUBT_MAX {
            in_doubt.pop_front();
        }
        in_doubt.push_back(start);
    }

    async fn turn(&self, at: Locator) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        // A locator is a keyed hash: any bits of it are as good as others.
        let index = usize::try_from(at.bits() % TURNS as u64).unwrap_or(0);
        Some(self.turns.get(index)?.lock().await)
    }
}

pub(crate) struct Parts {
    pub(crate) store: Arc<dyn LeaseStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: LocatorKey,
    /// The terms of clients that send heartbeats.
    pub(crate) terms: Terms,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) on_store_failure: OnStoreFailure,
    /// Who is told when something ends.
    pub(crate) watchers: Arc<Watchers>,
}

/// A start that nobody will ever hear of if this is dropped before it is lifted.
struct Doubt<'a> {
    pending: &'a Pending,
    start: Option<(UserId, StreamId)>,
}

impl Doubt<'_> {
    fn lift(mut self) {
        self.start = None;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(start) = self.start.take() {
            self.pending.doubt(start);
        }
    }
}

/// An answer, and whether the store gave it. While it is away, what stands in for it is
/// provisional: nobody looked at the limit.
#[derive(Clone, Debug)]
pub(crate) enum Answer<T> {
    Decided(T),
    Provisional(Place),
}

/// What a new stream is called.
#[derive(Clone, Debug)]
pub(crate) enum Naming {
    /// As its client chose.
    Chosen(StreamId),
    /// After the client's `Idempotency-Key`.
    After(String),
    /// By us.
    Minted,
}

/// A start as a caller puts it.
#[derive(Clone, Debug)]
pub(crate) struct StartCall {
    pub(crate) user: UserId,
    pub(crate) naming: Naming,
    pub(crate) device: Device,
    pub(crate) content: Option<ContentId>,
    pub(crate) replace: Vec<StreamId>,
    pub(crate) on_limit: OnLimit,
    pub(crate) limit: Limit,
    pub(crate) terms: Terms,
}

/// An answer of the rules, and what must be true before it is given.
type Decided<T> = (T, Option<Change>);

/// What an answer rests on; one that stands without a write rests on none.
#[derive(Clone, Copy)]
struct Change {
    write: Write,
    /// How many streams it ends, those aside that expired.
    ended: usize,
}

impl Change {
    const fn of(write: Write) -> Self {
        Self { write, ended: 0 }
    }

    const fn ending(self, ended: usize) -> Self {
        Self { ended, ..self }
    }
}

impl Limiter {
    pub(crate) fn new(parts: Parts) -> Self {
        let pending = Arc::new(Pending::of(&*parts.store));
        Self(Arc::new(parts), pending)
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn terms(&self) -> Terms {
        self.0.terms
    }

    pub(crate) fn store(&self) -> &dyn LeaseStore {
        &*self.0.store
    }

    /// Starts a stream.
    pub(crate) async fn start(&self, call: StartCall) -> Result<Answer<Started>, StoreError> {
        let is_ours_alone = matches!(call.naming, Naming::Minted);
        let (at, request, policy) = self.prepare(call);
        let doubt = Doubt {
            pending: &self.1,
            start: is_ours_alone.then(|| (request.user.clone(), request.id.clone())),
        };
        let decided = self.decide(at, |record, now| {
            let started = record.start(&request, &policy, now);
            let change = match &started {
                Started::Admitted { replaced, .. } => {
                    Some(Change::of(Write::Durable).ending(replaced.len()))
                }
                // The start that it repeats may have been refused by the replicas or the disk.
                Started::Same(_) => Some(Change::of(Write::Durable)),
                Started::Over(_) | Started::Denied(_) => None,
            };
            (started, change)
        });
        match decided.await {
            Ok(started) => {
                doubt.lift();
                self.0.metrics.started(&started);
                Ok(Answer::Decided(started))
            }
            Err(error) if is_away(&error) => match self.0.on_store_failure {
                OnStoreFailure::Admit => {
                    doubt.lift();
                    Ok(Answer::Provisional(self.admit(&request, &policy)))
                }
                OnStoreFailure::Deny => Err(error),
            },
            Err(error) => {
                doubt.lift();
                Err(error)
            }
        }
    }

    fn admit(&self, request: &Start, policy: &Policy) -> Place {
        self.0.metrics.admitted_provisionally();
        let started = Record::default().start(request, policy, self.0.clock.now());
        let Started::Admitted { place, .. } = started else {
            unreachable!("an empty record has room")
        };
        place
    }

    /// Makes sure that no start that was answered with an error, or not at all, has a place, as far
    /// as the store can say that now.
    pub(crate) async fn settle(&self) {
        loop {
            let next = self.1.in_doubt.lock().pop_front();
            let Some((user, id)) = next else { return };
            let target = Target {
                user: Some(&user),
                id: &id,
            };
            // Nobody hears of it, so nobody counts it: a late start is refused by this.
            let stopped = self.decide(self.locator_of(&user), |record, now| {
                (
                    record.stop(target, now),
                    Some(Change::of(Write::Durable).ending(1)),
                )
            });
            if stopped.await.is_err() {
                return self.1.doubt((user, id));
            }
        }
    }

    /// Whether a start would be admitted.
    pub(crate) async fn admission(&self, call: StartCall) -> Result<Admission, StoreError> {
        let (at, request, policy) = self.prepare(call);
        let Versioned { record, .. } = self.load(at).await?;
        Ok(record.admission(&request, &policy, self.0.clock.now()))
    }

    /// Renews a lease. With a claim, which is only asked for when it matters, a stream that the
    /// store knows nothing of is entered; and while the store is away, the heartbeat is forgiven.
    pub(crate) async fn heartbeat(
        &self,
        target: Target<'_>,
        beat: &Heartbeat,
        claim: impl Fn() -> Option<Claim>,
    ) -> Result<Answer<Readmitted>, StoreError> {
        let terms = self.0.terms;
        let Some(at) = self.locator(target) else {
            return Ok(Answer::Decided(Readmitted::Known(Beat::Unknown)));
        };
        let decided = self.decide(at, |record, now| {
            let known = record.heartbeat(target, beat, terms, now);
            let readmitted = match (known, &claim) {
                (Beat::Unknown, claim) if let Some(claim) = claim() => {
                    record.readmit(&claim, beat, terms, now)
                }
                (known, _) => Readmitted::Known(known),
            };
            let change = match &readmitted {
                Readmitted::Known(Beat::Renewed(_)) => Some(Change::of(Write::Soft)),
                // A crash must give neither a place nor a lease of hours back.
                Readmitted::Known(Beat::Joined(_) | Beat::Resumed(_)) => {
                    Some(Change::of(Write::Durable))
                }
                Readmitted::Entered { replaced, .. } => {
                    Some(Change::of(Write::Durable).ending(replaced.len()))
                }
                Readmitted::Known(Beat::Fresh(_) | Beat::Over(_) | Beat::Unknown)
                | Readmitted::Denied(_) => None,
            };
            (readmitted, change)
        });
        match decided.await {
            Ok(readmitted) => {
                self.0.metrics.heartbeat(&readmitted);
                Ok(Answer::Decided(readmitted))
            }
            Err(error) if is_away(&error) => {
                let claim = claim().ok_or(error)?;
                self.0.metrics.forgave();
                let now = self.0.clock.now();
                let entered = Record::default().readmit(&claim, beat, terms, now);
                let Readmitted::Entered { place, .. } = entered else {
                    unreachable!("an empty record has room")
                };
                Ok(Answer::Provisional(place))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a stream is live. One that its player can prove is, as far as nobody knows better.
    /// What the store can't be asked about is as this node saw it last, whatever time has passed
    /// since: its heartbeats may have gone unheard.
    pub(crate) async fn check(
        &self,
        target: Target<'_>,
        claim: impl Fn() -> Option<Claim>,
    ) -> bool {
        let Some(at) = self.locator(target) else {
            return false;
        };
        let turn = self.1.checks.try_acquire();
        let loaded = match &turn {
            Ok(_) => Some(self.load(at).await),
            Err(_) => None,
        };
        let is_admitted = match self.0.on_store_failure {
            OnStoreFailure::Admit => matches!(&loaded, Some(Err(error)) if is_away(error)),
            OnStoreFailure::Deny => false,
        };
        let (record, then) = if let Some(Ok(loaded)) = loaded {
            (loaded.record, self.0.clock.now())
        } else {
            let seen = self.0.store.recall(at).unwrap_or_else(Versioned::absent);
            (seen.record, Timestamp::default())
        };
        match record.standing(target, then) {
            Standing::Live { .. } => true,
            Standing::Over(_) => false,
            Standing::Unknown if record.may_have_forgotten(target.user, then) => false,
            Standing::Unknown => is_admitted || claim().is_some(),
        }
    }

    /// Takes in a stream that another service admitted, or says what would come of it.
    #[cfg(feature = "cli")]
    pub(crate) async fn take_in(
        &self,
        call: StartCall,
        is_trial: bool,
    ) -> Result<TakenIn, StoreError> {
        let (at, request, policy) = self.prepare(call);
        let taken = self.decide(at, |record, now| {
            let taken = record.take_in(&request, &policy, now);
            let change = match &taken {
                // Also where it is known: the try that this one repeats may have been refused.
                TakenIn::Entered | TakenIn::Known if !is_trial => Some(Change::of(Write::Durable)),
                TakenIn::Entered
                | TakenIn::Known
                | TakenIn::Over(_)
                | TakenIn::Forgotten
                | TakenIn::Full => None,
            };
            (taken, change)
        });
        taken.await
    }

    /// How it stands with a stream, as far as the store knows.
    pub(crate) async fn standing(&self, target: Target<'_>) -> Result<Standing, StoreError> {
        let Some(at) = self.locator(target) else {
            return Ok(Standing::Unknown);
        };
        let Versioned { record, .. } = self.load(at).await?;
        Ok(record.standing(target, self.0.clock.now()))
    }

    /// Watches a stream from now on; `None` when too many are watched.
    pub(crate) fn watch(&self, at: Locator, id: &StreamId) -> Option<Watch> {
        self.0.watchers.enter(at, id)
    }

    /// All who watch.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.0.watchers
    }

    /// Ends a stream as silence would, and says whether it had a place.
    pub(crate) async fn lapse(&self, target: Target<'_>) -> Result<bool, StoreError> {
        let Some(at) = self.locator(target) else {
            return Ok(false);
        };
        let lapsed = self.decide(at, |record, now| {
            let lapsed = record.lapse(target, now).is_some();
            let change = Change::of(Write::Durable).ending(1);
            (lapsed, lapsed.then_some(change))
        });
        let lapsed = lapsed.await?;
        self.0.metrics.ended(Ended::Stopped, usize::from(lapsed));
        Ok(lapsed)
    }

    /// Ends a stream for its player.
    pub(crate) async fn stop(&self, target: Target<'_>) -> Result<Stopped, StoreError> {
        let Some(at) = self.locator(target) else {
            return Ok(Stopped::Unknown);
        };
        let stopped = self
            .decide(at, |record, now| {
                let stopped = record.stop(target, now);
                let change = match &stopped {
                    Stopped::Ended(_) => Some(Change::of(Write::Durable).ending(1)),
                    // The stop that it repeats may have been refused by the replicas or the disk.
                    Stopped::Forgone | Stopped::Noted | Stopped::Already => {
                        Some(Change::of(Write::Durable))
                    }
                    Stopped::Unknown => None,
                };
                (stopped, change)
            })
            .await?;
        if matches!(stopped, Stopped::Ended(_)) {
            self.0.metrics.ended(Ended::Stopped, 1);
        }
        Ok(stopped)
    }

    /// Ends streams for an operator and returns those that had a place.
    pub(crate) async fn evict(
        &self,
        user: &UserId,
        which: Which<'_>,
    ) -> Result<Vec<Stream>, StoreError> {
        let at = self.0.key.locator(user);
        let mut tried: (Vec<Stream>, Timestamp) = Default::default();
        let evicted = self
            .decide(at, |record, now| {
                // A try whose answer was lost may have been kept, and streams may have started since.
                if !record.has_evicted(user, &tried.0, tried.1) {
                    tried = (record.evict(user, which, now), now);
                }
                let evicted = tried.0.clone();
                // Also where nothing changes: the eviction that it repeats may have been refused.
                let change = Change::of(Write::Durable).ending(evicted.len());
                (evicted, Some(change))
            })
            .await?;
        self.0.metrics.ended(Ended::Evicted, evicted.len());
        Ok(evicted)
    }

    /// Who is watching: the user's streams, and the limit of the user's last admitted start.
    pub(crate) async fn streams(
        &self,
        user: &UserId,
    ) -> Result<(Vec<Stream>, Option<Limit>), StoreError> {
        let Versioned { record, .. } = self.load(self.0.key.locator(user)).await?;
        Ok(record.streams(user, self.0.clock.now()))
    }

    /// Lets time do its work on one record.
    pub(crate) async fn expire(&self, at: Locator) -> Result<(), StoreError> {
        // `decide` has expired what is over already.
        self.decide(at, |_, _| ((), Some(Change::of(Write::Durable))))
            .await
    }

    fn prepare(&self, call: StartCall) -> (Locator, Start, Policy) {
        let at = self.0.key.locator(&call.user);
        let id = match call.naming {
            Naming::Chosen(id) => id,
            Naming::After(key) => self.0.key.idempotent_id(&call.user, &key),
            Naming::Minted => StreamId::mint(at, random()),
        };
        let request = Start {
            user: call.user,
            id,
            device: call.device,
            content: call.content,
            replace: call.replace,
            on_limit: call.on_limit,
            started_at: self.0.clock.wall(),
        };
        let policy = Policy {
            limit: call.limit,
            terms: call.terms,
        };
        (at, request, policy)
    }

    /// Where a stream is, if its name or its user tells.
    pub(crate) fn locator(&self, target: Target<'_>) -> Option<Locator> {
        target
            .user
            .map_or_else(|| target.id.locator(), |user| Some(self.locator_of(user)))
    }

    /// Where a user's record is.
    pub(crate) fn locator_of(&self, user: &UserId) -> Locator {
        self.0.key.locator(user)
    }

    /// Whether the id alone tells where the stream is, as those that we mint do.
    pub(crate) fn finds_alone(&self, user: &UserId, id: &StreamId) -> bool {
        id.locator() == Some(self.locator_of(user))
    }

    async fn load(&self, at: Locator) -> Result<Versioned, StoreError> {
        self.load_timed(at).await.0
    }

    /// Loads, and says when that was done.
    async fn load_timed(&self, at: Locator) -> (Result<Versioned, StoreError>, Instant) {
        let began = instant();
        let loaded = self.0.store.load(at).await;
        let done = self.0.metrics.loaded(began, loaded.is_ok());
        (loaded, done)
    }

    async fn decide<T>(
        &self,
        at: Locator,
        mut act: impl FnMut(&mut Record, Timestamp) -> Decided<T>,
    ) -> Result<T, StoreError> {
        let _turn = self.1.turn(at).await;
        let recalled = self.0.store.recall(at);
        let mut is_guess = recalled.is_some();
        let (mut seen, mut began) = match recalled {
            Some(guess) => (guess, instant()),
            None => {
                let (loaded, began) = self.load_timed(at).await;
                (loaded?, began)
            }
        };
        for _ in 0..ATTEMPTS_MAX {
            let now = self.0.clock.at(began);
            let Versioned {
                version,
                record: mut next,
            } = seen;
            let expired = next.expire(now);
            let (answer, change) = act(&mut next, now);
            let Some(Change { write, ended }) = change else {
                if !std::mem::take(&mut is_guess) {
                    return Ok(answer);
                }
                // A guess may be tried, but an answer does not rest on it.
                let (loaded, loaded_at) = self.load_timed(at).await;
                (seen, began) = (loaded?, loaded_at);
                continue;
            };
            let swap = Swap {
                at,
                seen: version,
                next: &next,
                write,
                ended: expired + ended,
                now,
            };
            // Also if nobody waits for it any more, or nobody can say whether it happened.
            let wake = (0 < expired + ended).then(|| self.0.watchers.wake_later(at));
            let swapped = self.0.store.swap(swap).await;
            drop(wake);
            began = self.0.metrics.swapped(began, swapped.is_ok());
            match swapped {
                Ok(()) => {
                    self.0.metrics.ended(Ended::Expired, expired);
                    return Ok(answer);
                }
                Err(StoreError::Conflict(current)) => {
                    self.0.metrics.conflicted();
                    (seen, is_guess) = (current, false);
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Overloaded {
            store: self.0.store.name(),
        })
    }
}

/// Whether somebody has to stand in for the store. While it has too much to do, it is there.
fn is_away(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. })
}

/// 62 bits that nobody can guess, for an id that we mint: of the thread's ChaCha12, which the
/// system seeds, since to ask the system each time costs as much as to decide.
fn random() -> u64 {
    rand::random()
}
