//! That the engines do what the tests of the stores need of them.

mod redis;
mod replicas;
