//! The store that forgets everything when the process ends.

use async_trait::async_trait;
use streamgate_core::{Locator, Timestamp};

use crate::store::{EngineTime, LeaseStore, StoreError, Swap, Versioned};
use crate::table::Table;

/// Records in memory only, for trials and tests.
pub struct MemoryStore {
    table: Table,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            table: Table::new(Timestamp::default()),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn load(&self, at: Locator) -> Result<Versioned, StoreError> {
        self.table.load(at)
    }

    async fn swap(&self, swap: Swap<'_>) -> Result<(), StoreError> {
        self.table.swap(swap, |_, _| Ok(0)).map(drop)
    }

    fn due(&self, now: Timestamp) -> Vec<Locator> {
        self.table.due(now)
    }

    fn streams_len(&self) -> Option<usize> {
        Some(self.table.streams_len())
    }

    async fn ready(&self) -> Result<Option<EngineTime>, StoreError> {
        Ok(None)
    }

    async fn close(&self, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
}
