//! Where streamgate keeps its records: one small trait, and the stores behind it.
//!
//! A store keeps a [`Record`](streamgate_core::Record) under a locator and swaps it if it is
//! unchanged. It knows nothing of limits.

mod embedded;
mod memory;
mod store;
mod table;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(any(test, feature = "testing"))]
pub mod engines;
#[cfg(any(test, feature = "testing"))]
pub mod flaky;

pub use embedded::{EmbeddedStore, OpenError, Opened};
pub use memory::MemoryStore;
pub use store::{BoxError, LeaseStore, StoreError, Swap, Version, Versioned, Write};
