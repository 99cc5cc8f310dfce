//! A store that fails on command: what the tests of whoever uses a store put in its place.
//!
//! Faults come from a script, one for each swap, or at random from a seed; besides, the store
//! can be down, it can hold every call until it is told to go on, and it can let a test act
//! between the load and the swap of somebody else.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use streamgate_core::{Locator, Timestamp};
use tokio::sync::{mpsc, watch};

use crate::conformance::Random;
use crate::store::{EngineTime, LeaseStore, News, StoreError, Swap, Versioned};

/// What happens to one swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the swap is done.
    None,
    /// The store does not do it and says that it is unavailable.
    Before,
    /// The store does it, and the answer is lost: it says that it is unavailable.
    After,
    /// The store does not do it and says that too many writes wait.
    Overloaded,
}

type Act = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A store around another one.
pub struct Flaky {
    below: Arc<dyn LeaseStore>,
    state: Mutex<State>,
    is_paused: watch::Sender<bool>,
}

struct State {
    random: Random,
    /// Of 100 swaps with no fault from the script, how many get one at random.
    percent: u64,
    script: VecDeque<Fault>,
    acts: VecDeque<Act>,
    is_down: bool,
    guess: Option<Versioned>,
    time: Option<EngineTime>,
    loads: usize,
    swaps: usize,
}

impl Flaky {
    /// A store that does what `below` does, until told otherwise.
    #[must_use]
    pub fn new(below: Arc<dyn LeaseStore>, seed: u64) -> Self {
        let state = State {
            random: Random(seed),
            percent: 0,
            script: VecDeque::new(),
            acts: VecDeque::new(),
            is_down: false,
            guess: None,
            time: None,
            loads: 0,
            swaps: 0,
        };
        Self {
            below,
            state: Mutex::new(state),
            is_paused: watch::Sender::new(false),
        }
    }

    /// What happens to the next swaps, one after the other.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().script.extend(faults);
    }

    /// From now on so many of 100 swaps fail at random, half of them after they were done.
    pub fn fail_at_random(&self, percent: u64) {
        self.state.lock().percent = percent;
    }

    /// The next swap waits until `act` is over: whatever that writes was written between the
    /// load and the swap of its caller. Of several acts, each takes one swap. The swaps inside
    /// an act go through untouched when they go to the store below.
    pub fn before_next_swap<F>(&self, act: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let act: Act = Box::new(|| Box::pin(act()));
        self.state.lock().acts.push_back(act);
    }

    /// While it is down, every load and swap fails and the store is not ready.
    pub fn set_down(&self, is_down: bool) {
        self.state.lock().is_down = is_down;
    }

    /// From now on this is what is recalled of every record, right or wrong.
    pub fn recall_always(&self, guess: Versioned) {
        self.state.lock().guess = Some(guess);
    }

    /// From now on this is on the clock of the engine.
    pub fn show_time(&self, time: EngineTime) {
        self.state.lock().time = Some(time);
    }

    /// Loads and swaps wait until [`Flaky::release`].
    pub fn pause(&self) {
        self.is_paused.send_replace(true);
    }

    /// Ends [`Flaky::pause`].
    pub fn release(&self) {
        self.is_paused.send_replace(false);
    }

    /// How many loads and how many swaps were asked for.
    #[must_use]
    pub fn calls(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.loads, state.swaps)
    }

    async fn until_released(&self) {
        let mut is_paused = self.is_paused.subscribe();
        // An error means that the store is gone, and then nobody waits here.
        let released = is_paused.wait_for(|is_paused| !is_paused).await;
        drop(released);
    }

    fn check_up(&self) -> Result<(), StoreError> {
        if self.state.lock().is_down {
            Err(self.unavailable("it is down"))
        } else {
            Ok(())
        }
    }

    fn unavailable(&self, why: &str) -> StoreError {
        StoreError::Unavailable {
            store: self.below.name(),
            source: why.into(),
        }
    }
}

impl State {
    fn next_fault(&mut self) -> Fault {
        if let Some(fault) = self.script.pop_front() {
            fault
        } else if self.random.below(100) < self.percent {
            [Fault::Before, Fault::After][usize::from(self.random.once_in(2))]
        } else {
            Fault::None
        }
    }
}

#[async_trait]
impl LeaseStore for Flaky {
    fn name(&self) -> &'static str {
        self.below.name()
    }

    fn recall(&self, at: Locator) -> Option<Versioned> {
        let guess = self.state.lock().guess.clone();
        guess.or_else(|| self.below.recall(at))
    }

    async fn load(&self, at: Locator) -> Result<Versioned, StoreError> {
        self.state.lock().loads += 1;
        self.until_released().await;
        self.check_up()?;
        self.below.load(at).await
    }

    async fn swap(&self, swap: Swap<'_>) -> Result<(), StoreError> {
        let (act, fault) = {
            let mut state = self.state.lock();
            state.swaps += 1;
            (state.acts.pop_front(), state.next_fault())
        };
        self.until_released().await;
        self.check_up()?;
        if let Some(act) = act {
            act().await;
        }
        match fault {
            Fault::None => self.below.swap(swap).await,
            Fault::Before => Err(self.unavailable("it failed before the swap")),
            Fault::After => {
                self.below.swap(swap).await?;
                Err(self.unavailable("the answer was lost"))
            }
            Fault::Overloaded => Err(StoreError::Overloaded {
                store: self.below.name(),
            }),
        }
    }

    fn due(&self, now: Timestamp) -> Vec<Locator> {
        self.below.due(now)
    }

    fn streams_len(&self) -> Option<usize> {
        self.below.streams_len()
    }

    fn news(&self) -> Option<mpsc::Receiver<News>> {
        self.below.news()
    }

    async fn ready(&self) -> Result<Option<EngineTime>, StoreError> {
        self.check_up()?;
        let below = self.below.ready().await?;
        Ok(self.state.lock().time.or(below))
    }

    async fn close(&self, now: Timestamp) -> Result<(), StoreError> {
        self.below.close(now).await
    }
}
