//! What a token says, and what that proves once its signature is right.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamgate_core::{
    Admitted, Claim, Device, DeviceText, ENDING_MEMORY, Limit, StreamId, UserId, WallTime,
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
    issued_at_seconds: u64,
    /// Whether the stream was admitted without asking the store.
    is_provisional: bool,
    /// All that its token says.
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
        let issued_at_seconds = said.iat;
        let purpose = if said.rpt {
            Purpose::Reports
        } else {
            Purpose::Anything
        };
        Some(Self {
            user: user.ok()?,
            stream: stream.ok()?,
            purpose,
            issued_at_seconds,
            is_provisional: said.prv,
            claims,
        })
    }

    /// Whether the stream's next heartbeat brings a new token.
    pub(crate) fn is_to_be_renewed(&self, now: WallTime) -> bool {
        self.is_provisional || RENEWED_AFTER <= self.age(now)
    }

    /// How long ago its token was minted.
    fn age(&self, now: WallTime) -> Duration {
        Duration::from_secs((now.as_millis() / 1000).saturating_sub(self.issued_at_seconds))
    }

    /// What it proves where nobody knows the stream. An ending is remembered for as long as this
    /// counts, so that no token brings back what ended after it was minted.
    pub(crate) fn claim(&self, now: WallTime) -> Option<Claim> {
        if CLAIM_MAX <= self.age(now) {
            return None;
        }
        let said: Admission<'_> = serde_json::from_str(&self.claims).ok()?;
        let text = |it: Option<Cow<'_, str>>| it.and_then(|it| DeviceText::parse(&it).ok());
        Some(Claim {
            user: self.user.clone(),
            id: self.stream.clone(),
            device: Device {
                id: text(said.dev),
                name: text(said.dnm),
                kind: text(said.dty),
            },
            started_at: WallTime::from_millis(said.sat),
            limit: Limit::new(said.lim)?,
            admitted: if self.is_provisional {
                Admitted::Provisionally
            } else {
                Admitted::ByStore
            },
        })
    }
}

/// What a token says: user, stream and device, how it was admitted, and from when until when, in
/// seconds since 1970.
#[derive(Serialize)]
pub(super) struct Claims<'a> {
    pub(super) sub: &'a str,
    pub(super) sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dev: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dnm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dty: Option<&'a str>,
    /// When the stream was admitted, in milliseconds since 1970.
    pub(super) sat: u64,
    pub(super) lim: u8,
    /// Whether it was admitted without asking the store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) prv: bool,
    /// Whether it is for reports only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) rpt: bool,
    pub(super) iat: u64,
    pub(super) exp: u64,
}

/// What of it is needed to enter the stream again.
#[derive(Deserialize)]
struct Admission<'a> {
    #[serde(borrow, default)]
    dev: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    dnm: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    dty: Option<Cow<'a, str>>,
    sat: u64,
    lim: u8,
}

/// What of it is needed to take it.
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
