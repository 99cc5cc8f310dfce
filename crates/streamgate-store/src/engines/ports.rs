//! Ports that stay ours while an engine is down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// Outside the range from which systems pick the ports of outgoing connections, so that nobody
/// has got hold of a port when its engine starts again. The bus of a cluster node stays below
/// that range, too.
const FIRST: u16 = 10_000;
const LEN: u16 = 10_000;
/// How far a Redis Cluster node's bus is from its port.
const BUS: u16 = 10_000;

/// A port of loopback that no other test takes while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// The engines use TCP only, so the UDP port of the same number serves as a lock. The system
    /// opens it when a process ends, however it ends.
    _lock: UdpSocket,
}

impl Port {
    /// A port that is free, and free 10,000 above too.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn free() -> Self {
        let mut random = [0; 2];
        getrandom::fill(&mut random).expect("the system has random numbers");
        let start = u16::from_le_bytes(random) % LEN;
        (0..LEN)
            .map(|step| FIRST + (start + step) % LEN)
            .find_map(Self::take)
            .expect("one of 10,000 ports is free")
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// It, with the address of loopback.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    fn take(number: u16) -> Option<Self> {
        let lock = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        let is_free = |number| TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        (is_free(number) && is_free(number + BUS)).then_some(Self {
            number,
            _lock: lock,
        })
    }
}
