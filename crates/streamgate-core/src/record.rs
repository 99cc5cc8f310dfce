//! All streams of a user as one value, and the rules over it.

mod start;

use alloc::boxed::Box;
use alloc::vec::Vec;

use minicbor::{Decode, Encode};

use crate::account::{Account, Cause};
use crate::id::StreamId;
use crate::outcome::{Admission, Beat, Over, Readmitted, Standing, Stopped, TakenIn};
use crate::policy::{Limit, Terms};
use crate::request::{Claim, Heartbeat, Target, Which};
use crate::stream::{Lease, Stream};
use crate::text::UserId;
use crate::time::Timestamp;
use crate::{ENDING_MEMORY, Policy, Start, Started};

/// What a store keeps under one locator: the streams and endings of its user, or of the few
/// users who share the locator. Every rule expires what is over before it decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Record {
    #[n(0)]
    pub(crate) accounts: Vec<Account>,
}

impl Record {
    /// Asks for a place: the same stream again is the same stream; otherwise the streams that
    /// the viewer chose and the device's own earlier ones make room, then suspects, then, if
    /// the caller wants that, the oldest. A denial changes nothing.
    pub fn start(&mut self, request: &Start, policy: &Policy, now: Timestamp) -> Started {
        self.expire(now);
        start::start(self.account_or_new(&request.user), request, policy, now)
    }

    /// Whether `request` would be admitted.
    #[must_use]
    pub fn admission(&self, request: &Start, policy: &Policy, now: Timestamp) -> Admission {
        let mut trial = self.clone();
        trial.expire(now);
        start::admission(trial.account_or_new(&request.user), request, policy, now)
    }

    /// Renews a lease. One that is over takes its place back if there is room.
    pub fn heartbeat(
        &mut self,
        target: Target<'_>,
        beat: &Heartbeat,
        terms: Terms,
        now: Timestamp,
    ) -> Beat {
        self.expire(now);
        let Some(account) = self.account_of(target) else {
            return Beat::Unknown;
        };
        if let Some(stream) = account.stream_mut(target.id) {
            let is_first = !stream.lease.expects_heartbeats() && terms.heartbeat.is_some();
            if !is_first && is_fresh(stream, beat, terms, now) {
                let stream = stream.clone();
                return Beat::Fresh(account.place(stream));
            }
            refresh(stream, beat, terms, now);
            let stream = stream.clone();
            let place = account.place(stream);
            return if is_first {
                Beat::Joined(place)
            } else {
                Beat::Renewed(place)
            };
        }
        let has_room = account.streams.len() < account.limit.as_len();
        match account.cause_of(target.id) {
            None => Beat::Unknown,
            Some(Cause::Expired(stream)) if has_room => {
                let mut stream = Stream::clone(stream);
                refresh(&mut stream, beat, terms, now);
                account.forget(target.id);
                account.streams.push(stream.clone());
                Beat::Resumed(account.place(stream))
            }
            Some(cause) => Beat::Over(cause.over()),
        }
    }

    /// A heartbeat of a stream that its player can prove. What is known of the stream decides as
    /// ever. If nothing is, it is entered with the place that it had: the device's earlier
    /// streams and suspects make room, and, if the store lost it, the youngest of those that
    /// started later.
    pub fn readmit(
        &mut self,
        claim: &Claim,
        beat: &Heartbeat,
        terms: Terms,
        now: Timestamp,
    ) -> Readmitted {
        let target = Target {
            user: Some(&claim.user),
            id: &claim.id,
        };
        let known = self.heartbeat(target, beat, terms, now);
        if known == Beat::Unknown {
            start::readmit(self.account_or_new(&claim.user), claim, beat, terms, now)
        } else {
            Readmitted::Known(known)
        }
    }

    /// Takes in a stream that another service admitted, so that nobody who watches there is dropped:
    /// whatever the limit says, like one that was lowered under running streams, and without ending
    /// others. The user's limit stays as it is, if there is a user.
    pub fn take_in(&mut self, request: &Start, policy: &Policy, now: Timestamp) -> TakenIn {
        self.expire(now);
        start::take_in(self.account_or_new(&request.user), request, policy, now)
    }

