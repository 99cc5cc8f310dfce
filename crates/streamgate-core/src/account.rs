//! One user's streams and endings, and the steps that the rules are made of.

use alloc::boxed::Box;
use alloc::vec::Vec;

use minicbor::{Decode, Encode};

use crate::id::StreamId;
use crate::outcome::{Over, Place};
use crate::policy::Limit;
use crate::request::Target;
use crate::stream::Stream;
use crate::text::UserId;
use crate::time::Timestamp;
use crate::{ENDING_MEMORY, ENDINGS_MAX};

/// One user's part of a record. A stream id stands in it at most once: as a stream or as an
/// ending.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub(crate) struct Account {
    #[n(0)]
    pub(crate) user: UserId,
    /// The limit of the user's last admitted start.
    #[n(1)]
    pub(crate) limit: Limit,
    /// In the order in which they took their places.
    #[n(2)]
    pub(crate) streams: Vec<Stream>,
    /// In the order in which they ended.
    #[n(3)]
    pub(crate) endings: Vec<Ending>,
    /// Until then an ending that was dropped, since there were too many, would be remembered.
    #[n(4)]
    pub(crate) forgot_until: Option<Timestamp>,
}

/// A stream that is over, remembered for [`ENDING_MEMORY`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub(crate) struct Ending {
    #[n(0)]
    pub(crate) id: StreamId,
    #[n(1)]
    pub(crate) cause: Cause,
    #[n(2)]
    pub(crate) forget_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub(crate) enum Cause {
    #[n(0)]
    Stopped,
    /// Keeps the stream, since a late heartbeat may take its place back.
    #[n(1)]
    Expired(#[n(0)] Box<Stream>),
    #[n(2)]
    Replaced(#[n(0)] StreamId),
    #[n(3)]
    Evicted,
}

impl Cause {
    pub(crate) fn over(&self) -> Over {
        match self {
            Self::Stopped => Over::Stopped,
            Self::Expired(_) => Over::Expired,
            Self::Replaced(by) => Over::Replaced { by: by.clone() },
            Self::Evicted => Over::Evicted,
        }
    }
}

impl Account {
    pub(crate) fn new(user: UserId) -> Self {
        Self {
            user,
            limit: Limit::DEFAULT,
            streams: Vec::new(),
            endings: Vec::new(),
            forgot_until: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.endings.is_empty() && self.forgot_until.is_none()
    }

    /// Whether the ending of a stream that nobody knows may be one that was dropped.
    pub(crate) fn may_have_forgotten(&self, now: Timestamp) -> bool {
        self.forgot_until.is_some_and(|until| now < until)
    }

    pub(crate) fn stream_mut(&mut self, id: &StreamId) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id == *id)
    }

    /// How a stream ended, if that is remembered.
    pub(crate) fn cause_of(&self, id: &StreamId) -> Option<&Cause> {
        let ending = self.endings.iter().find(|ending| ending.id == *id)?;
        Some(&ending.cause)
    }

    /// Whether this account has the stream or remembers its ending.
    pub(crate) fn knows(&self, id: &StreamId) -> bool {
        self.streams.iter().any(|stream| stream.id == *id)
            || self.endings.iter().any(|ending| ending.id == *id)
    }

    /// Whether it knows the stream, and is of the user that is named, if one is.
    pub(crate) fn is_meant(&self, target: Target<'_>) -> bool {
        self.knows(target.id) && target.user.is_none_or(|user| self.user == *user)
    }

    /// Moves every stream whose lease is over to the endings and forgets old endings. Returns
    /// how many streams expired.
    pub(crate) fn expire(&mut self, now: Timestamp) -> usize {
        self.endings.retain(|ending| now < ending.forget_at);
        self.forgot_until.take_if(|until| *until <= now);
        let over: Vec<Stream> = self
            .streams
            .extract_if(.., |stream| stream.lease.is_over(now))
            .collect();
        let count = over.len();
        for stream in over {
            // Remembered from the end of the lease, not from whenever somebody looked.
            let forget_at = stream.lease.expires_at().plus(ENDING_MEMORY);
            if now < forget_at {
                let id = stream.id.clone();
                self.remember(Ending {
                    id,
                    cause: Cause::Expired(Box::new(stream)),
                    forget_at,
                });
            }
        }
        count
    }

    /// Ends a stream that has a place; `None` when there is no such stream.
    pub(crate) fn end(&mut self, id: &StreamId, cause: Cause, now: Timestamp) -> Option<Stream> {
        let index = self.streams.iter().position(|stream| stream.id == *id)?;
        let stream = self.streams.remove(index);
        self.seal(id, cause, now);
        Some(stream)
    }

    /// Remembers from now on that a stream is over for good, whatever was remembered of it.
    pub(crate) fn seal(&mut self, id: &StreamId, cause: Cause, now: Timestamp) {
        self.forget(id);
        self.remember(Ending {
            id: id.clone(),
            cause,
            forget_at: now.plus(ENDING_MEMORY),
        });
    }

    /// Seals the streams that expired and that `is_meant`, so that they can't resume.
    pub(crate) fn seal_expired(
        &mut self,
        is_meant: impl Fn(&Stream) -> bool,
        cause: &Cause,
        now: Timestamp,
    ) {
        let expired = self
            .endings
            .iter()
            .filter_map(|ending| match &ending.cause {
                Cause::Expired(stream) if is_meant(stream) => Some(ending.id.clone()),
                Cause::Expired(_) | Cause::Stopped | Cause::Replaced(_) | Cause::Evicted => None,
            });
        for id in expired.collect::<Vec<_>>() {
            self.seal(&id, cause.clone(), now);
        }
    }

    fn remember(&mut self, ending: Ending) {
        if self.endings.len() == ENDINGS_MAX {
            let dropped = self.endings.remove(0);
            self.forgot_until = self.forgot_until.max(Some(dropped.forget_at));
        }
        self.endings.push(ending);
    }

    pub(crate) fn forget(&mut self, id: &StreamId) {
        self.endings.retain(|ending| ending.id != *id);
    }

    /// The place of a stream that has one.
    pub(crate) fn place(&self, stream: Stream) -> Place {
        let reclaimable = self
            .streams
            .iter()
            .map(|stream| stream.lease.reclaimable_at());
        Place {
            user: self.user.clone(),
            reclaimable_at: reclaimable
                .min()
                .unwrap_or_else(|| stream.lease.reclaimable_at()),
            stream,
            active: self.streams.len(),
            limit: self.limit,
        }
    }
}
