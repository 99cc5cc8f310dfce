//! One playback on one device, and its right to its place.

use core::time::Duration;

use minicbor::{Decode, Encode};

use crate::id::StreamId;
use crate::policy::Terms;
use crate::text::{ContentId, DeviceText};
use crate::time::{Timestamp, WallTime};

/// What plays a stream, as far as the client says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Device {
    /// Tells a user's devices apart. Without it a start never replaces an earlier stream of
    /// the same device, since nobody can tell.
    #[n(0)]
    pub id: Option<DeviceText>,
    /// For people: "Living room TV".
    #[n(1)]
    pub name: Option<DeviceText>,
    /// What kind of device it is: "tv", "phone".
    #[n(2)]
    pub kind: Option<DeviceText>,
}

/// Whether the picture moves. A paused stream keeps its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Playback {
    /// It moves.
    #[default]
    #[n(0)]
    Playing,
    /// It stands still.
    #[n(1)]
    Paused,
}

/// Whether a stream with a place has been heard from lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// Heard from within 1.5 heartbeats.
    Live,
    /// Silent for longer; whoever needs the place may have it.
    Suspect,
}

/// A stream's right to its place: it began when its client was last heard and ends a term later.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Lease {
    #[n(0)]
    heard_at: Timestamp,
    #[n(1)]
    term_ms: u32,
    /// How long the client may be silent before it is suspect: 1.5 heartbeats, and as long as
    /// heartbeats may leave the lease as it is.
    #[n(2)]
    patience_ms: Option<u32>,
}

impl Lease {
    pub(crate) fn new(terms: Terms, now: Timestamp) -> Self {
        Self {
            heard_at: now,
            term_ms: millis(terms.lease),
            patience_ms: terms
                .heartbeat
                .map(|interval| millis(interval * 3 / 2 + terms.renew_after)),
        }
    }

    /// When the client was last heard, or the restart that forgave its silence.
    #[must_use]
    pub const fn heard_at(&self) -> Timestamp {
        self.heard_at
    }

    /// The first instant at which the place is free.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.heard_at
            .plus(Duration::from_millis(self.term_ms.into()))
    }

    /// The first instant at which another start may take the place.
    #[must_use]
    pub fn reclaimable_at(&self) -> Timestamp {
        let expires_at = self.expires_at();
        self.patience_ms.map_or(expires_at, |patience| {
            // Silent for exactly 1.5 heartbeats is still live.
            let suspect_at = self
                .heard_at
                .plus(Duration::from_millis(u64::from(patience) + 1));
            suspect_at.min(expires_at)
        })
    }

    /// Live or suspect. The lease is taken to be running.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> StreamState {
        if self.reclaimable_at() <= now {
            StreamState::Suspect
        } else {
            StreamState::Live
        }
    }

    pub(crate) const fn expects_heartbeats(&self) -> bool {
        self.patience_ms.is_some()
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at() <= now
    }

    pub(crate) fn restart(&mut self, now: Timestamp) {
        self.heard_at = now;
    }
}

/// Milliseconds, at most 49 days; no term is longer.
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// One playback on one device that was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Stream {
    /// Its name.
    #[n(0)]
    pub id: StreamId,
    /// Its right to its place.
    #[n(1)]
    pub lease: Lease,
    /// When it was admitted, for people.
    #[n(2)]
    pub started_at: WallTime,
    /// Whether the picture moves.
    #[n(3)]
    pub playback: Playback,
    /// What plays it.
    #[n(4)]
    pub device: Device,
    /// What it shows.
    #[n(5)]
    pub content: Option<ContentId>,
}
