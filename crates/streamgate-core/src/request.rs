//! What callers ask of a record.

use alloc::vec::Vec;

use crate::id::StreamId;
use crate::policy::Limit;
use crate::stream::{Device, Playback};
use crate::text::{ContentId, UserId};
use crate::time::WallTime;

/// What a start at the limit does when no holder is suspect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLimit {
    /// It is denied.
    #[default]
    Deny,
    /// It replaces the user's oldest stream.
    ReplaceOldest,
}

/// A player asks for a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Who asks.
    pub user: UserId,
    /// What the stream will be called; the same id again is the same stream.
    pub id: StreamId,
    /// What will play it. Its own earlier stream is replaced.
    pub device: Device,
    /// What it will show.
    pub content: Option<ContentId>,
    /// Streams of this user that the viewer chose to end for it.
    pub replace: Vec<StreamId>,
    /// What happens at the limit.
    pub on_limit: OnLimit,
    /// The time on the wall, for people.
    pub started_at: WallTime,
}

/// A player says that it still plays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Whether the picture moves; nothing said, nothing changed.
    pub playback: Option<Playback>,
    /// What it shows now (a zap keeps the place); nothing said, nothing changed.
    pub content: Option<ContentId>,
}

/// What a player can prove of a stream that was admitted: enough to enter it where nobody knows
/// it any more, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub user: UserId,
    /// Its name.
    pub id: StreamId,
    /// What plays it.
    pub device: Device,
    /// When it was admitted.
    pub started_at: WallTime,
    /// How many streams the user could have live then.
    pub limit: Limit,
    /// How it was admitted.
    pub admitted: Admitted,
}

/// How a stream was admitted of which a store knows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It had its place, and the store lost it: it goes before streams that started later.
    ByStore,
    /// The store was away and nobody looked at the limit: it gets a place that is free.
    Provisionally,
}

/// Which stream of a record is meant. An id that we minted is enough by itself; one that a
/// client chose is only unique together with its user.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Whose stream, when the caller says.
    pub user: Option<&'a UserId>,
    /// Which.
    pub id: &'a StreamId,
}

/// Which of a user's streams an operator evicts.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Every one.
    All,
    /// This one.
    One(&'a StreamId),
}
