//! What the rules answer. A "no" is a value like any other.

use alloc::vec::Vec;

use crate::id::StreamId;
use crate::policy::Limit;
use crate::stream::Stream;
use crate::text::UserId;
use crate::time::Timestamp;

/// A stream that has its place, and how full its user's account is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose it is.
    pub user: UserId,
    /// The stream.
    pub stream: Stream,
    /// How many streams of the user have a place, this one counted.
    pub active: usize,
    /// How many may.
    pub limit: Limit,
    /// When the first of them becomes reclaimable, should it fall silent.
    pub reclaimable_at: Timestamp,
}

/// Why a stream is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// Its player stopped it.
    Stopped,
    /// It was silent until its lease ended.
    Expired,
    /// A newer start took its place.
    Replaced {
        /// The stream that has it.
        by: StreamId,
    },
    /// An operator ended it.
    Evicted,
}

/// The "no": which streams are in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// How many streams the user may have live at once.
    pub limit: Limit,
    /// The streams in the way, in the order in which they took their places.
    pub holders: Vec<Stream>,
    /// When a place becomes free or reclaimable if nobody in the way is heard again.
    pub retry_at: Timestamp,
}

/// What a start comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// A new stream has a place.
    Admitted {
        /// The place.
        place: Place,
        /// The streams that it replaced.
        replaced: Vec<StreamId>,
    },
    /// The stream was there already; its lease is renewed.
    Same(Place),
    /// The stream was there and is over; a late retry does not bring it back.
    Over(Over),
    /// The limit is reached; nothing changed.
    Denied(Denial),
}

/// What a heartbeat comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The lease runs a full term from now.
    Renewed(Place),
    /// The lease was renewed so lately that it was left as it is.
    Fresh(Place),
    /// The first heartbeat of a client of which none was expected: its lease is renewed on the
    /// terms of clients that send heartbeats.
    Joined(Place),
    /// The lease was over, there was room, and the stream has its place back.
    Resumed(Place),
    /// The player must stop.
    Over(Over),
    /// There is no such stream, and none is remembered.
    Unknown,
}

/// What a heartbeat comes to whose player can prove that its stream was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readmitted {
    /// The stream was known, or there was nothing to prove it by: what any heartbeat comes to.
    Known(Beat),
    /// Nobody knew it, and it has its place.
    Entered {
        /// The place.
        place: Place,
        /// The streams that it replaced.
        replaced: Vec<StreamId>,
    },
    /// Nobody knew it, and there is no place for it. Its player must stop.
    Denied(Denial),
}

/// How it stands with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has its place.
    Live {
        /// When its lease ends, if it is not heard again.
        until: Timestamp,
    },
    /// It had one.
    Over(Over),
    /// There is no such stream, and none is remembered.
    Unknown,
}

/// What it comes to that a stream is taken in which another service admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenIn {
    /// It has a place now.
    Entered,
    /// It had one.
    Known,
    /// It had one, which is over: an ending that is remembered stands.
    Over(Over),
    /// It may be over: more of the user's streams ended of late than are remembered
    /// ([`ENDINGS_MAX`](crate::ENDINGS_MAX)).
    Forgotten,
    /// The user has [`LIMIT_MAX`](crate::LIMIT_MAX) streams.
    Full,
}

/// What a stop comes to. Its caller is told that the stream is over in each case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It had a place, which is free now.
    Ended(Stream),
    /// It was silent until its lease ended; now it can't resume either.
    Forgone,
    /// It was over already.
    Already,
    /// Nobody knew it. It is remembered as stopped, so that its own late start is refused.
    Noted,
    /// Nobody knew it, nor whose it would be.
    Unknown,
}

/// Whether a start would be admitted. Asking changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It would.
    Open {
        /// How many streams the user has live before it.
        active: usize,
        /// How many may be.
        limit: Limit,
        /// The streams that it would replace.
        replaced: Vec<StreamId>,
    },
    /// It would be denied.
    Closed(Denial),
}
