//! The rules of streamgate: what a start, a heartbeat, a stop, an eviction or the passing of
//! time does to a user's record.
//!
//! Everything here is a pure function of a [`Record`], a request, a policy and `now`. There is
//! no I/O, no clock and no randomness in this crate, and no decision about a limit outside it.
#![no_std]

extern crate alloc;

mod account;
mod codec;
mod id;
mod outcome;
mod policy;
mod record;
mod request;
mod stream;
mod text;
mod time;

#[cfg(test)]
mod tests;

pub use codec::DecodeError;
pub use id::{Locator, LocatorKey, StreamId};
pub use outcome::{
    Admission, Beat, Denial, Over, Place, Readmitted, Standing, Started, Stopped, TakenIn,
};
pub use policy::{LIMIT_MAX, Limit, Policy, Terms};
pub use record::Record;
pub use request::{Admitted, Claim, Heartbeat, OnLimit, Start, Target, Which};
pub use stream::{Device, Lease, Playback, Stream, StreamState};
pub use text::{ContentId, DeviceText, TextError, UserId};
pub use time::{Timestamp, WallTime};

/// How long an ending is remembered, so that a late player is told why and a late retry brings
/// nothing back.
pub const ENDING_MEMORY: core::time::Duration = core::time::Duration::from_secs(600);

/// How many endings a user may have remembered at once; the oldest is forgotten first.
pub const ENDINGS_MAX: usize = 64;
