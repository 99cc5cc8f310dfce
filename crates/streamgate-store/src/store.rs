//! The seam: what every store can do.

use std::time::Duration;

use async_trait::async_trait;
use streamgate_core::{DecodeError, Locator, Record, Timestamp, WallTime};
use tokio::sync::mpsc;

/// Any error that caused another.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Which writing of a record this is. Two different writings of a record never share a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub(crate) u64);

impl Version {
    /// The version of a record that is not there.
    pub const ABSENT: Self = Self(0);

    /// One that nobody has had, by chance: 63 bits.
    #[cfg(feature = "shared")]
    pub(crate) fn random() -> Self {
        Self(rand::random::<u64>() | 1)
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// Which writing it is.
    pub version: Version,
    /// The record; empty when there is none.
    pub record: Record,
}

impl Versioned {
    /// What a locator holds to which nothing was ever written.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            version: Version::ABSENT,
            record: Record::default(),
        }
    }
}

/// What must be true before a swap is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The record survives a crash: a start, a stop, a replacement, an eviction.
    Durable,
    /// The record is swapped; a crash may take this write back, but no durable one before it. A
    /// heartbeat: a restart renews every lease anyway.
    Soft,
}

/// One record to put in the place of another.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    /// Under which locator.
    pub at: Locator,
    /// The version that was read; nothing happens if it is no longer there.
    pub seen: Version,
    /// What to keep. An empty record is removed.
    pub next: &'a Record,
    /// What must be true before the answer.
    pub write: Write,
    /// How many streams it ends. If any, it is told to [`LeaseStore::news`] when it happens.
    pub ended: usize,
    /// The lease clock at the decision. A durable write keeps it as the watermark from which
    /// the lease clock goes on after a restart.
    pub now: Timestamp,
}

/// What the clock of an engine showed: not before and not after these, at some instant between
/// the question and its answer. The zero of the engine's clock is 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineTime {
    /// Not before this.
    pub earliest: Timestamp,
    /// Not after this.
    pub latest: Timestamp,
}

impl EngineTime {
    /// How far a clock lies outside of this that shows `wall` now.
    #[must_use]
    pub fn apart_from(&self, wall: WallTime) -> Duration {
        let wall = Timestamp::from_millis(wall.as_millis());
        self.earliest.since(wall).max(wall.since(self.latest))
    }
}

/// What other nodes over the same engine did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Somebody ended streams there. This node may have been it.
    Ended(Locator),
    /// From now on news is told; what happened before may not have been.
    Missed,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another writer came first; decide again on what it left.
    #[error("the record changed since it was read")]
    Conflict(Versioned),
    /// More writes wait than the store lets wait. Worth a retry a little later.
    #[error("the {store} store has too many writes waiting")]
    Overloaded {
        /// Which store.
        store: &'static str,
    },
    /// The store did not do it, or can't say whether it did. Worth a retry.
    #[error("the {store} store is unavailable")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// Why.
        source: BoxError,
    },
    /// What is kept under this locator is no record. No retry helps.
    #[error("a record is not readable")]
    Unreadable(#[from] DecodeError),
}

/// Keeps records. What it shows is what was last swapped in; what it has answered to a
/// [`Write::Durable`] stays after a crash, and so does everything that was swapped in before.
#[async_trait]
pub trait LeaseStore: Send + Sync + 'static {
    /// What people call it: the word of the `store` setting.
    fn name(&self) -> &'static str;

    /// What was there when this node last looked, or that it may never have been anything: good
    /// enough to try a swap, which saves a round trip, and for nothing else. A store that answers
    /// `None` is asked instead.
    fn recall(&self, _: Locator) -> Option<Versioned> {
        None
    }

    /// Reads a record. What it shows may not be durable yet; a decision that says "yes" because
    /// of it goes through [`LeaseStore::swap`], which waits.
    ///
    /// # Errors
    /// All but [`StoreError::Conflict`].
    async fn load(&self, at: Locator) -> Result<Versioned, StoreError>;

    /// Puts a record in the place of the one that was seen. Answers when the write is as
    /// durable as asked for, and every earlier durable write to this record is on disk too.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] with the current record when it is not the one that was seen;
    /// nothing is changed. After [`StoreError::Unavailable`] the swap may have happened.
    async fn swap(&self, swap: Swap<'_>) -> Result<(), StoreError>;

    /// The next few locators whose records have something to expire at `now`; successive calls
    /// go through the whole store. Each call does a bounded piece of that. A store that expires
    /// records by itself answers none.
    fn due(&self, now: Timestamp) -> Vec<Locator>;

    /// How many streams it holds, those counted whose lease is over but not yet noticed; `None`
    /// where only the engine behind it could tell.
    fn streams_len(&self) -> Option<usize>;

    /// What nodes over the same engine end, from now on, each at most once, until the receiver is
    /// dropped. `None` where there is only this node, or the engine has no way to tell.
    fn news(&self) -> Option<mpsc::Receiver<News>> {
        None
    }

    /// Whether the store can take durable writes now; and what an engine that several nodes share
    /// has on its clock, since they must agree on the time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it can't.
    async fn ready(&self) -> Result<Option<EngineTime>, StoreError>;

    /// Finishes what waits and lets go of the store, at the end of the process.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when something that waited could not be written.
    async fn close(&self, now: Timestamp) -> Result<(), StoreError>;
}
