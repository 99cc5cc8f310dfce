//! What the stores have in common that keep their records in an engine which other nodes share:
//! the bytes of a value, what this node saw last, and how much it asks at once.

use std::hash::BuildHasher;
use std::time::Duration;

use parking_lot::Mutex;
use streamgate_core::{Locator, Record, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::{StoreError, Swap, Version, Versioned};

/// How long a call may take in all: a node answers 503 no later.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(1);
/// How many calls may be under way at once; more are refused.
pub(crate) const CALLS_MAX: usize = 4096;
/// How many records are remembered, at 150 bytes or so each.
const RECALLED_MAX: usize = 1 << 18;
/// How much longer than it says anything the engine keeps a record: nodes' clocks differ.
const MARGIN: Duration = Duration::from_secs(60);
#[cfg(feature = "redis")]
/// The bytes of a version before those of its record.
pub(crate) const VERSION_BYTES: usize = size_of::<u64>();

/// A record that is to be written: how it is kept, and for how long.
pub(crate) struct Writing {
    pub(crate) version: Version,
    /// The record's bytes; none of an empty one.
    pub(crate) record: Vec<u8>,
    /// From the swap's `now` on.
    pub(crate) lasts: Duration,
}

impl Writing {
    pub(crate) fn of(swap: &Swap<'_>) -> Self {
        if swap.next.is_empty() {
            return Self {
                version: Version::ABSENT,
                record: Vec::new(),
                lasts: Duration::ZERO,
            };
        }
        let forgotten_at = swap.next.forgotten_at().unwrap_or(swap.now);
        Self {
            version: Version::random(),
            record: swap.next.encode(),
            lasts: forgotten_at.since(swap.now) + MARGIN,
        }
    }

    /// When the engine may forget it.
    pub(crate) fn until(&self, now: Timestamp) -> Timestamp {
        now.plus(self.lasts)
    }
}

/// What is kept, from the bytes of its version and its record.
pub(crate) fn versioned(version: u64, record: &[u8]) -> Result<Versioned, StoreError> {
    Ok(Versioned {
        version: Version(version),
        record: Record::decode(record)?,
    })
}

/// Lets so many calls through at once.
pub(crate) struct Gate {
    store: &'static str,
    permits: Semaphore,
}

impl Gate {
    pub(crate) fn new(store: &'static str) -> Self {
        Self {
            store,
            permits: Semaphore::new(CALLS_MAX),
        }
    }

    /// A call's turn, or that there are too many.
    pub(crate) fn enter(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        let overloaded = StoreError::Overloaded { store: self.store };
        self.permits.try_acquire().ok().ok_or(overloaded)
    }
}

/// The records that this node saw or wrote last, as bytes. A newer one takes the room of whatever
/// has the same slot.
pub(crate) struct Recalled {
    slots: Vec<Mutex<Option<Box<Seen>>>>,
    hasher: std::hash::RandomState,
}

struct Seen {
    at: Locator,
    version: Version,
    record: Box<[u8]>,
}

impl Recalled {
    pub(crate) fn new() -> Self {
        Self {
            slots: std::iter::repeat_with(|| Mutex::new(None))
                .take(RECALLED_MAX)
                .collect(),
            hasher: std::hash::RandomState::new(),
        }
    }

    pub(crate) fn put(&self, at: Locator, version: Version, record: &[u8]) {
        let seen = (version != Version::ABSENT).then(|| {
            Box::new(Seen {
                at,
                version,
                record: record.into(),
            })
        });
        *self.slot(at).lock() = seen;
    }

    /// What was seen last, or nothing, which is as good a guess as any.
    pub(crate) fn get(&self, at: Locator) -> Versioned {
        let slot = self.slot(at).lock();
        let seen = slot.as_ref().filter(|seen| seen.at == at);
        let versioned = seen.and_then(|it| versioned(it.version.0, &it.record).ok());
        versioned.unwrap_or_else(Versioned::absent)
    }

    fn slot(&self, at: Locator) -> &Mutex<Option<Box<Seen>>> {
        let hash = self.hasher.hash_one(at);
        let index = usize::try_from(hash % RECALLED_MAX as u64).unwrap_or(0);
        &self.slots[index]
    }
}
