//! The rules of a start.

use alloc::vec::Vec;

use crate::account::{Account, Cause};
use crate::id::StreamId;
use crate::outcome::{Admission, Beat, Denial, Over, Readmitted, Started, TakenIn};
use crate::policy::{LIMIT_MAX, Limit, Policy, Terms};
use crate::request::{Admitted, Claim, Heartbeat, OnLimit, Start};
use crate::stream::{Lease, Playback, Stream, StreamState};
use crate::time::Timestamp;

pub(super) fn start(
    account: &mut Account,
    request: &Start,
    policy: &Policy,
    now: Timestamp,
) -> Started {
    if let Some(stream) = account.stream_mut(&request.id) {
        stream.lease.restart(now);
        let stream = stream.clone();
        return Started::Same(account.place(stream));
    }
    match account.cause_of(&request.id) {
        Some(cause @ (Cause::Stopped | Cause::Replaced(_) | Cause::Evicted)) => {
            return Started::Over(cause.over());
        }
        Some(Cause::Expired(_)) | None => {}
    }
    match streams_to_replace(account, request, policy.limit, now) {
        Ok(replaced) => admit(account, request, policy, replaced, now),
        Err(denial) => Started::Denied(denial),
    }
}

pub(super) fn admission(
    account: &mut Account,
    request: &Start,
    policy: &Policy,
    now: Timestamp,
) -> Admission {
    match streams_to_replace(account, request, policy.limit, now) {
        Ok(replaced) => Admission::Open {
            active: account.streams.len(),
            limit: policy.limit,
            replaced,
        },
        Err(denial) => Admission::Closed(denial),
    }
}

/// Enters a stream of which nobody knows, and of which its player can prove that it was admitted.
/// Where an ending was forgotten it could be that stream's, and nothing is proved.
pub(super) fn readmit(
    account: &mut Account,
    claim: &Claim,
    beat: &Heartbeat,
    terms: Terms,
    now: Timestamp,
) -> Readmitted {
    if account.may_have_forgotten(now) {
        return Readmitted::Known(Beat::Unknown);
    }
    let request = Start {
        user: claim.user.clone(),
        id: claim.id.clone(),
        device: claim.device.clone(),
        content: beat.content.clone(),
        replace: Vec::new(),
        on_limit: OnLimit::Deny,
        started_at: claim.started_at,
    };
    let is_later = |stream: &&Stream| claim.started_at < stream.started_at;
    let successor = account.streams.iter().filter(is_later);
    if let Some(stream) = successor.into_iter().find(|it| yields_to(it, &request)) {
        let by = stream.id.clone();
        return Readmitted::Known(Beat::Over(Over::Replaced { by }));
    }
    // What is known of the user is newer than what the token says.
    let limit = if account.is_empty() {
        claim.limit
    } else {
        account.limit
    };
    let replaced = match (
        streams_to_replace(account, &request, limit, now),
        claim.admitted,
    ) {
        (Ok(replaced), _) => replaced,
        (Err(denial), Admitted::Provisionally) => return Readmitted::Denied(denial),
        (Err(denial), Admitted::ByStore) => match younger(&denial, claim) {
            Some(replaced) => replaced,
            None => return Readmitted::Denied(denial),
        },
    };
    let policy = Policy { limit, terms };
    let Started::Admitted {
        mut place,
        replaced,
    } = admit(account, &request, &policy, replaced, now)
    else {
        unreachable!("to admit is all that it does")
    };
    // Where it stood before.
    if let Some(mut stream) = account.streams.pop() {
        stream.playback = beat.playback.unwrap_or_default();
        place.stream = stream.clone();
        let earlier = |other: &Stream| other.started_at <= stream.started_at;
        let index = account.streams.iter().take_while(|it| earlier(it)).count();
        account.streams.insert(index, stream);
    }
    Readmitted::Entered { place, replaced }
}

