//! The table's keys, for tests and the local stack; a deployment creates its table from `infra/`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use migration::{Error, Result};

/// Version of the stored shapes. A run that was written with another one is refused.
pub(crate) const VERSION: u32 = 1;

/// Creates `table` with on-demand capacity; one that exists already is left alone.
///
/// # Errors
/// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) when DynamoDB refuses.
pub async fn create_table(client: &Client, table: &str) -> Result<()> {
    let broken = |error| Error::internal(format_args!("table definition: {error}"));
    let mut request = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        request =
            request.attribute_definitions(attribute.build().map_err(broken)?).key_schema(key.build().map_err(broken)?);
    }
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => Ok(()),
        Err(error) => Err(Error::blocked(format_args!("cannot create table {table}: {}", DisplayErrorContext(&error)))),
    }
}
