//! That the engines do what the tests of the stores need of them.

mod cluster;
mod dynamodb;
mod fault_proxy;
mod redis;
mod replicas;
