//! Connections to Redis: one to each server. What fails is tried again, on a new connection and
//! with whoever has the record by then, as long as the call has time.
//!
//! To one server, what is asked while an answer is on its way is sent together when it has come: a
//! server that has much to do gets it in few pieces, and one that has little gets each at once.

use std::time::Duration;

use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline,
    ProtocolVersion, RedisError, RedisResult, RetryMethod, ServerErrorKind, TlsMode, Value,
};
use streamgate_core::Locator;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use super::key;
use super::url::{Kind, RedisUrl};
use crate::shared::{CALL_MAX, CALLS_MAX};

/// How long one try may take. Those that wait for replicas are longer under way than others.
pub(super) const TRY_MAX: Duration = Duration::from_millis(600);
/// How long replicas may take to have what is waited for.
const REPLICAS_MAX: Duration = Duration::from_millis(500);
/// How long a connection may take to be made.
pub(super) const CONNECT_MAX: Duration = Duration::from_millis(500);
/// How long to wait before the next try.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How often a cluster is tried: until the call has no more time.
const TRIES_MAX: u32 = 16;
/// How much is sent together at the most.
const TOGETHER_MAX: usize = 512;

/// A way to a record.
pub(super) struct Link {
    way: Way,
    /// How many replicas are waited for after each question.
    wait: Option<usize>,
}

enum Way {
    /// To the one server there is, or to the one that sentinels say is the master.
    Server(mpsc::Sender<Asked>),
    /// To the server of a cluster that has the record's slot.
    Cluster(Box<Cluster>),
}

/// What a server answered, and how many replicas had it then, where that was waited for.
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) replicas: Option<usize>,
}

struct Asked {
    command: Cmd,
    answer: oneshot::Sender<RedisResult<Answer>>,
}

impl Link {
    /// Makes no connection yet. The tasks of it end with it.
    pub(super) fn new(url: &RedisUrl, wait: Option<usize>) -> RedisResult<Self> {
        let source = match &url.kind {
            Kind::Server => Source::Server(Box::new(Client::open(url.of_each().remove(0))?)),
            Kind::Sentinel { master } => {
                Source::Sentinels(Box::new(sentinels(url, master, ProtocolVersion::RESP2)?))
            }
            Kind::Cluster => {
                let way = Way::Cluster(Box::new(Cluster::new(url)?));
                return Ok(Self { way, wait });
            }
        };
        let (asking, asked) = mpsc::channel(CALLS_MAX);
        let server = Server {
            source,
            connection: None,
            wait,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends when nobody can ask any more"
        )]
        tokio::spawn(server.serve(asked));
        let way = Way::Server(asking);
        Ok(Self { way, wait })
    }

    /// Asks whoever has this record; without one, any master.
    pub(super) async fn ask(&self, at: Option<Locator>, command: Cmd) -> RedisResult<Answer> {
        match &self.way {
            Way::Server(server) => ask_server(server, &command).await,
            Way::Cluster(cluster) => cluster.ask(at, command, self.wait).await,
        }
    }
}

/// What goes out for some commands: with the wait for replicas behind them.
fn together(commands: impl IntoIterator<Item = Cmd>, wait: Option<usize>) -> Pipeline {
    let mut all = Pipeline::new();
    for command in commands {
        all.add_command(command);
    }
    if let Some(replicas) = wait {
        let millis = u64::try_from(REPLICAS_MAX.as_millis()).unwrap_or(u64::MAX);
        all.cmd("WAIT").arg(replicas).arg(millis);
    }
    all
}

/// The answers to the commands, and how many replicas had all of them, where that was waited for.
fn apart(mut answers: Vec<Value>, wait: Option<usize>) -> RedisResult<(Vec<Value>, Option<usize>)> {
    let Some(_) = wait else {
        return Ok((answers, None));
    };
    let reached = answers.pop().unwrap_or(Value::Nil).extract_error()?;
    Ok((answers, Some(redis::from_redis_value(reached)?)))
}

