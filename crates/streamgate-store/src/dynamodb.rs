//! The store over Amazon DynamoDB.
//!
//! A record is one item: `id`, the 15 hex digits of its locator (the partition key); `v`, the
//! version, a random number for each writing; `r`, the record's own bytes (`streamgate_core`'s
//! codec); `ttl`, when DynamoDB may delete it, in seconds since 1970. What is over is told by the
//! record, never by the deletion, which comes days late. Each write is conditional on the version
//! that was seen or on its own: since a version is never written twice, a write that is sent again
//! because its answer was lost does the same again.

mod seed_table;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, Region, RuntimeComponents};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use aws_sdk_dynamodb::{Client, error::BoxError as SdkBoxError};
use streamgate_core::{Locator, Timestamp};
use tokio::time::Instant;

pub use self::seed_table::{SeedStream, SeedTable, SeedUser};
pub use self::table::{Capacity, TableState};

use crate::shared::{CALL_MAX, Gate, Recalled, Writing, versioned};
use crate::store::{EngineTime, LeaseStore, StoreError, Swap, Version, Versioned};

const NAME: &str = "dynamodb";
/// How long one try may take, and how long a connection may take to be made.
const TRY_MAX: Duration = Duration::from_millis(400);
const CONNECT_MAX: Duration = Duration::from_millis(300);
const TRIES_MAX: u32 = 3;
/// How long to wait before the second try, at the most.
const PAUSE: Duration = Duration::from_millis(50);
/// Where an endpoint of one's own is, if nothing else says so.
const LOCAL_REGION: &str = "us-east-1";
/// The attributes of an item.
const ID: &str = "id";
const VERSION: &str = "v";
const RECORD: &str = "r";
const TTL: &str = "ttl";
/// What DynamoDB calls being asked too much.
const THROTTLED: [&str; 4] = [
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "ThrottledException",
];

/// What it calls it when the table is missing.
const NO_TABLE: &str = "ResourceNotFoundException";

type Item = HashMap<String, AttributeValue>;

/// Records in a table of DynamoDB.
pub struct DynamoDbStore {
    client: Client,
    table: String,
    gate: Gate,
    recalled: Recalled,
}

impl DynamoDbStore {
    /// A store in this table, at an endpoint of one's own or at AWS. Region and credentials come
    /// from where AWS's tools have them.
    pub async fn new(endpoint: Option<&str>, table: &str) -> Self {
        Self::over(loader(endpoint), table).await
    }

    /// The same with a credential that is made up: for an endpoint that takes any.
    #[cfg(test)]
    pub(crate) async fn with_credentials(endpoint: &str, table: &str, name: &str) -> Self {
        use aws_sdk_dynamodb::config::Credentials;

        let credentials = Credentials::new(name, name, None, None, "made up");
        let loader = loader(Some(endpoint)).credentials_provider(credentials);
        Self::over(loader, table).await
    }

    async fn over(loader: ConfigLoader, table: &str) -> Self {
        Self {
            client: Client::new(&loader.load().await),
            table: table.to_owned(),
            gate: Gate::new(NAME),
            recalled: Recalled::new(),
        }
    }

    /// What became of a conditional write that was not done: the item that stands in its way.
    fn conflict(&self, at: Locator, there: Option<&Item>) -> StoreError {
        match there.map_or(Ok((Versioned::absent(), &[][..])), parsed) {
            Ok((current, record)) => {
                self.recalled.put(at, current.version, record);
                StoreError::Conflict(current)
            }
            Err(error) => error,
        }
    }

    async fn put(&self, swap: &Swap<'_>, writing: &Writing) -> Result<(), StoreError> {
        let until = writing.until(swap.now).as_millis().div_ceil(1000);
        let condition = match swap.seen {
            Version::ABSENT => "attribute_not_exists(id) OR v = :own",
            Version(_) => "v = :seen OR v = :own",
        };
        let mut put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(ID, AttributeValue::S(name(swap.at)))
            .item(VERSION, number(writing.version.0))
            .item(RECORD, AttributeValue::B(Blob::new(&writing.record[..])))
            .item(TTL, number(until))
            .condition_expression(condition)
            .expression_attribute_values(":own", number(writing.version.0))
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        if let Version(seen @ 1..) = swap.seen {
            put = put.expression_attribute_values(":seen", number(seen));
        }
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(there)) => {
                    Err(self.conflict(swap.at, there.item()))
                }
                Some(_) | None => Err(failed(error)),
            },
        }
    }

    async fn remove(&self, swap: &Swap<'_>) -> Result<(), StoreError> {
        let Version(seen @ 1..) = swap.seen else {
            let there = self.load(swap.at).await?;
            return match there.version {
                Version::ABSENT => Ok(()),
                Version(_) => Err(StoreError::Conflict(there)),
            };
        };
        let remove = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(ID, AttributeValue::S(name(swap.at)))
            .condition_expression("v = :seen")
            .expression_attribute_values(":seen", number(seen))
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        match remove.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(there)) => {
                    Err(self.conflict(swap.at, there.item()))
                }
                Some(_) | None => Err(failed(error)),
            },
        }
    }
}

