//! The real engines behind the stores, as child processes of a test, and proxies that break what
//! goes to them.
//!
//! Everything listens on loopback, keeps its files in a temporary directory and ends with its
//! value, or with the test process if that ends first. Waits are for conditions; past a deadline
//! they panic with the end of the engine's log.

mod cluster;
mod dynamodb;
mod fault_proxy;
mod http;
mod ports;
mod process;
mod redis;
mod replicas;
mod sentinel;
mod sockets;
mod throttling_proxy;
mod wait;

#[cfg(test)]
mod tests;

pub use cluster::RedisCluster;
pub use dynamodb::{DynamoDbLocal, call_dynamodb};
pub use fault_proxy::{FaultCounts, FaultProxy};
pub use ports::Port;
pub use redis::{Make, RedisServer, RedisSetup};
pub use replicas::RedisReplicas;
pub use sentinel::RedisSentinel;
pub use throttling_proxy::{Odds, ThrottlingProxy, Trouble, TroubleCounts};