/// Tries until it is too late for one more, and then says what went wrong last.
async fn ask_server(server: &mpsc::Sender<Asked>, command: &Cmd) -> RedisResult<Answer> {
    let until = Instant::now() + CALL_MAX;
    let mut pause = PAUSE;
    loop {
        let (answer, answered) = oneshot::channel();
        let asked = Asked {
            command: command.clone(),
            answer,
        };
        // Neither fails: the server's task lives as long as anybody can ask.
        drop(server.send(asked).await);
        let answered = answered.await.unwrap_or_else(|_| Err(nobody()));
        let error = match answered {
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

fn nobody() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
}

/// The one server there is, or the one that sentinels say is the master.
struct Server {
    source: Source,
    connection: Option<MultiplexedConnection>,
    wait: Option<usize>,
}

enum Source {
    Server(Box<Client>),
    Sentinels(Box<SentinelClient>),
}

impl Server {
    /// Serves until nobody can ask any more.
    async fn serve(mut self, mut asked: mpsc::Receiver<Asked>) {
        let mut batch = Vec::new();
        while 0 < asked.recv_many(&mut batch, TOGETHER_MAX).await {
            // Who went meanwhile is not asked for.
            batch.retain(|asked: &Asked| !asked.answer.is_closed());
            self.answer(std::mem::take(&mut batch)).await;
        }
    }

    async fn answer(&mut self, batch: Vec<Asked>) {
        let (commands, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|it| (it.command, it.answer)).unzip();
        let told = self.tell(commands).await;
        let is_over = match &told {
            // Another connection may lead to another server: one that is demoted only says so.
            Ok((values, _)) => values
                .iter()
                .filter(|value| matches!(value, Value::ServerError(_)))
                .any(|refusal| {
                    refusal
                        .clone()
                        .extract_error()
                        .is_err_and(|it| may_pass(&it))
                }),
            Err(error) => may_pass(error),
        };
        if is_over {
            self.connection = None;
        }
        match told {
            Ok((values, replicas)) => {
                for (value, answer) in values.into_iter().zip(answers) {
                    let value = value.extract_error();
                    drop(answer.send(value.map(|value| Answer { value, replicas })));
                }
            }
            Err(error) => {
                for answer in answers {
                    drop(answer.send(Err(error.clone())));
                }
            }
        }
    }

    async fn tell(&mut self, commands: Vec<Cmd>) -> RedisResult<(Vec<Value>, Option<usize>)> {
        let all = together(commands, self.wait);
        let connection = self.connection().await?;
        let answers = connection.send_packed_commands(&all, 0, all.len()).await?;
        apart(answers, self.wait)
    }

    async fn connection(&mut self) -> RedisResult<&mut MultiplexedConnection> {
        let made = match self.connection.take() {
            Some(made) => made,
            None => self.connect().await?,
        };
        Ok(self.connection.insert(made))
    }

    async fn connect(&mut self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(TRY_MAX));
        match &mut self.source {
            Source::Server(client) => {
                let made = client.get_multiplexed_async_connection_with_config(&config);
                made.await
            }
            Source::Sentinels(client) => client.get_async_connection_with_config(&config).await,
        }
    }
}

/// The servers of a cluster.
struct Cluster {
    client: ClusterClient,
    current: RwLock<Option<ClusterConnection>>,
    connecting: Mutex<()>,
}

impl Cluster {
    fn new(url: &RedisUrl) -> RedisResult<Self> {
        let client = ClusterClient::builder(url.of_each())
            .retries(TRIES_MAX)
            .min_retry_wait(u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX))
            .max_retry_wait(u64::try_from(PAUSE_MAX.as_millis()).unwrap_or(u64::MAX))
            .connection_timeout(CONNECT_MAX)
            .response_timeout(TRY_MAX)
            // The store's own deadline is shorter.
            .overall_response_timeout(None)
            .build()?;
        Ok(Self {
            client,
            current: RwLock::new(None),
            connecting: Mutex::new(()),
        })
    }

    async fn ask(
        &self,
        at: Option<Locator>,
        command: Cmd,
        wait: Option<usize>,
    ) -> RedisResult<Answer> {
        let route = at.map_or(SingleNodeRoutingInfo::RandomPrimary, |at| {
            SingleNodeRoutingInfo::SpecificNode(Route::with_key(key(at), SlotAddr::Master))
        });
        let mut connection = self.connection().await?;
        if wait.is_none() {
            let route = RoutingInfo::SingleNode(route);
            let answer = connection.route_command(command, route).await?;
            let value = answer.extract_error()?;
            let replicas = None;
            return Ok(Answer { value, replicas });
        }
        let all = together([command], wait);
        let count = all.len();
        let answers = connection.route_pipeline(all, 0, count, route).await?;
        let (mut values, replicas) = apart(answers, wait)?;
        let value = values.pop().unwrap_or(Value::Nil).extract_error()?;
        Ok(Answer { value, replicas })
    }

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

pub(super) fn sentinels(
    url: &RedisUrl,
    master: &str,
    protocol: ProtocolVersion,
) -> RedisResult<SentinelClient> {
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
        .set_client_to_redis_db(url.database)
        .set_client_to_redis_protocol(protocol);
    if url.is_tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(username) = login.0 {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = login.1 {
        builder = builder.set_client_to_redis_password(password);
    }
    builder.build()
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
