//! The table, which somebody has to make once.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ProvisionedThroughput,
    ScalarAttributeType, TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::{DynamoDbStore, ID, TTL, failed, unavailable};
use crate::store::StoreError;

/// How long a new table may take until it can be used.
const READY_MAX: Duration = Duration::from_secs(120);
/// How often to look whether it can.
const LOOK: Duration = Duration::from_millis(500);

/// How much a table may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// As much as comes, paid by the request.
    OnDemand,
    /// So many units a second, paid by the hour.
    Provisioned {
        /// Strongly consistent reads of up to 4 KB.
        reads: i64,
        /// Writes of up to 1 KB.
        writes: i64,
    },
}

/// What making a table came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableState {
    /// There was none.
    Created,
    /// It was there. Its capacity is as asked for now.
    Adjusted,
}

impl DynamoDbStore {
    /// Makes the table, or adjusts its capacity if it is there, and has DynamoDB delete what is
    /// over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when AWS refuses, or the table is not usable within 2 minutes.
    pub async fn init_table(&self, capacity: Capacity) -> Result<TableState, StoreError> {
        let there = self
            .client
            .describe_table()
            .table_name(&self.table)
            .send()
            .await;
        let state = match there {
            Ok(described) => {
                if described.table.as_ref().and_then(current) != Some(capacity) {
                    self.adjust(capacity).await?;
                }
                TableState::Adjusted
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|it| it.is_resource_not_found_exception()) =>
            {
                self.create(capacity).await?;
                TableState::Created
            }
            Err(error) => return Err(failed(error)),
        };
        let usable = tokio::time::timeout(READY_MAX, self.until_usable()).await;
        usable.map_err(unavailable)??;
        self.expire_items().await?;
        Ok(state)
    }

    async fn create(&self, capacity: Capacity) -> Result<(), StoreError> {
        let id = AttributeDefinition::builder()
            .attribute_name(ID)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(unavailable)?;
        let key = KeySchemaElement::builder()
            .attribute_name(ID)
            .key_type(KeyType::Hash)
            .build()
            .map_err(unavailable)?;
        let create = self
            .client
            .create_table()
            .table_name(&self.table)
            .attribute_definitions(id)
            .key_schema(key)
            .billing_mode(billing(capacity))
            .set_provisioned_throughput(throughput(capacity)?);
        match create.send().await {
            Ok(_) => Ok(()),
            // The answer to a first try was lost or late.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|it| it.is_resource_in_use_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn adjust(&self, capacity: Capacity) -> Result<(), StoreError> {
        let update = self
            .client
            .update_table()
            .table_name(&self.table)
            .billing_mode(billing(capacity))
            .set_provisioned_throughput(throughput(capacity)?);
        update.send().await.map(drop).map_err(failed)
    }

    async fn until_usable(&self) -> Result<(), StoreError> {
        loop {
            let described = self
                .client
                .describe_table()
                .table_name(&self.table)
                .send()
                .await;
            let table = described.map_err(failed)?.table;
            if table.is_some_and(|it| it.table_status == Some(TableStatus::Active)) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn expire_items(&self) -> Result<(), StoreError> {
        let describe = self.client.describe_time_to_live().table_name(&self.table);
        let described = describe
            .send()
            .await
            .map_err(failed)?
            .time_to_live_description;
        let status = described.and_then(|it| it.time_to_live_status);
        if matches!(
            status,
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
        ) {
            return Ok(());
        }
        let expiry = TimeToLiveSpecification::builder()
            .attribute_name(TTL)
            .enabled(true)
            .build()
            .map_err(unavailable)?;
        let update = self.client.update_time_to_live().table_name(&self.table);
        let update = update.time_to_live_specification(expiry);
        update.send().await.map(drop).map_err(failed)
    }
}

/// How much a table may be asked now.
fn current(table: &TableDescription) -> Option<Capacity> {
    let billing = table.billing_mode_summary.as_ref();
    if billing.and_then(|it| it.billing_mode.as_ref()) == Some(&BillingMode::PayPerRequest) {
        return Some(Capacity::OnDemand);
    }
    let paid_for = table.provisioned_throughput.as_ref()?;
    Some(Capacity::Provisioned {
        reads: paid_for.read_capacity_units?,
        writes: paid_for.write_capacity_units?,
    })
}

fn billing(capacity: Capacity) -> BillingMode {
    match capacity {
        Capacity::OnDemand => BillingMode::PayPerRequest,
        Capacity::Provisioned { .. } => BillingMode::Provisioned,
    }
}

fn throughput(capacity: Capacity) -> Result<Option<ProvisionedThroughput>, StoreError> {
    match capacity {
        Capacity::OnDemand => Ok(None),
        Capacity::Provisioned { reads, writes } => ProvisionedThroughput::builder()
            .read_capacity_units(reads)
            .write_capacity_units(writes)
            .build()
            .map(Some)
            .map_err(unavailable),
    }
}
