//! A TCP proxy that does to connections what networks do to them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::sockets::{Acceptor, LOOK_EVERY, connect, is_timeout, prepare, reset_at_close};
use super::wait::{now, wait_until};

/// How long connections may take to notice that they are cut.
const CUT_MAX: Duration = Duration::from_secs(5);

/// What a proxy did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Connections that went through to the target.
    pub connections: usize,
    /// Connections that were reset before that, because of a cut or because the target refused.
    pub refused: usize,
    /// Chunks of bytes that went to the target.
    pub requests: usize,
    /// Chunks of bytes that came back to a client.
    pub answers: usize,
    /// Connections that were reset instead of giving an answer.
    pub answers_lost: usize,
}

/// A proxy in front of one address. Its connections are reset when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    acceptor: Acceptor,
    proxy: Arc<Proxy>,
}

#[derive(Debug)]
struct Proxy {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    way: Way,
    /// Connections from before the last cut are to be reset.
    cuts: usize,
    delay: Duration,
    answers_to_lose: usize,
    /// For each connection, how many cuts there were when it began.
    open: Vec<usize>,
    counts: FaultCounts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Open,
    Cut,
    Stalled,
    AnswersStalled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    ToTarget,
    ToClient,
}

impl FaultProxy {
    /// A proxy that does nothing yet but forward.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        let proxy = Arc::new(Proxy {
            target,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let handling = Arc::clone(&proxy);
        Self {
            acceptor: Acceptor::start(move |client| handling.handle(client)),
            proxy,
        }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// The port of it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// Resets all connections, and new ones at once, until [`FaultProxy::heal`]. Returns when
    /// the connections are gone.
    ///
    /// # Panics
    /// When they are not within seconds.
    #[track_caller]
    pub fn cut(&self) {
        self.end_connections(Some(Way::Cut));
    }

    /// Resets the connections that there are; new ones go through.
    ///
    /// # Panics
    /// When they are not gone within seconds.
    #[track_caller]
    pub fn reset(&self) {
        self.end_connections(None);
    }

    /// Forwards nothing, in neither direction, until [`FaultProxy::heal`]: connections stay, as
    /// in a partition, and what was sent arrives after it.
    pub fn stall(&self) {
        self.set_way(Way::Stalled);
    }

    /// Forwards requests and holds the answers back until [`FaultProxy::heal`].
    pub fn stall_answers(&self) {
        self.set_way(Way::AnswersStalled);
    }

    /// Ends a cut or a stall.
    pub fn heal(&self) {
        self.set_way(Way::Open);
    }

    /// From now on each chunk of bytes takes this long in each direction.
    pub fn delay(&self, delay: Duration) {
        self.proxy.state.lock().delay = delay;
    }

    /// The next chunk of bytes from a client goes to the target, and when the answer comes back
    /// the connection is reset instead, with whatever else is under way on it. Called several
    /// times, it happens to as many chunks, each on another connection.
    pub fn cut_after_request(&self) {
        self.proxy.state.lock().answers_to_lose += 1;
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.proxy.state.lock().counts
    }

    #[track_caller]
    fn end_connections(&self, way: Option<Way>) {
        let cuts = {
            let mut state = self.proxy.state.lock();
            state.way = way.unwrap_or(state.way);
            state.cuts += 1;
            state.cuts
        };
        self.proxy.changed.notify_all();
        let gone = wait_until(CUT_MAX, || {
            let open = &self.proxy.state.lock().open;
            open.iter().all(|began| cuts <= *began).then_some(())
        });
        assert!(gone.is_some(), "waited {CUT_MAX:?} for connections to end");
    }

    fn set_way(&self, way: Way) {
        self.proxy.state.lock().way = way;
        self.proxy.changed.notify_all();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let mut state = self.proxy.state.lock();
        state.way = Way::Cut;
        state.cuts += 1;
        drop(state);
        self.proxy.changed.notify_all();
    }
}

/// Two connections that belong together. When both pumps have let go of it, they close.
struct Connection {
    client: TcpStream,
    target: TcpStream,
    /// How many cuts there were when it began.
    cuts: usize,
    is_over: AtomicBool,
    /// The next answer is not to arrive.
    loses_answer: AtomicBool,
}

