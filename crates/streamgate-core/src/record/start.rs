//! The rules of a start.

use alloc::vec::Vec;

use crate::account::{Account, Cause};
use crate::id::StreamId;
use crate::outcome::{Admission, Denial, Started};
use crate::policy::{Limit, Policy};
use crate::request::{OnLimit, Start};
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
