//! A store whose compare is switched off, to see that it is missed.

use std::sync::Arc;

use async_trait::async_trait;
use streamgate_core::{Locator, Timestamp};

use crate::{EngineTime, LeaseStore, StoreError, Swap, Versioned};

/// Swaps whatever is there for what was decided on something else.
pub(super) struct Blind(pub(super) Arc<dyn LeaseStore>);

#[async_trait]
impl LeaseStore for Blind {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn load(&self, at: Locator) -> Result<Versioned, StoreError> {
        self.0.load(at).await
    }

    async fn swap(&self, mut swap: Swap<'_>) -> Result<(), StoreError> {
        loop {
            match self.0.swap(swap).await {
                Err(StoreError::Conflict(current)) => swap.seen = current.version,
                done @ (Ok(())
                | Err(
                    StoreError::Overloaded { .. }
                    | StoreError::Unavailable { .. }
                    | StoreError::Unreadable(_),
                )) => return done,
            }
        }
    }

    fn due(&self, now: Timestamp) -> Vec<Locator> {
        self.0.due(now)
    }

    fn streams_len(&self) -> Option<usize> {
        self.0.streams_len()
    }

    async fn ready(&self) -> Result<Option<EngineTime>, StoreError> {
        self.0.ready().await
    }

    async fn close(&self, now: Timestamp) -> Result<(), StoreError> {
        self.0.close(now).await
    }
}
