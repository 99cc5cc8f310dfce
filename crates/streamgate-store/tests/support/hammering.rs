//! The work of the hammer: a few users, four callers, every answer on a line of its own.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use streamgate_core::{
    Device, Heartbeat, Limit, Locator, OnLimit, Policy, Record, Start, Started, Stopped, StreamId,
    Target, Terms, Timestamp, UserId, WallTime,
};
use streamgate_store::{BoxError, EmbeddedStore, LeaseStore, StoreError, Swap, Write};
use tokio::time::Instant;

/// How many users there are, each under the locator of the same number.
pub(crate) const USERS: u64 = 6;
/// The locator of the user who only sends heartbeats.
const BEATING: u64 = 1_000;
const CALLERS: u64 = 4;
const NOW: Timestamp = Timestamp::from_millis(1);
const POLICY: Policy = Policy {
    limit: Limit::DEFAULT,
    terms: Terms {
        lease: Duration::from_secs(90),
        heartbeat: Some(Duration::from_secs(20)),
        renew_after: Duration::ZERO,
    },
};

/// How much to do.
pub(crate) struct Plan {
    /// Begins every stream id, and sets the streams of one run apart from those of another.
    pub(crate) name: String,
    /// How many starts and stops are to be answered.
    pub(crate) ops: u64,
    pub(crate) sends_beats: bool,
    /// How long the store may take nothing before it is given up.
    pub(crate) patience: Duration,
}

/// Says what is there: a line for each live stream.
///
/// # Errors
/// When the directory does not open or nobody listens.
pub(crate) fn show(dir: &Path) -> Result<(), BoxError> {
    runtime()?.block_on(async {
        let store = EmbeddedStore::open(dir, None)?.store;
        for place in 0..USERS {
            let record = store.load(Locator::from_bits(place)).await?.record;
            for stream in record.streams(&user(), NOW).0 {
                say(&format!("live {place} {}", stream.id))?;
            }
        }
        Ok(())
    })
}

/// Hammers.
///
/// # Errors
/// When the directory does not open or nobody listens.
pub(crate) fn run(dir: &Path, plan: Plan) -> Result<(), BoxError> {
    let runtime = runtime()?;
    let opened = EmbeddedStore::open(dir, None)?;
    say(&format!("opened with {} streams", opened.streams))?;
    let store = Rc::new(opened.store);
    let hammer = Rc::new(Hammer {
        store: Rc::clone(&store),
        answered: Cell::new(0),
        plan,
    });
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| tokio::task::spawn_local(Rc::clone(&hammer).call(number)))
            .collect();
        let watch = tokio::task::spawn_local(Rc::clone(&hammer).watch());
        for caller in callers {
            caller.await??;
        }
        watch.await??;
        say("done")
    })?;
    // As after kill -9: nothing is closed, nothing is dropped.
    std::process::abort()
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
}

/// One line, on its way before anything else happens.
fn say(line: &str) -> Result<(), BoxError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

struct Hammer {
    store: Rc<EmbeddedStore>,
    answered: Cell<u64>,
    plan: Plan,
}

impl Hammer {
    fn is_done(&self) -> bool {
        self.plan.ops <= self.answered.get()
    }

