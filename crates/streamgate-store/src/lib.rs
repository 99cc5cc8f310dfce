//! Where streamgate keeps its records: one small trait, and the stores behind it.
//!
//! A store keeps a [`Record`](streamgate_core::Record) under a locator and swaps it if it is
//! unchanged. It knows nothing of limits.

#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(feature = "embedded")]
mod embedded;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "shared")]
mod shared;
mod store;
#[cfg_attr(
    not(feature = "embedded"),
    expect(dead_code, reason = "what a journal is read back with")
)]
mod table;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(any(test, feature = "testing"))]
pub mod engines;
#[cfg(any(test, feature = "testing"))]
pub mod flaky;
#[cfg(any(test, feature = "testing"))]
pub mod history;

#[cfg(feature = "dynamodb")]
pub use dynamodb::{Capacity, DynamoDbStore, TableState};
#[cfg(feature = "embedded")]
pub use embedded::{EmbeddedStore, OpenError, Opened};
pub use memory::MemoryStore;
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisUrl};
pub use store::{
    BoxError, EngineTime, LeaseStore, News, StoreError, Swap, Version, Versioned, Write,
};