    /// Ends a stream for its player. It stays over: also when its start comes later.
    pub fn stop(&mut self, target: Target<'_>, now: Timestamp) -> Stopped {
        self.expire(now);
        let account = match target.user {
            Some(user) => self.account_or_new(user),
            None => match self.account_of(target) {
                Some(account) => account,
                None => return Stopped::Unknown,
            },
        };
        if let Some(stream) = account.end(target.id, Cause::Stopped, now) {
            return Stopped::Ended(stream);
        }
        let stopped = match account.cause_of(target.id) {
            Some(Cause::Stopped | Cause::Replaced(_) | Cause::Evicted) => return Stopped::Already,
            Some(Cause::Expired(_)) => Stopped::Forgone,
            None => Stopped::Noted,
        };
        account.seal(target.id, Cause::Stopped, now);
        stopped
    }

    /// Ends a stream as silence would, but now: its place is free, and a later heartbeat takes one
    /// back if there is room. Returns the stream if it had a place.
    pub fn lapse(&mut self, target: Target<'_>, now: Timestamp) -> Option<Stream> {
        self.expire(now);
        let account = self.account_of(target)?;
        let stream = account.stream_mut(target.id)?.clone();
        account.end(target.id, Cause::Expired(Box::new(stream)), now)
    }

    /// Ends streams of a user for an operator and returns those that had a place. What is
    /// evicted can't resume.
    pub fn evict(&mut self, user: &UserId, which: Which<'_>, now: Timestamp) -> Vec<Stream> {
        self.expire(now);
        let Some(account) = self
            .accounts
            .iter_mut()
            .find(|account| account.user == *user)
        else {
            return Vec::new();
        };
        let is_meant = |id: &StreamId| match which {
            Which::All => true,
            Which::One(one) => id == one,
        };
        account.seal_expired(|stream| is_meant(&stream.id), &Cause::Evicted, now);
        let ids: Vec<StreamId> = account
            .streams
            .iter()
            .map(|stream| stream.id.clone())
            .filter(is_meant)
            .collect();
        ids.iter()
            .filter_map(|id| account.end(id, Cause::Evicted, now))
            .collect()
    }

    /// Whether an ending of this user, or of any, was forgotten before its time: then no claim proves
    /// that a stream that nobody knows is not over.
    #[must_use]
    pub fn may_have_forgotten(&self, user: Option<&UserId>, now: Timestamp) -> bool {
        let mut meant = self
            .accounts
            .iter()
            .filter(|it| user.is_none_or(|user| it.user == *user));
        meant.any(|account| account.may_have_forgotten(now))
    }

    /// Whether an eviction ended just these streams at that time: whoever does not know whether its own
    /// was kept does not end what started since.
    #[must_use]
    pub fn has_evicted(&self, user: &UserId, streams: &[Stream], at: Timestamp) -> bool {
        let account = self.accounts.iter().find(|account| account.user == *user);
        let forget_at = at.plus(ENDING_MEMORY);
        let is_so = |stream: &Stream| {
            let mut endings = account.into_iter().flat_map(|it| &it.endings);
            endings.any(|it| {
                it.id == stream.id && it.cause == Cause::Evicted && it.forget_at == forget_at
            })
        };
        !streams.is_empty() && streams.iter().all(is_so)
    }

    /// Lets time do its work: streams whose lease is over give their places back, and endings
    /// of more than [`ENDING_MEMORY`] ago are forgotten. Returns how many streams expired.
    pub fn expire(&mut self, now: Timestamp) -> usize {
        let expired = self
            .accounts
            .iter_mut()
            .map(|account| account.expire(now))
            .sum();
        self.accounts.retain(|account| !account.is_empty());
        expired
    }

    /// Gives every lease a full term from `now`, as after a restart: a silence that was ours is
    /// nobody's fault. What was heard since then is left as it is.
    pub fn renew_all(&mut self, now: Timestamp) {
        for stream in self
            .accounts
            .iter_mut()
            .flat_map(|account| &mut account.streams)
        {
            stream.lease.restart(now.max(stream.lease.heard_at()));
        }
    }

