//! What the proxies do with connections.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a thread that reads looks whether it is still wanted.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long an engine on the same machine may take to accept.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Accepts connections in a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Acceptor {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Listens at a free port of loopback, and handles each connection in another thread.
    pub(super) fn start(handle: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let is_over = Arc::new(AtomicBool::new(false));
        let is_over_too = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if is_over_too.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let handle = handle.clone();
                std::thread::spawn(move || handle(client));
            }
        });
        Self {
            address,
            is_over,
            thread: Some(thread),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // The connection only wakes the thread.
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            drop(thread.join());
        }
    }
}

/// Opens a connection whose reads return often enough.
pub(super) fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&target, CONNECT_MAX)?;
    prepare(&stream)?;
    Ok(stream)
}

/// Makes reads and writes return after a while, and sends small chunks at once.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    stream.set_write_timeout(Some(LOOK_EVERY))
}

/// Makes the close of this connection a reset.
pub(super) fn reset_at_close(stream: &TcpStream) {
    // It fails on a connection that is gone, and that is as good.
    let _gone = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Whether a read or a write only had nothing to do for a while.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
