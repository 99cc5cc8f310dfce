//! What a start may take: the limit, and the terms of its lease.

use core::fmt;
use core::num::NonZeroU8;
use core::time::Duration;

use minicbor::{Decode, Encode};

/// The highest limit that can be set.
pub const LIMIT_MAX: u8 = 64;

/// How many streams a user may have live at once: 1 to [`LIMIT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Limit(#[n(0)] NonZeroU8);

impl Limit {
    /// The limit of a user about whom nothing else is said.
    pub const DEFAULT: Self = Self(NonZeroU8::new(3).expect("3 is not zero"));

    /// Takes 1 to [`LIMIT_MAX`]; anything else is no limit.
    #[must_use]
    pub fn new(streams: u8) -> Option<Self> {
        let streams = NonZeroU8::new(streams)?;
        (streams.get() <= LIMIT_MAX).then_some(Self(streams))
    }

    /// The number of streams.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    pub(crate) fn as_len(self) -> usize {
        usize::from(self.get())
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// The terms of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a stream keeps its place without being heard.
    pub lease: Duration,
    /// How often its client sends heartbeats. `None` for a client that sends none: its stream
    /// is never suspect.
    pub heartbeat: Option<Duration>,
    /// How old a lease must be before a heartbeat renews it; a fresher one is left as it is, which
    /// costs no write. Silence is forgiven for so much longer.
    pub renew_after: Duration,
}

/// What decides a start besides the record: the limit, and the terms of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many streams the user may have live at once.
    pub limit: Limit,
    /// What the new stream's lease will be.
    pub terms: Terms,
}
