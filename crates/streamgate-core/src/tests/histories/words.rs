//! What is asked and answered, in numbers: the words that the model and the rules share.

use alloc::vec::Vec;

/// What callers do. Names are small numbers; a device 0 does not say who it is.
#[derive(Clone, Debug)]
pub(in crate::tests) enum Op {
    Start(Ask),
    Heartbeat {
        user: u8,
        id: u8,
        paused: Option<bool>,
        content: Option<u8>,
    },
    Stop {
        user: u8,
        id: u8,
    },
    Lapse {
        user: u8,
        id: u8,
    },
    EvictOne {
        user: u8,
        id: u8,
    },
    EvictAll {
        user: u8,
    },
    Look,
    Restart,
}

/// A start.
#[derive(Clone, Debug)]
pub(in crate::tests) struct Ask {
    pub(in crate::tests) user: u8,
    pub(in crate::tests) id: u8,
    pub(in crate::tests) device: u8,
    pub(in crate::tests) replace: Vec<u8>,
    pub(in crate::tests) replace_oldest: bool,
    pub(in crate::tests) limit: u8,
    pub(in crate::tests) lease: u64,
    pub(in crate::tests) patience: Option<u64>,
}

/// What they are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tests) enum Answer {
    Admitted(Taken, Vec<u8>),
    Same(Taken),
    Denied {
        limit: u8,
        holders: Vec<u8>,
        retry_at: u64,
    },
    Renewed(Taken),
    Resumed(Taken),
    Over(Why),
    Unknown,
    Ended(u8),
    Forgone,
    Already,
    Noted,
    Lapsed(Option<u8>),
    Evicted(Vec<u8>),
    Expired(usize),
    Restarted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tests) struct Taken {
    pub(in crate::tests) user: u8,
    pub(in crate::tests) stream: Seen,
    pub(in crate::tests) active: usize,
    pub(in crate::tests) limit: u8,
    pub(in crate::tests) reclaimable_at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tests) enum Why {
    Stopped,
    Expired,
    Replaced(u8),
    Evicted,
}

/// What everybody may see of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tests) struct Seen {
    pub(in crate::tests) id: u8,
    pub(in crate::tests) device: u8,
    pub(in crate::tests) started: u64,
    pub(in crate::tests) heard: u64,
    pub(in crate::tests) expires: u64,
    pub(in crate::tests) paused: bool,
    pub(in crate::tests) content: Option<u8>,
}
