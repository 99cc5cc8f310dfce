//! That the engines do what the tests of the stores need of them.

mod cluster;
mod redis;
mod replicas;
