//! Who waits for news of a stream: the players that have its events open. The news is only that
//! something ended at a locator; whoever is woken looks the stream up again. So a watcher costs one
//! bit of news, however much happens, and a node that nobody watches on pays one load for each
//! ending.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use streamgate_core::{Locator, StreamId};
use streamgate_store::News;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::limiter::Limiter;

/// How many may watch one stream. The oldest of more is let go: it is the likeliest to be a
/// connection whose client is gone.
const OF_STREAM_MAX: usize = 4;
/// How many may look their streams up at once, when all are woken.
const LOOKS_MAX: usize = 64;

/// All who watch on this node.
pub(crate) struct Watchers {
    max: usize,
    count: AtomicUsize,
    looks: Semaphore,
    bells: Mutex<HashMap<Locator, Vec<Arc<Bell>>>>,
}

/// What wakes one of them.
struct Bell {
    stream: StreamId,
    rung: Notify,
    is_let_go: AtomicBool,
}

/// A place among those who watch; it is free when this is dropped.
pub(crate) struct Watch {
    watchers: Arc<Watchers>,
    at: Locator,
    bell: Arc<Bell>,
}

/// Wakes those who watch somewhere when this is dropped.
pub(crate) struct Wake<'a>(&'a Watchers, Locator);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        let Self(watchers, at) = self;
        watchers.wake(*at);
    }
}

/// Why a watcher was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Something ended where its stream is.
    News,
    /// Others watch the stream in its place.
    LetGo,
}

impl Watchers {
    /// So many may watch at once.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            count: AtomicUsize::new(0),
            looks: Semaphore::new(LOOKS_MAX),
            bells: Mutex::default(),
        })
    }

    /// How many watch.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Watches a stream from now on; `None` when too many do.
    pub(crate) fn enter(self: &Arc<Self>, at: Locator, stream: &StreamId) -> Option<Watch> {
        let mut bells = self.bells.lock();
        let here = bells.get(&at).map_or(&[][..], Vec::as_slice);
        let of_stream = here.iter().filter(|bell| bell.stream == *stream);
        if OF_STREAM_MAX <= of_stream.clone().count() {
            let oldest = of_stream.clone().next().map(Arc::clone);
            if let Some(oldest) = oldest {
                self.remove(&mut bells, at, &oldest);
                oldest.is_let_go.store(true, Ordering::SeqCst);
                oldest.rung.notify_one();
            }
        }
        if self.max <= self.len() {
            return None;
        }
        let bell = Arc::new(Bell {
            stream: stream.clone(),
            rung: Notify::new(),
            is_let_go: AtomicBool::new(false),
        });
        bells.entry(at).or_default().push(Arc::clone(&bell));
        self.count.fetch_add(1, Ordering::SeqCst);
        Some(Watch {
            watchers: Arc::clone(self),
            at,
            bell,
        })
    }

    /// Wakes those who watch there when what it returns is dropped.
    pub(crate) fn wake_later(&self, at: Locator) -> Wake<'_> {
        Wake(self, at)
    }

    /// Something ended there.
    pub(crate) fn wake(&self, at: Locator) {
        if self.len() == 0 {
            return;
        }
        let bells = self.bells.lock();
        for bell in bells.get(&at).into_iter().flatten() {
            bell.rung.notify_one();
        }
    }

    /// News may have been missed: everybody looks.
    pub(crate) fn wake_all(&self) {
        for bell in self.bells.lock().values().flatten() {
            bell.rung.notify_one();
        }
    }

    /// A turn to look a stream up.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        let Ok(turn) = self.looks.acquire().await else {
            unreachable!("nobody closes the semaphore")
        };
        turn
    }

    fn remove(&self, bells: &mut HashMap<Locator, Vec<Arc<Bell>>>, at: Locator, bell: &Arc<Bell>) {
        let Some(here) = bells.get_mut(&at) else {
            return;
        };
        let count = here.len();
        here.retain(|it| !Arc::ptr_eq(it, bell));
        self.count.fetch_sub(count - here.len(), Ordering::SeqCst);
        if here.is_empty() {
            bells.remove(&at);
        }
    }
}

impl Watch {
    /// Waits until there is news, which may have come before.
    pub(crate) async fn woken(&self) -> Woken {
        self.bell.rung.notified().await;
        if self.bell.is_let_go.load(Ordering::SeqCst) {
            Woken::LetGo
        } else {
            Woken::News
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut bells = self.watchers.bells.lock();
        self.watchers.remove(&mut bells, self.at, &self.bell);
    }
}

/// Tells those who watch on this node what others end, until `stop`.
pub(crate) async fn follow(limiter: Limiter, stop: CancellationToken) {
    let Some(mut news) = limiter.store().news() else {
        return;
    };
    while let Some(Some(told)) = stop.run_until_cancelled(news.recv()).await {
        match told {
            News::Ended(at) => limiter.watchers().wake(at),
            News::Missed => limiter.watchers().wake_all(),
        }
    }
}
