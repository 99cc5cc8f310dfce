//! What a token says, and what that proves once its signature is right.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamgate_core::{
    Admitted, Claim, Device, DeviceText, ENDING_MEMORY, Limit, Place, StreamId, UserId, WallTime,
};

/// How far the clocks of nodes may lie apart.
const LEEWAY_SECONDS: u64 = 60;
/// How long after it was minted a token lets its stream in where nobody knows it: a minute less
/// than an ending is remembered, for clocks that differ.
const CLAIM_MAX: Duration = Duration::from_secs(ENDING_MEMORY.as_secs() - LEEWAY_SECONDS);

/// How old a token is when a heartbeat is answered with a new one. Young enough to enter its stream
/// again after the store was away for minutes; old enough that most heartbeats need none.
pub(super) const RENEWED_AFTER: Duration = Duration::from_secs(120);

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// All that the player of a stream may do.
    Anything,
    /// Its reports by CMCD.
    Reports,
}

/// What a token proves: that this stream of this user was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamProof {
    pub(crate) user: UserId,
    pub(crate) stream: StreamId,
    pub(super) purpose: Purpose,
    /// Whether the stream's next heartbeat brings a new token.
    pub(crate) is_to_be_renewed: bool,
    issued_at_seconds: u64,
    /// All that its token says, as JSON.
    claims: String,
}

impl StreamProof {
    /// Reads what a token says whose signature is right; `None` if that is too long ago.
    pub(super) fn read(claims: String, now: WallTime) -> Option<Self> {
        let said: Said<'_> = serde_json::from_str(&claims).ok()?;
        if said.exp.saturating_add(LEEWAY_SECONDS) <= now.as_millis() / 1000 {
            return None;
        }
        let (user, stream) = (UserId::parse(&said.sub), StreamId::parse(&said.sid));
        let purpose = if said.rpt {
            Purpose::Reports
        } else {
            Purpose::Anything
        };
        Some(Self {
            user: user.ok()?,
            stream: stream.ok()?,
            purpose,
            is_to_be_renewed: said.prv || RENEWED_AFTER <= age(said.iat, now),
            issued_at_seconds: said.iat,
            claims,
        })
    }

    /// What it proves where nobody knows the stream. An ending is remembered for as long as this
    /// counts, so that no token brings back what ended after it was minted.
    pub(crate) fn claim(&self, now: WallTime) -> Option<Claim> {
        if CLAIM_MAX <= age(self.issued_at_seconds, now) {
            return None;
        }
        let Entering { adm, prv } = serde_json::from_str(&self.claims).ok()?;
        let Admission(started_at_ms, limit, id, name, kind) = adm;
        let text = |it: &str| DeviceText::parse(it).ok();
        Some(Claim {
            user: self.user.clone(),
            id: self.stream.clone(),
            device: Device {
                id: text(&id),
                name: text(&name),
                kind: text(&kind),
            },
            started_at: WallTime::from_millis(started_at_ms),
            limit: Limit::new(limit)?,
            admitted: if prv {
                Admitted::Provisionally
            } else {
                Admitted::ByStore
            },
        })
    }
}

/// How old a token is.
fn age(issued_at_seconds: u64, now: WallTime) -> Duration {
    Duration::from_secs((now.as_millis() / 1000).saturating_sub(issued_at_seconds))
}

/// What a token says: user and stream, how it was admitted, and from when until when, in seconds
/// since 1970.
#[derive(Serialize)]
pub(super) struct Claims<'a> {
    pub(super) sub: &'a str,
    pub(super) sid: &'a str,
    pub(super) adm: Admission<'a>,
    /// Whether it was admitted without asking the store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) prv: bool,
    /// Whether it is for reports only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) rpt: bool,
    pub(super) iat: u64,
    pub(super) exp: u64,
}

/// An admission. One array without names, since each heartbeat carries it and few read it.
#[derive(Serialize, Deserialize)]
pub(super) struct Admission<'a>(
    // When it was, in milliseconds since 1970.
    u64,
    // The limit.
    u8,
    // The device's id, name and kind; empty is what it did not say.
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
);

impl<'a> Admission<'a> {
    pub(super) fn of(place: &'a Place) -> Self {
        let stream = &place.stream;
        let [id, name, kind] = [&stream.device.id, &stream.device.name, &stream.device.kind]
            .map(|it| it.as_ref().map_or("", DeviceText::as_str).into());
        Self(
            stream.started_at.as_millis(),
            place.limit.get(),
            id,
            name,
            kind,
        )
    }
}

/// What of a token is needed to enter its stream again.
#[derive(Deserialize)]
struct Entering<'a> {
    #[serde(borrow)]
    adm: Admission<'a>,
    #[serde(default)]
    prv: bool,
}

/// What of a token is needed to take it.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    sub: Cow<'a, str>,
    #[serde(borrow)]
    sid: Cow<'a, str>,
    #[serde(default)]
    prv: bool,
    #[serde(default)]
    rpt: bool,
    iat: u64,
    exp: u64,
}
