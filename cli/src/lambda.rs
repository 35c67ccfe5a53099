//! Asking the functions directly: precheck, plan and rollback need no state machine.

use aws_sdk_lambda::config::StalledStreamProtectionConfig;
use aws_sdk_lambda::primitives::Blob;
use migration::message::PrecheckInput;
use migration::report::{Plan, PrecheckReport};
use migration::{Config, Error, ErrorKind, MigrationId, Result};
use runtime::Aws;
use runtime::aws::sdk_error;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Variable with what the functions' names begin with.
pub(crate) const PREFIX: &str = "MSK_KRAFT_FUNCTION_PREFIX";

/// The deployed functions.
#[derive(Debug)]
pub(crate) struct Functions {
    client: aws_sdk_lambda::Client,
    prefix: String,
}

/// Payload of an invocation that failed, as Lambda defines it.
#[derive(Debug, Deserialize)]
struct Failure {
    #[serde(rename = "errorType", default)]
    kind: String,
    #[serde(rename = "errorMessage", default)]
    message: String,
}

impl Functions {
    /// The functions of the account and region that `aws` signs in to.
    pub(crate) fn new(aws: &Aws) -> Self {
        // A function may work for minutes before it answers; the connection is silent until then.
        let config = aws_sdk_lambda::config::Builder::from(aws.config())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        let prefix = std::env::var(PREFIX).unwrap_or_default();
        Self { client: aws_sdk_lambda::Client::from_conf(config), prefix }
    }

    /// What precheck finds for `config`.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn precheck(&self, config: &Config) -> Result<PrecheckReport> {
        self.invoke("precheck", &PrecheckInput::Report { config: config.to_json() }).await
    }

    /// What a migration with `config` would do.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn plan(&self, config: &Config) -> Result<Plan> {
        self.invoke("precheck", &PrecheckInput::Plan { config: config.to_json() }).await
    }

    /// Marks `id` as rolled back; answers with the address of the report.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn rollback(&self, id: &MigrationId, reason: &str) -> Result<Option<String>> {
        let input = json!({"op": "rollback", "migration_id": id, "reason": reason});
        let answer: serde_json::Value = self.invoke("gate", &input).await?;
        Ok(answer["report"].as_str().map(str::to_owned))
    }

    async fn invoke<T: DeserializeOwned>(&self, function: &str, input: &(impl Serialize + Sync)) -> Result<T> {
        let name = format!("{}{function}", self.prefix);
        let internal = |what: &str, error| Error::internal(format_args!("{what} of function {name}: {error}"));
        let payload = serde_json::to_vec(input).map_err(|error| internal("input", error))?;
        let answer = self.client.invoke().function_name(&name).payload(Blob::new(payload)).send().await;
        let answer = answer.map_err(|error| {
            let missing = error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception());
            let mut error = sdk_error(&format!("invoke function {name}"), &error);
            if missing {
                error.message.push_str(&format!("; check the region, and {PREFIX} for the deployment's prefix"));
            }
            error
        })?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        match answer.function_error {
            Some(_) => Err(failure(&name, &payload)),
            None => serde_json::from_slice(&payload).map_err(|error| internal("answer", error)),
        }
    }
}

/// The error that `payload` tells of. One of ours keeps its kind; anything else, such as a timeout or a crash, is a
/// defect of the function or of its deployment.
fn failure(name: &str, payload: &[u8]) -> Error {
    let Ok(Failure { kind, message }) = serde_json::from_slice(payload) else {
        return Error::internal(format_args!("function {name} failed: {}", String::from_utf8_lossy(payload)));
    };
    match ErrorKind::ALL.into_iter().find(|known| known.name() == kind) {
        Some(known) => Error::new(known, message),
        None => Error::internal(format_args!("function {name} failed: {kind}: {message}; its log tells more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_error_keeps_its_kind_and_message() {
        let error = failure("precheck", br#"{"errorType":"Blocked","errorMessage":"no such cluster"}"#);
        assert_eq!(error, Error::blocked("no such cluster"));
    }

    #[test]
    fn a_crash_names_the_function() {
        let error = failure("x-precheck", br#"{"errorType":"Runtime.ExitError","errorMessage":"exit status 101"}"#);
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(error.message.contains("x-precheck failed: Runtime.ExitError: exit status 101"), "{error}");
        assert!(failure("x", b"<html>").message.contains("<html>"));
    }
}
