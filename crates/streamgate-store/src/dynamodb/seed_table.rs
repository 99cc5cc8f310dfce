//! The table of the service that this one grew from.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::scan::ScanError;
use aws_sdk_dynamodb::types::AttributeValue;

use super::{Item, failed, loader, unavailable};
use crate::store::StoreError;

/// The attributes of an item.
const USER: &str = "userId";
const STREAM: &str = "streamId";
/// How long one try for a page may take, and all of them.
const TRY_MAX: Duration = Duration::from_secs(10);
const PAGE_MAX: Duration = Duration::from_secs(120);
/// How often a page is asked for, and the longest wait between two tries.
const TRIES_MAX: u32 = 7;
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A stream of the seed: what its item says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedStream {
    /// Whose, if it says so.
    pub user: Option<SeedUser>,
    /// Which, if it says so.
    pub stream: Option<String>,
}

/// A user of the seed, who may be a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedUser {
    /// A text.
    Text(String),
    /// A number, as DynamoDB writes it.
    Number(String),
}

impl fmt::Display for SeedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = match &self.user {
            Some(SeedUser::Text(text)) => Some(format!("{text:?}")),
            Some(SeedUser::Number(digits)) => Some(digits.clone()),
            None => None,
        };
        let user = user.as_deref().unwrap_or("none");
        let stream = self.stream.as_deref().unwrap_or("none");
        write!(f, "userId {user}, streamId {stream:?}")
    }
}

/// Streams of the seed, a page of at most 1 MB after the other.
pub struct SeedTable {
    client: Client,
    table: String,
    next: Next,
}

enum Next {
    First,
    After(HashMap<String, AttributeValue>),
    Nothing,
}

impl SeedTable {
    /// The table at an endpoint of one's own, or at AWS. Region and credentials come from where AWS's
    /// tools have them. A page is waited for patiently: the table serves viewers meanwhile.
    pub async fn open(endpoint: Option<&str>, table: &str) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(TRY_MAX)
            .operation_timeout(PAGE_MAX)
            .build();
        let loader = loader(endpoint).timeout_config(timeouts).retry_config(
            RetryConfig::adaptive()
                .with_max_attempts(TRIES_MAX)
                .with_max_backoff(PAUSE_MAX),
        );
        Self {
            client: Client::new(&loader.load().await),
            table: table.to_owned(),
            next: Next::First,
        }
    }

    /// The next page, which may be empty; `None` after the last. After an error the same page is
    /// asked for again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when AWS refuses or does not answer within two minutes.
    pub async fn page(&mut self) -> Result<Option<Vec<SeedStream>>, StoreError> {
        let after = match &self.next {
            Next::First => None,
            Next::After(key) => Some(key.clone()),
            Next::Nothing => return Ok(None),
        };
        let scan = self.client.scan().table_name(&self.table);
        let scan = scan
            .projection_expression("#user, #stream")
            .expression_attribute_names("#user", USER)
            .expression_attribute_names("#stream", STREAM)
            .consistent_read(true)
            .set_exclusive_start_key(after);
        let page = scan.send().await.map_err(|error| self.refused(error))?;
        self.next = page.last_evaluated_key.map_or(Next::Nothing, Next::After);
        let items = page.items.unwrap_or_default();
        Ok(Some(items.iter().map(stream).collect()))
    }
}

impl SeedTable {
    fn refused(&self, error: SdkError<ScanError>) -> StoreError {
        let is_missing = |error: &ScanError| error.is_resource_not_found_exception();
        if error.as_service_error().is_some_and(is_missing) {
            return unavailable(format!("there is no table {}", self.table));
        }
        failed(error)
    }
}

fn stream(item: &Item) -> SeedStream {
    SeedStream {
        user: item.get(USER).and_then(user),
        stream: item.get(STREAM).and_then(|it| it.as_s().ok()).cloned(),
    }
}

fn user(value: &AttributeValue) -> Option<SeedUser> {
    let text = value.as_s().ok().map(|text| SeedUser::Text(text.clone()));
    let number = || value.as_n().ok().map(|it| SeedUser::Number(it.clone()));
    text.or_else(number)
}