    /// Starts streams, and stops the oldest where there is no room.
    async fn call(self: Rc<Self>, caller: u64) -> Result<(), BoxError> {
        let mut last_answer = Instant::now();
        for number in 0.. {
            if self.is_done() || self.plan.patience < last_answer.elapsed() {
                break;
            }
            let place = (caller + number) % USERS;
            let stream = StreamId::parse(&format!("{}-{caller}-{number}", self.plan.name))?;
            let asked = Instant::now();
            match self.start_or_stop(place, stream).await {
                Ok(answer) => {
                    say(&format!("{answer} in {} ms", asked.elapsed().as_millis()))?;
                    self.answered.set(self.answered.get() + 1);
                    last_answer = Instant::now();
                }
                Err(StoreError::Unavailable { .. } | StoreError::Overloaded { .. }) => {
                    say("refused")?;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error @ (StoreError::Conflict(_) | StoreError::Unreadable(_))) => {
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    async fn start_or_stop(&self, place: u64, id: StreamId) -> Result<String, StoreError> {
        let request = Start {
            user: user(),
            id,
            device: Device::default(),
            content: None,
            replace: Vec::new(),
            on_limit: OnLimit::Deny,
            started_at: WallTime::default(),
        };
        let started = self.decide(place, Write::Durable, |record| {
            match record.start(&request, &POLICY, NOW) {
                Started::Denied(denial) => Err(denial.holders[0].id.clone()),
                Started::Admitted { .. } => Ok(()),
                no_new_stream @ (Started::Same(_) | Started::Over(_)) => {
                    panic!("run under another --name: {no_new_stream:?}")
                }
            }
        });
        let Err(oldest) = started.await? else {
            return Ok(format!("started {place} {}", request.id));
        };
        // From here on it may be gone, whatever is answered.
        let said = say(&format!("stopping {place} {oldest}"));
        said.map_err(|source| StoreError::Unavailable {
            store: "hammer",
            source,
        })?;
        let stop = self.decide(place, Write::Durable, |record| {
            let user = Some(&request.user);
            match record.stop(Target { user, id: &oldest }, NOW) {
                Stopped::Unknown => Err(()),
                Stopped::Ended(_) | Stopped::Forgone | Stopped::Already | Stopped::Noted => Ok(()),
            }
        });
        let _ = stop.await?;
        Ok(format!("stopped {place} {oldest}"))
    }

    /// Load, decide, swap, and again on what a conflict shows.
    async fn decide<E>(
        &self,
        place: u64,
        write: Write,
        rule: impl Fn(&mut Record) -> Result<(), E>,
    ) -> Result<Result<(), E>, StoreError> {
        let at = Locator::from_bits(place);
        let mut seen = self.store.load(at).await?;
        loop {
            if let Err(no) = rule(&mut seen.record) {
                return Ok(Err(no));
            }
            let swap = Swap {
                ended: 0,
                at,
                seen: seen.version,
                next: &seen.record,
                write,
                now: NOW,
            };
            match self.store.swap(swap).await {
                Ok(()) => return Ok(Ok(())),
                Err(StoreError::Conflict(current)) => seen = current,
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends heartbeats on a stream that has been durable for long, and says when the store
    /// stops and begins again to be ready.
    async fn watch(self: Rc<Self>) -> Result<(), BoxError> {
        if !self.plan.sends_beats {
            return Ok(());
        }
        let id = StreamId::parse("beating")?;
        let user = user();
        let target = Target {
            user: Some(&user),
            id: &id,
        };
        let request = Start {
            user: user.clone(),
            id: id.clone(),
            device: Device::default(),
            content: None,
            replace: Vec::new(),
            on_limit: OnLimit::Deny,
            started_at: WallTime::default(),
        };
        let start = self.decide(BEATING, Write::Durable, |record| {
            record.start(&request, &POLICY, NOW);
            Ok::<(), ()>(())
        });
        let _ = start.await?;
        let mut beats = Beats::default();
        let mut last_answers = (0, Instant::now());
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        while !self.is_done() && last_answers.1.elapsed() < self.plan.patience {
            tick.tick().await;
            if self.answered.get() != last_answers.0 {
                last_answers = (self.answered.get(), Instant::now());
            }
            beats.note(self.store.ready().await.is_ok())?;
            let asked = Instant::now();
            let beat = self.decide(BEATING, Write::Soft, |record| {
                record.heartbeat(target, &Heartbeat::default(), POLICY.terms, NOW);
                Ok::<(), ()>(())
            });
            let _ = beat.await?;
            beats.count(asked.elapsed());
        }
        beats.say()
    }
}

/// How heartbeats were answered.
#[derive(Default)]
struct Beats {
    answered: u64,
    answered_while_not_ready: u64,
    longest: Duration,
    not_ready_since: Option<Instant>,
}

impl Beats {
    fn note(&mut self, is_ready: bool) -> Result<(), BoxError> {
        match (is_ready, self.not_ready_since) {
            (false, None) => {
                self.not_ready_since = Some(Instant::now());
                say("not ready")
            }
            (true, Some(since)) => {
                self.not_ready_since = None;
                say(&format!(
                    "ready again after {} ms",
                    since.elapsed().as_millis()
                ))
            }
            (true, None) | (false, Some(_)) => Ok(()),
        }
    }

    fn count(&mut self, took: Duration) {
        self.answered += 1;
        self.answered_while_not_ready += u64::from(self.not_ready_since.is_some());
        self.longest = self.longest.max(took);
    }

    fn say(&self) -> Result<(), BoxError> {
        let Self {
            answered,
            answered_while_not_ready,
            longest,
            ..
        } = self;
        let longest = longest.as_millis();
        say(&format!(
            "beats {answered}, while not ready {answered_while_not_ready}, longest {longest} ms"
        ))
    }
}

fn user() -> UserId {
    UserId::parse("user").expect("the name of a user")
}
