//! Answers that last, and the deadlines of the connections that they are on.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::listener::{http1_connection, http2_connection};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const PATH: &str = "/v1/streams/s/events?userId=ann";

/// A world in which Ann's stream is live, and a connection to it over HTTP/1.1 through which so
/// many bytes fit that nobody has read.
async fn connected(bytes: usize) -> (World, DuplexStream, JoinSet<hyper::Result<()>>) {
    let world = World::new();
    world.start("ann", "s", "tv").await;
    let (client, server) = duplex(bytes);
    let mut served = JoinSet::new();
    let draining = CancellationToken::new();
    served.spawn(http1_connection(server, world.router.clone(), draining));
    (world, client, served)
}

async fn ask(client: &mut DuplexStream) {
    let ask = format!("GET {PATH} HTTP/1.1\r\nhost: test\r\n\r\n");
    client.write_all(ask.as_bytes()).await.expect("it is open");
}

/// What comes until this has come.
async fn read_until(client: &mut DuplexStream, part: &str) -> String {
    let mut read = String::new();
    while !read.contains(part) {
        read.push(char::from(client.read_u8().await.expect("there is more")));
    }
    read
}

#[tokio::test(start_paused = true)]
async fn open_events_outlast_the_deadlines_while_their_client_reads() {
    let (world, mut client, _served) = connected(4096).await;
    for turn in 1..=2 {
        ask(&mut client).await;
        read_until(&mut client, "event: live").await;
        let began = Instant::now();
        while began.elapsed() < 20 * MINUTE {
            read_until(&mut client, "\n: \n\n").await;
        }
        world.start("ann", &format!("new-{turn}"), "tv").await;
        // The connection is good for another request.
        read_until(&mut client, "\r\n0\r\n\r\n").await;
        world.start("ann", "t", "phone").await;
        world.code("DELETE /v1/users/ann/streams", "").await;
        if turn == 1 {
            world.wait(601.0);
            world.start("ann", "s", "tv").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_is_noticed_at_once() {
    let (world, mut client, mut served) = connected(4096).await;
    ask(&mut client).await;
    read_until(&mut client, "event: live").await;
    assert_eq!(world.watchers().await, "streamgate_watchers 1");
    let began = Instant::now();
    drop(client);
    assert!(served.join_next().await.is_some());
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(world.watchers().await, "streamgate_watchers 0");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_events_is_hung_up_on() {
    let (world, mut client, mut served) = connected(512).await;
    ask(&mut client).await;
    read_until(&mut client, "event: live").await;
    let began = Instant::now();
    let ended = served.join_next().await.expect("it was served");
    assert!(ended.expect("no panic").is_err(), "hung up on");
    // As soon as what nobody reads has filled the way, and not when all answers end.
    assert!(began.elapsed() < 20 * MINUTE);
    assert_eq!(world.watchers().await, "streamgate_watchers 0");
}

#[tokio::test(start_paused = true)]
async fn an_old_http2_connection_lets_its_events_go_before_it_is_closed() {
    let world = World::new();
    world.start("ann", "s", "tv").await;
    let (client, server) = duplex(64 << 10);
    let mut served = JoinSet::new();
    let draining = CancellationToken::new();
    served.spawn(http2_connection(server, world.router.clone(), draining));
    let (mut requests, connection) = h2::client::handshake(client).await.expect("it speaks");
    let mut client = JoinSet::new();
    client.spawn(connection);
    let ask = http::Request::get(format!("http://test{PATH}"));
    let ask = ask.body(()).expect("it is a request");
    let (answer, _) = requests.send_request(ask, true).expect("it is sent");
    let mut body = answer.await.expect("an answer").into_body();
    let mut last = bytes::Bytes::new();
    let mut comments = 0;
    while let Some(bytes) = body.data().await {
        let bytes = bytes.expect("it is not cut");
        comments += usize::from(&*bytes == b": \n\n");
        if !bytes.is_empty() {
            last = bytes;
        }
    }
    assert!(last.starts_with(b"retry: "), "{}", last.escape_ascii());
    assert!(30 < comments, "{comments}");
    assert!(served.join_next().await.is_some());
}