/// How AWS is reached: within our bounds, and otherwise as AWS's tools do.
fn loader(endpoint: Option<&str>) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_MAX)
        .operation_attempt_timeout(TRY_MAX)
        .operation_timeout(CALL_MAX)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(TRIES_MAX)
        .with_initial_backoff(PAUSE);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(retries);
    if let Some(endpoint) = endpoint {
        // Nobody else need be asked where that is.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
        loader = loader
            .endpoint_url(endpoint)
            .region(region.or_else(Region::new(LOCAL_REGION)));
    }
    loader
}

fn name(at: Locator) -> String {
    format!("{:015x}", at.bits())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The record in an item, and its bytes.
fn parsed(item: &Item) -> Result<(Versioned, &[u8]), StoreError> {
    let version = item.get(VERSION).and_then(|it| it.as_n().ok());
    let version = version.and_then(|it| it.parse().ok());
    let record = item.get(RECORD).and_then(|it| it.as_b().ok());
    match (version, record) {
        (Some(version @ 1..), Some(record)) => {
            Ok((versioned(version, record.as_ref())?, record.as_ref()))
        }
        _ => Err(unavailable("an item has no version or no record")),
    }
}

fn unavailable(source: impl Into<crate::BoxError>) -> StoreError {
    StoreError::Unavailable {
        store: NAME,
        source: source.into(),
    }
}

/// Why a call was not done: too much was asked, or anything else.
#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn failed<E>(error: SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code);
    if code.is_some_and(|code| THROTTLED.contains(&code)) {
        return StoreError::Overloaded { store: NAME };
    }
    if code == Some(NO_TABLE) {
        return unavailable("there is no such table; `streamgate store init` makes it");
    }
    // Each of AWS's errors leaves it to the next to say more.
    let mut told = error.to_string();
    let mut cause: Option<&dyn Error> = error.source();
    while let Some(because) = cause {
        let because_told = because.to_string();
        if !told.contains(&because_told) {
            told = format!("{told}: {because_told}");
        }
        cause = because.source();
    }
    unavailable(told)
}

#[async_trait]
impl LeaseStore for DynamoDbStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn recall(&self, at: Locator) -> Option<Versioned> {
        Some(self.recalled.get(at))
    }

    async fn load(&self, at: Locator) -> Result<Versioned, StoreError> {
        let _turn = self.gate.enter()?;
        let get = self.client.get_item().table_name(&self.table);
        let get = get
            .key(ID, AttributeValue::S(name(at)))
            .consistent_read(true);
        let there = get.send().await.map_err(failed)?.item;
        let empty = (Versioned::absent(), &[][..]);
        let (seen, record) = there.as_ref().map_or(Ok(empty), parsed)?;
        self.recalled.put(at, seen.version, record);
        Ok(seen)
    }

    async fn swap(&self, swap: Swap<'_>) -> Result<(), StoreError> {
        let _turn = self.gate.enter()?;
        let writing = Writing::of(&swap);
        if writing.record.is_empty() {
            self.remove(&swap).await?;
        } else {
            self.put(&swap, &writing).await?;
        }
        self.recalled.put(swap.at, writing.version, &writing.record);
        Ok(())
    }

    fn due(&self, _: Timestamp) -> Vec<Locator> {
        Vec::new()
    }

    fn streams_len(&self) -> Option<usize> {
        None
    }

    async fn ready(&self) -> Result<Option<EngineTime>, StoreError> {
        let asked_at = Instant::now();
        let dated = Dated::default();
        let get = self.client.get_item().table_name(&self.table);
        let get = get.key(ID, AttributeValue::S("ready".into()));
        get.customize()
            .interceptor(dated.clone())
            .send()
            .await
            .map_err(failed)?;
        let second = dated.second()?;
        Ok(Some(EngineTime {
            earliest: second,
            // The header has whole seconds (RFC 9110, section 6.6.1).
            latest: second.plus(asked_at.elapsed() + Duration::from_secs(1)),
        }))
    }

    async fn close(&self, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Keeps the `Date` of the last answer.
#[derive(Clone, Debug, Default)]
struct Dated(Arc<OnceLock<String>>);

impl Dated {
    fn second(&self) -> Result<Timestamp, StoreError> {
        let date = self
            .0
            .get()
            .ok_or_else(|| unavailable("its answer has no date"))?;
        let date = httpdate::parse_http_date(date).map_err(unavailable)?;
        let since = date.duration_since(UNIX_EPOCH).map_err(unavailable)?;
        Ok(Timestamp::default().plus(since))
    }
}

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "Dated"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), SdkBoxError> {
        if let Some(date) = context.response().headers().get("date") {
            // The first of several tries says as much as the last.
            drop(self.0.set(date.to_owned()));
        }
        Ok(())
    }
}
