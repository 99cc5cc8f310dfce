//! Connections to Redis: one to each server, on which every caller's requests follow each other
//! without waiting. What fails is tried again, on a new connection and with whoever has the record
//! by then, as long as the call has time.

use std::time::Duration;

use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline,
    RedisError, RedisResult, RetryMethod, ServerErrorKind, TlsMode, Value,
};
use streamgate_core::Locator;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::key;
use super::url::{Kind, RedisUrl};
use crate::shared::CALL_MAX;

/// How long one try may take. Those that wait for replicas are longer under way than others.
const TRY_MAX: Duration = Duration::from_millis(600);
/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// How long to wait before the next try.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How often a cluster is tried: until the call has no more time.
const TRIES_MAX: u32 = 16;

/// What is asked.
pub(super) enum Question {
    /// One thing.
    One(Cmd),
    /// Several, one after the other on one connection. The answer is an array.
    InTurn(Pipeline),
}

/// A way to a record.
pub(super) enum Link {
    /// To the one server there is, or to the one that sentinels say is the master.
    Server(Server),
    /// To the server of a cluster that has the record's slot.
    Cluster(Box<Cluster>),
}

pub(super) struct Server {
    source: Source,
    /// The connection, and how many there were before it.
    current: RwLock<Option<(u64, MultiplexedConnection)>>,
    /// Whoever has it makes the next connection.
    connecting: Mutex<u64>,
}

enum Source {
    Server(Box<Client>),
    Sentinels(Box<Mutex<SentinelClient>>),
}

pub(super) struct Cluster {
    client: ClusterClient,
    current: RwLock<Option<ClusterConnection>>,
    connecting: Mutex<()>,
}

impl Link {
    pub(super) fn new(url: &RedisUrl) -> RedisResult<Self> {
        let source = match &url.kind {
            Kind::Server => Source::Server(Box::new(Client::open(url.of_each().remove(0))?)),
            Kind::Sentinel { master } => Source::Sentinels(Box::new(sentinels(url, master)?)),
            Kind::Cluster => {
                let client = ClusterClient::builder(url.of_each())
                    .retries(TRIES_MAX)
                    .min_retry_wait(u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX))
                    .max_retry_wait(u64::try_from(PAUSE_MAX.as_millis()).unwrap_or(u64::MAX))
                    .connection_timeout(CONNECT_MAX)
                    .response_timeout(TRY_MAX)
                    // The store's own deadline is shorter.
                    .overall_response_timeout(None)
                    .build()?;
                return Ok(Self::Cluster(Box::new(Cluster {
                    client,
                    current: RwLock::new(None),
                    connecting: Mutex::new(()),
                })));
            }
        };
        Ok(Self::Server(Server {
            source,
            current: RwLock::new(None),
            connecting: Mutex::new(0),
        }))
    }

    /// Asks whoever has this record; without one, any master.
    pub(super) async fn ask(&self, at: Option<Locator>, question: Question) -> RedisResult<Value> {
        match self {
            Self::Server(server) => server.ask(&question).await,
            Self::Cluster(cluster) => {
                let route = at.map_or(SingleNodeRoutingInfo::RandomPrimary, |at| {
                    SingleNodeRoutingInfo::SpecificNode(Route::with_key(key(at), SlotAddr::Master))
                });
                let mut connection = cluster.connection().await?;
                match question {
                    Question::One(command) => {
                        let route = RoutingInfo::SingleNode(route);
                        let answer = connection.route_command(command, route).await?;
                        answer.extract_error()
                    }
                    Question::InTurn(all) => {
                        let count = all.len();
                        let answers = connection.route_pipeline(all, 0, count, route).await?;
                        Value::Array(answers).extract_error()
                    }
                }
            }
        }
    }
}

fn sentinels(url: &RedisUrl, master: &str) -> RedisResult<Mutex<SentinelClient>> {
    let mut addresses: Vec<ConnectionAddr> = Vec::new();
    let mut login = (None, None);
    for each in url.of_each() {
        let each = each.into_connection_info()?;
        let settings = each.redis_settings();
        login = (
            settings.username().map(str::to_owned),
            settings.password().map(str::to_owned),
        );
        addresses.push(each.addr().clone());
    }
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_db(url.database);
    if url.is_tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(username) = login.0 {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = login.1 {
        builder = builder.set_client_to_redis_password(password);
    }
    builder.build().map(Mutex::new)
}

impl Server {
    /// Tries until it is too late for one more, and then says what went wrong last.
    async fn ask(&self, question: &Question) -> RedisResult<Value> {
        let until = Instant::now() + CALL_MAX;
        let mut pause = PAUSE;
        loop {
            let error = match self.try_once(question).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !may_pass(&error) || until < Instant::now() + pause {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn try_once(&self, question: &Question) -> RedisResult<Value> {
        let (number, mut connection) = self.connection().await?;
        let answer = match question {
            Question::One(command) => connection.send_packed_command(command).await,
            Question::InTurn(all) => {
                let answers = connection.send_packed_commands(all, 0, all.len()).await;
                answers.map(Value::Array)
            }
        };
        let answer = answer.and_then(Value::extract_error);
        // Another connection may lead to another server: one that is demoted only says so.
        if answer.as_ref().is_err_and(may_pass) {
            self.discard(number);
        }
        answer
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(current) = &*self.current.read() {
            return Ok(current.clone());
        }
        let mut number = self.connecting.lock().await;
        if let Some(current) = &*self.current.read() {
            return Ok(current.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(TRY_MAX));
        let made = match &self.source {
            Source::Server(client) => {
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?
            }
            Source::Sentinels(client) => {
                let mut client = client.lock().await;
                client.get_async_connection_with_config(&config).await?
            }
        };
        *number += 1;
        *self.current.write() = Some((*number, made.clone()));
        Ok((*number, made))
    }

    /// Lets go of a connection, unless there is a newer one.
    fn discard(&self, number: u64) {
        let mut current = self.current.write();
        if current.as_ref().is_some_and(|(it, _)| *it == number) {
            *current = None;
        }
    }
}

/// Whether it may be otherwise a little later, or with another server.
fn may_pass(error: &RedisError) -> bool {
    let is_passing = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
        ) | ErrorKind::MasterNameNotFoundBySentinel
    );
    is_passing || error.is_io_error() || matches!(error.retry_method(), RetryMethod::Reconnect)
}

impl Cluster {
    async fn connection(&self) -> RedisResult<ClusterConnection> {
        if let Some(current) = &*self.current.read() {
            return Ok(current.clone());
        }
        let _connecting = self.connecting.lock().await;
        if let Some(current) = &*self.current.read() {
            return Ok(current.clone());
        }
        let made = self.client.get_async_connection().await?;
        *self.current.write() = Some(made.clone());
        Ok(made)
    }
}