    /// The streams of a user that have a place, in the order in which they took it, and the
    /// limit of the user's last admitted start.
    #[must_use]
    pub fn streams(&self, user: &UserId, now: Timestamp) -> (Vec<Stream>, Option<Limit>) {
        let Some(account) = self.accounts.iter().find(|account| account.user == *user) else {
            return (Vec::new(), None);
        };
        let live = account
            .streams
            .iter()
            .filter(|stream| !stream.lease.is_over(now));
        (live.cloned().collect(), Some(account.limit))
    }

    /// How it stands with one stream.
    #[must_use]
    pub fn standing(&self, target: Target<'_>, now: Timestamp) -> Standing {
        let Some(account) = self.accounts.iter().find(|it| it.is_meant(target)) else {
            return Standing::Unknown;
        };
        if let Some(stream) = account.streams.iter().find(|it| it.id == *target.id) {
            let until = stream.lease.expires_at();
            return if now < until {
                Standing::Live { until }
            } else if now < until.plus(ENDING_MEMORY) {
                Standing::Over(Over::Expired)
            } else {
                Standing::Unknown
            };
        }
        let ending = account.endings.iter().find(|it| it.id == *target.id);
        match ending.filter(|it| now < it.forget_at) {
            Some(ending) => Standing::Over(ending.cause.over()),
            None => Standing::Unknown,
        }
    }

    /// How many streams are in it, those counted whose lease is over but not yet noticed.
    #[must_use]
    pub fn streams_len(&self) -> usize {
        self.accounts
            .iter()
            .map(|account| account.streams.len())
            .sum()
    }

    /// Whether a store need not keep it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.iter().all(Account::is_empty)
    }

    /// The next instant at which [`Record::expire`] would change something.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        let streams = self.accounts.iter().flat_map(|account| &account.streams);
        let endings = self.accounts.iter().flat_map(|account| &account.endings);
        let expiries = streams.map(|stream| stream.lease.expires_at());
        let forgets = endings.map(|ending| ending.forget_at);
        expiries.chain(forgets).chain(self.dropped()).min()
    }

    /// The first instant at which [`Record::expire`] leaves nothing of it, if nobody is heard
    /// again.
    #[must_use]
    pub fn forgotten_at(&self) -> Option<Timestamp> {
        let streams = self.accounts.iter().flat_map(|account| &account.streams);
        let endings = self.accounts.iter().flat_map(|account| &account.endings);
        let expiries = streams.map(|stream| stream.lease.expires_at().plus(ENDING_MEMORY));
        let forgets = endings.map(|ending| ending.forget_at);
        expiries.chain(forgets).chain(self.dropped()).max()
    }

    fn dropped(&self) -> impl Iterator<Item = Timestamp> {
        self.accounts.iter().filter_map(|it| it.forgot_until)
    }

    fn account_of(&mut self, target: Target<'_>) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|it| it.is_meant(target))
    }

    fn account_or_new(&mut self, user: &UserId) -> &mut Account {
        let index = self
            .accounts
            .iter()
            .position(|account| account.user == *user);
        let index = index.unwrap_or_else(|| {
            self.accounts.push(Account::new(user.clone()));
            self.accounts.len() - 1
        });
        &mut self.accounts[index]
    }
}

/// Whether a heartbeat would tell so little that it may leave the lease as it is.
fn is_fresh(stream: &Stream, beat: &Heartbeat, terms: Terms, now: Timestamp) -> bool {
    let is_news = beat.playback.is_some_and(|it| it != stream.playback)
        || (beat.content.is_some() && beat.content != stream.content);
    !is_news && now.since(stream.lease.heard_at()) < terms.renew_after
}

/// A client was heard: its lease runs a full term, on the terms of clients that send heartbeats.
fn refresh(stream: &mut Stream, beat: &Heartbeat, terms: Terms, now: Timestamp) {
    stream.lease = Lease::new(terms, now);
    if let Some(playback) = beat.playback {
        stream.playback = playback;
    }
    if let Some(content) = &beat.content {
        stream.content = Some(content.clone());
    }
}
