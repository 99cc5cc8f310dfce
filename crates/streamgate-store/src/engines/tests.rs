//! That the engines do what the tests of the stores need of them.

mod cluster;
mod dynamodb;
mod fault_proxy;
mod redis;
mod replicas;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a paused engine is listened to, and how long one that goes on.
const SILENCE: Duration = Duration::from_millis(50);
const SOON: Duration = Duration::from_secs(10);

/// What a paused engine, which says nothing, answers first when it goes on.
fn first_bytes_after(address: SocketAddr, request: &str, resume: impl FnOnce()) -> String {
    let mut wire = TcpStream::connect(address).unwrap();
    wire.write_all(request.as_bytes()).unwrap();
    let mut bytes = [0; 64];
    wire.set_read_timeout(Some(SILENCE)).unwrap();
    assert!(
        wire.read(&mut bytes).is_err(),
        "it answers while it is paused"
    );
    resume();
    wire.set_read_timeout(Some(SOON)).unwrap();
    let len = wire.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}