/// Takes in a stream that another service admitted.
pub(super) fn take_in(
    account: &mut Account,
    request: &Start,
    policy: &Policy,
    now: Timestamp,
) -> TakenIn {
    if account.stream_mut(&request.id).is_some() {
        return TakenIn::Known;
    }
    if let Some(cause) = account.cause_of(&request.id) {
        return TakenIn::Over(cause.over());
    }
    if account.may_have_forgotten(now) {
        return TakenIn::Forgotten;
    }
    if usize::from(LIMIT_MAX) <= account.streams.len() {
        return TakenIn::Full;
    }
    let limit = if account.is_empty() {
        policy.limit
    } else {
        account.limit
    };
    let terms = policy.terms;
    admit(account, request, &Policy { limit, terms }, Vec::new(), now);
    TakenIn::Entered
}

/// The holders that must go for a stream that started before them: the youngest, one more than
/// the limit lets stay. `None` when that would end one that started earlier.
fn younger(denial: &Denial, claim: &Claim) -> Option<Vec<StreamId>> {
    let excess = (denial.holders.len() + 1).saturating_sub(denial.limit.as_len());
    let mut holders: Vec<&Stream> = denial.holders.iter().collect();
    holders.sort_by_key(|stream| core::cmp::Reverse(stream.started_at));
    holders.truncate(excess);
    let all_later = holders.iter().all(|it| claim.started_at < it.started_at);
    all_later.then(|| holders.into_iter().map(|it| it.id.clone()).collect())
}

/// Which streams must go for the new one to have its place: those that the viewer chose and
/// those of the same device in any case; then, as far as needed, the longest-silent suspects;
/// then, if the request says so, the oldest.
fn streams_to_replace(
    account: &Account,
    request: &Start,
    limit: Limit,
    now: Timestamp,
) -> Result<Vec<StreamId>, Denial> {
    let (yielding, others): (Vec<&Stream>, Vec<&Stream>) = account
        .streams
        .iter()
        .partition(|stream| yields_to(stream, request));
    // How many others are too many once the new stream is in.
    let excess = (others.len() + 1).saturating_sub(limit.as_len());

    let (mut suspects, fresh): (Vec<&Stream>, Vec<&Stream>) = others
        .iter()
        .partition(|stream| stream.lease.state(now) == StreamState::Suspect);
    suspects.sort_by_key(|stream| stream.lease.heard_at());
    suspects.truncate(excess);
    let missing = excess - suspects.len();
    if 0 < missing && request.on_limit == OnLimit::Deny {
        return Err(denial(&others, excess, limit));
    }
    let oldest = fresh.into_iter().take(missing);
    let all = yielding.into_iter().chain(suspects).chain(oldest);
    Ok(all.map(|stream| stream.id.clone()).collect())
}

/// The "no" to a start for which `excess` of the holders, which are at least as many, would
/// have to go.
fn denial(holders: &[&Stream], excess: usize, limit: Limit) -> Denial {
    let mut reclaimable_at: Vec<Timestamp> = holders
        .iter()
        .map(|stream| stream.lease.reclaimable_at())
        .collect();
    reclaimable_at.sort_unstable();
    Denial {
        limit,
        holders: holders.iter().copied().cloned().collect(),
        retry_at: reclaimable_at[excess - 1],
    }
}

/// Whether a stream gives way to this start without being asked.
fn yields_to(stream: &Stream, request: &Start) -> bool {
    let same_device = request.device.id.is_some() && stream.device.id == request.device.id;
    same_device || request.replace.contains(&stream.id)
}

fn admit(
    account: &mut Account,
    request: &Start,
    policy: &Policy,
    replaced: Vec<StreamId>,
    now: Timestamp,
) -> Started {
    let cause = Cause::Replaced(request.id.clone());
    for id in &replaced {
        account.end(id, cause.clone(), now);
    }
    // What expired but would have been replaced can't resume beside its successor.
    account.seal_expired(|stream| yields_to(stream, request), &cause, now);
    account.forget(&request.id);
    account.limit = policy.limit;
    let stream = Stream {
        id: request.id.clone(),
        lease: Lease::new(policy.terms, now),
        started_at: request.started_at,
        playback: Playback::Playing,
        device: request.device.clone(),
        content: request.content.clone(),
    };
    account.streams.push(stream.clone());
    Started::Admitted {
        place: account.place(stream),
        replaced,
    }
}