impl Proxy {
    fn handle(self: &Arc<Self>, client: TcpStream) {
        let is_open;
        let cuts = {
            let mut state = self.state.lock();
            let cuts = state.cuts;
            state.open.push(cuts);
            while state.way == Way::Stalled && state.cuts == cuts {
                self.changed.wait(&mut state);
            }
            is_open = state.way != Way::Cut && state.cuts == cuts;
            cuts
        };
        let opened = is_open.then(|| prepare(&client).and_then(|()| connect(self.target)));
        if let Some(Ok(target)) = opened {
            self.state.lock().counts.connections += 1;
            self.join(&Connection {
                client,
                target,
                cuts,
                is_over: AtomicBool::new(false),
                loses_answer: AtomicBool::new(false),
            });
        } else {
            self.state.lock().counts.refused += 1;
            reset_at_close(&client);
            drop(client);
        }
        let open = &mut self.state.lock().open;
        if let Some(at) = open.iter().position(|began| *began == cuts) {
            open.swap_remove(at);
        }
    }

    /// Forwards in both directions until both are at their end.
    fn join(&self, connection: &Connection) {
        std::thread::scope(|scope| {
            for direction in [Direction::ToTarget, Direction::ToClient] {
                scope.spawn(move || {
                    if self.pump(connection, direction).is_err() {
                        connection.is_over.store(true, Ordering::Relaxed);
                    }
                });
            }
        });
        if connection.is_over.load(Ordering::Relaxed) {
            reset_at_close(&connection.client);
            reset_at_close(&connection.target);
        }
    }

    /// Forwards in one direction: an error when the connection is to be reset.
    fn pump(&self, connection: &Connection, direction: Direction) -> io::Result<()> {
        let (from, to) = match direction {
            Direction::ToTarget => (&connection.client, &connection.target),
            Direction::ToClient => (&connection.target, &connection.client),
        };
        let mut chunk = vec![0; 64 << 10];
        loop {
            let len = self.patiently(connection, || (&mut &*from).read(&mut chunk))?;
            self.pass(connection, direction, len)?;
            if len == 0 {
                return to.shutdown(Shutdown::Write);
            }
            let mut rest = &chunk[..len];
            while !rest.is_empty() {
                let written = self.patiently(connection, || (&mut &*to).write(rest))?;
                rest = &rest[written..];
            }
            let mut state = self.state.lock();
            match direction {
                Direction::ToTarget => state.counts.requests += 1,
                Direction::ToClient => state.counts.answers += 1,
            }
        }
    }

    /// Reads or writes, as often as it takes.
    fn patiently(
        &self,
        connection: &Connection,
        mut act: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match act() {
                Err(error) if is_timeout(&error) => self.check(connection, &self.state.lock())?,
                done @ (Ok(_) | Err(_)) => return done,
            }
        }
    }

    /// Lets one chunk, or the end, wait as long as it must.
    fn pass(&self, connection: &Connection, direction: Direction, len: usize) -> io::Result<()> {
        let mut state = self.state.lock();
        if direction == Direction::ToClient && connection.loses_answer.load(Ordering::Relaxed) {
            state.counts.answers_lost += 1;
            return Err(io::Error::other("the answer is lost"));
        }
        let (start, delay) = (now(), state.delay);
        while state.way.holds(direction) || start.elapsed() < delay {
            self.check(connection, &state)?;
            // The other direction may end the connection without a notice.
            let wait = match delay.saturating_sub(start.elapsed()) {
                Duration::ZERO => LOOK_EVERY,
                rest => rest.min(LOOK_EVERY),
            };
            self.changed.wait_for(&mut state, wait);
        }
        if direction == Direction::ToTarget && len != 0 && state.answers_to_lose != 0 {
            let was_losing = connection.loses_answer.swap(true, Ordering::Relaxed);
            state.answers_to_lose -= usize::from(!was_losing);
        }
        self.check(connection, &state)
    }

    fn check(&self, connection: &Connection, state: &State) -> io::Result<()> {
        if state.cuts == connection.cuts && !connection.is_over.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(io::Error::other("the connection is cut"))
        }
    }
}

impl Way {
    fn holds(self, direction: Direction) -> bool {
        match self {
            Self::Open | Self::Cut => false,
            Self::Stalled => true,
            Self::AnswersStalled => direction == Direction::ToClient,
        }
    }
}
