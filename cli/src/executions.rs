//! The Step Functions executions of a migration, `<migration id>-<number>`.

use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus};
use chrono::{DateTime, Utc};
use migration::{Error, MigrationId, Result};
use runtime::aws::sdk_error;
use serde_json::{Value, json};

/// Numbers tried beyond the next one, when other executions of that name have ended already.
const NAMES_TRIED: u32 = 20;

/// The executions of one state machine.
#[derive(Debug)]
pub(crate) struct Executions {
    client: aws_sdk_sfn::Client,
    state_machine: String,
}

/// An execution as Step Functions describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Execution {
    /// ARN.
    pub(crate) arn: String,
    /// Whether it goes on.
    pub(crate) running: bool,
    /// Status for people, such as `FAILED`.
    pub(crate) status: String,
    /// When it was started.
    pub(crate) started: DateTime<Utc>,
    /// Error and cause of an execution that failed.
    pub(crate) failure: Option<String>,
}

impl Executions {
    /// Those of the state machine with the ARN `state_machine`.
    pub(crate) fn new(client: aws_sdk_sfn::Client, state_machine: &str) -> Self {
        Self { client, state_machine: state_machine.to_owned() }
    }

    /// Starts the next execution of `id`, of which `count` were counted so far, and returns its ARN. When that very execution
    /// runs already, it is the one.
    ///
    /// # Errors
    /// Blocked when Step Functions refuses: nothing was started then.
    pub(crate) async fn start(&self, id: &MigrationId, count: u32, config: &Value) -> Result<String> {
        let input = json!({"migration_id": id, "config": config}).to_string();
        for number in count + 1..=count + NAMES_TRIED {
            let name = format!("{id}-{number}");
            let request = self.client.start_execution().state_machine_arn(&self.state_machine).name(&name);
            match request.input(&input).send().await {
                Ok(_) => return Ok(self.arn(&name)),
                Err(error) if error.as_service_error().is_some_and(|error| error.is_execution_already_exists()) => {
                    if self.describe(&self.arn(&name)).await?.is_some_and(|found| found.running) {
                        return Ok(self.arn(&name));
                    }
                }
                Err(error) => return Err(sdk_error(&format!("start the execution {name}"), &error)),
            }
        }
        Err(Error::internal(format_args!("{NAMES_TRIED} executions after {id}-{count} exist already")))
    }

    /// The execution `arn`, which was just started.
    ///
    /// # Errors
    /// Transient or Blocked, as Step Functions answers; Transient while it does not know the execution yet.
    pub(crate) async fn described(&self, arn: &str) -> Result<Execution> {
        let execution = self.describe(arn).await?;
        execution.ok_or_else(|| Error::transient(format_args!("{arn} was started but cannot be described yet")))
    }

    /// The execution `arn`; nothing when Step Functions does not know it (any more).
    ///
    /// # Errors
    /// Transient or Blocked, as Step Functions answers.
    pub(crate) async fn describe(&self, arn: &str) -> Result<Option<Execution>> {
        match self.client.describe_execution().execution_arn(arn).send().await {
            Ok(found) => {
                let failure: Vec<_> = found.error.into_iter().chain(found.cause).collect();
                Ok(Some(Execution {
                    arn: arn.to_owned(),
                    running: found.status == ExecutionStatus::Running,
                    status: found.status.as_str().to_owned(),
                    started: DateTime::from_timestamp(found.start_date.secs(), found.start_date.subsec_nanos())
                        .unwrap_or_default(),
                    failure: (!failure.is_empty()).then(|| failure.join(": ")),
                }))
            }
            Err(error) if error.as_service_error().is_some_and(|error| error.is_execution_does_not_exist()) => Ok(None),
            Err(error) => Err(sdk_error(&format!("describe the execution {arn}"), &error)),
        }
    }

    /// The execution of `id` that runs, if one does, of which `count` were counted so far.
    ///
    /// # Errors
    /// Transient or Blocked, as Step Functions answers.
    pub(crate) async fn running(&self, id: &MigrationId, count: u32) -> Result<Option<Execution>> {
        // The next number too: an execution is counted a moment after it was started.
        for number in [count, count + 1] {
            let found = self.describe(&self.arn(&format!("{id}-{number}"))).await?;
            if let Some(execution) = found.filter(|found| found.running) {
                return Ok(Some(execution));
            }
        }
        self.running_under_any_name(id).await
    }

    /// Whoever started an execution by hand may have named it as they liked; two at once must not be.
    async fn running_under_any_name(&self, id: &MigrationId) -> Result<Option<Execution>> {
        let request = self.client.list_executions().state_machine_arn(&self.state_machine);
        let mut pages = request.status_filter(ExecutionStatus::Running).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| sdk_error("list the running executions", &error))?;
            for item in page.executions {
                if self.is_of(&item, id).await? {
                    return self.describe(&item.execution_arn).await;
                }
            }
        }
        Ok(None)
    }

    async fn is_of(&self, item: &ExecutionListItem, id: &MigrationId) -> Result<bool> {
        if number_of(&item.name, id).is_some() {
            return Ok(true);
        }
        let found = self.client.describe_execution().execution_arn(&item.execution_arn).send().await;
        let found = found.map_err(|error| sdk_error(&format!("describe the execution {}", item.name), &error))?;
        let input: Option<Value> = found.input.and_then(|input| serde_json::from_str(&input).ok());
        Ok(input.is_some_and(|input| input["migration_id"] == id.as_str()))
    }

    /// Stops the execution `arn`, which ends with `error` and `cause`.
    ///
    /// # Errors
    /// Transient or Blocked, as Step Functions answers.
    pub(crate) async fn stop(&self, arn: &str, error: &str, cause: &str) -> Result<()> {
        let request = self.client.stop_execution().execution_arn(arn).error(error).cause(cause);
        request.send().await.map_err(|error| sdk_error(&format!("stop the execution {arn}"), &error))?;
        Ok(())
    }

    fn arn(&self, name: &str) -> String {
        format!("{}:{name}", self.state_machine.replacen(":stateMachine:", ":execution:", 1))
    }
}

/// Number of the execution `name`, when it is one of `id`.
fn number_of(name: &str, id: &MigrationId) -> Option<u32> {
    name.strip_prefix(id.as_str())?.strip_prefix('-')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executions_name_belongs_to_one_migration() {
        let id = "prod".parse().unwrap();
        assert_eq!(number_of("prod-2", &id), Some(2));
        for other in ["prod", "prod-", "prod-2-1", "prod2-1", "other-1"] {
            assert_eq!(number_of(other, &id), None, "{other}");
        }
    }
}
