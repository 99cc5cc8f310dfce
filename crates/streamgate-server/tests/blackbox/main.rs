//! Black-box tests: each starts the real binary on a directory and a port of its own, and talks
//! to it as players, operators and attackers do.

mod badinput;
mod bench;
mod crash;
mod events;
mod floods;
mod guarantees;
mod history;
mod leaving;
mod mutated;
mod openapi;
mod overload;
mod race;
mod seed;
mod shutdown;
mod silence;
mod slow;
mod support;
mod trust;
mod walkthrough;
