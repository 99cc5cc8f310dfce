//! What nodes tell each other: where streams ended, by the engine's publish and subscribe. It
//! arrives at most once; so whoever subscribes anew is told that something may have been missed.
//!
//! The servers of a cluster pass on to each other what is published, and a replica gets it from
//! its master: a subscription at any server that sees the others hears all. That server says who
//! they are, should it go away when those of the URL are gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::SentinelClient;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, ProtocolVersion, PushInfo,
    PushKind, RedisResult, ServerErrorKind, Value,
};
use streamgate_core::Locator;
use tokio::sync::{Notify, mpsc};

use super::link::{CONNECT_MAX, TRY_MAX, sentinels};
use super::url::{Kind, RedisUrl};
use crate::store::News;

/// As in `swap.lua`.
const CHANNEL: &str = "streamgate:ended";
/// How much news may wait. More of it is one word: missed.
const WAITING_MAX: usize = 4096;
/// How often to see whether the subscription still stands.
const LOOK: Duration = Duration::from_millis(500);
/// How long to wait before the next try to subscribe.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How a locator is told.
pub(super) fn text(at: Locator) -> String {
    format!("{:015x}", at.bits())
}

fn locator(text: &[u8]) -> Option<Locator> {
    let text = std::str::from_utf8(text).ok()?;
    u64::from_str_radix(text, 16).ok().map(Locator::from_bits)
}

/// Subscribes, again and again, until nobody wants to hear.
pub(super) fn subscribe(url: RedisUrl) -> mpsc::Receiver<News> {
    let (telling, told) = mpsc::channel(WAITING_MAX);
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends when nobody wants to hear any more"
    )]
    tokio::spawn(async move {
        let closed = telling.clone();
        let mut servers = Servers {
            told: BTreeSet::new(),
            url,
        };
        tokio::select! {
            () = closed.closed() => {}
            () = follow(&mut servers, &telling) => {}
        }
    });
    told
}

/// Where to subscribe.
struct Servers {
    url: RedisUrl,
    /// What a server of a cluster said last of who they are: `HOST:PORT`.
    told: BTreeSet<String>,
}

async fn follow(servers: &mut Servers, telling: &mpsc::Sender<News>) {
    let mut pause = PAUSE;
    for turn in 0.. {
        let began = tokio::time::Instant::now();
        let Err(error) = servers.listen(turn, telling).await;
        tracing::debug!(error = %error, "no news from other nodes for the moment");
        // One that stood for a while is worth a quick try.
        let next = if PAUSE_MAX < began.elapsed() {
            PAUSE
        } else {
            (pause * 2).min(PAUSE_MAX)
        };
        if pause < PAUSE_MAX && next == PAUSE_MAX {
            let message = "no news from other nodes for seconds: players learn what happened there \
                           with their next heartbeat";
            tracing::warn!(error = %error, "{message}");
        }
        pause = next;
        tokio::time::sleep(pause).await;
    }
}

impl Servers {
    /// Subscribes at one of the servers, and hears what it tells for as long as it can.
    async fn listen(
        &mut self,
        turn: usize,
        telling: &mpsc::Sender<News>,
    ) -> RedisResult<std::convert::Infallible> {
        let (cut, missed) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let hears = hearing(telling.clone(), Arc::clone(&cut), Arc::clone(&missed));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(TRY_MAX))
            .set_push_sender(hears);
        let (host, mut connection) = self.connect(turn, &config).await?;
        connection.subscribe(CHANNEL).await?;
        missed.store(true, Ordering::Relaxed);
        loop {
            if self.url.kind == Kind::Cluster {
                let mut asked = redis::pipe();
                asked.cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("INFO");
                let (slots, info): (_, String) = asked.query_async(&mut connection).await?;
                if !info.contains("cluster_state:ok") {
                    return Err((ErrorKind::Server(ServerErrorKind::ClusterDown), "cut off").into());
                }
                // One that is cut off no longer names the others.
                self.told = servers_in(slots, &host)?;
            } else {
                let () = redis::cmd("PING").query_async(&mut connection).await?;
            }
            if missed.swap(false, Ordering::Relaxed) {
                // It fails when nobody wants to hear any more; then this ends, too.
                _ = telling.send(News::Missed).await;
            }
            tokio::select! {
                () = cut.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Connects to the server, to the next of a cluster's, or to the sentinels' master; the host
    /// that it is at, where there are several.
    async fn connect(
        &self,
        turn: usize,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<(String, MultiplexedConnection)> {
        let (host, client) = match &self.url.kind {
            Kind::Server | Kind::Cluster => {
                let hosts: Vec<&String> = self.url.hosts.iter().chain(&self.told).collect();
                let host = hosts[turn % hosts.len()];
                let info = self.url.of(host).into_connection_info()?;
                let settings = info.redis_settings().clone();
                let settings = settings.set_protocol(ProtocolVersion::RESP3);
                let client = Client::open(info.set_redis_settings(settings))?;
                (host.clone(), client)
            }
            Kind::Sentinel { master } => {
                let mut sentinels: SentinelClient =
                    sentinels(&self.url, master, ProtocolVersion::RESP3)?;
                let master =
                    tokio::time::timeout(CONNECT_MAX * 4, sentinels.async_get_client()).await;
                let master = master
                    .map_err(|_elapsed| std::io::Error::from(std::io::ErrorKind::TimedOut))?;
                (String::new(), master?)
            }
        };
        let connection = client.get_multiplexed_async_connection_with_config(config);
        Ok((host, connection.await?))
    }
}

/// The servers that `CLUSTER SLOTS` names. One without a host is at that of who was asked.
fn servers_in(slots: Vec<Vec<Value>>, asked: &str) -> RedisResult<BTreeSet<String>> {
    let asked = asked.rsplit_once(':').map_or(asked, |(host, _)| host);
    // Each row: the first slot, the last, and the servers.
    let servers = slots.into_iter().flat_map(|row| row.into_iter().skip(2));
    let host = |server| {
        let server: Vec<Value> = redis::from_redis_value(server)?;
        let [host, port, ..] = server.as_slice() else {
            return Ok(None);
        };
        let host: Option<String> = redis::from_redis_value_ref(host)?;
        let port: u16 = redis::from_redis_value_ref(port)?;
        Ok(match host.as_deref() {
            // Nobody knows.
            Some("?") => None,
            Some("") | None => Some(format!("{asked}:{port}")),
            Some(address) if address.contains(':') => Some(format!("[{address}]:{port}")),
            Some(host) => Some(format!("{host}:{port}")),
        })
    };
    servers
        .filter_map(|server| host(server).transpose())
        .collect()
}

fn hearing(
    telling: mpsc::Sender<News>,
    cut: Arc<Notify>,
    missed: Arc<AtomicBool>,
) -> impl Fn(PushInfo) -> Result<(), redis::aio::SendError> + Send + Sync + 'static {
    move |info: PushInfo| {
        if info.kind == PushKind::Disconnection {
            cut.notify_one();
        }
        if info.kind != PushKind::Message {
            return Ok(());
        }
        // The channel, and what was published there.
        let at = match info.data.get(1) {
            Some(redis::Value::BulkString(text)) => locator(text),
            Some(_) | None => None,
        };
        if let Some(at) = at
            && telling.try_send(News::Ended(at)).is_err()
        {
            missed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
