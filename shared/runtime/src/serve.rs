//! The glue between a handler and Lambda.

use std::future::Future;
use std::sync::Arc;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use migration::{Error, ErrorKind, MigrationId, Phase};
use serde::Serialize;
use serde::de::DeserializeOwned;
use telemetry::metrics;
use telemetry::traces::Traces;

use crate::{Budget, Host};

/// Runs a function: builds the [`Host`] once, then answers every invocation with `handle`. An error reaches the state
/// machine under the name of its kind, so that `Retry` and `Catch` can tell kinds apart.
///
/// # Errors
/// When the Lambda runtime API cannot be reached.
pub async fn serve<I, O, F, R>(handle: F) -> Result<(), lambda_runtime::Error>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Fn(Arc<Host>, I, Budget) -> R,
    R: Future<Output = Result<O, Error>>,
{
    telemetry::init_function();
    let host = Arc::new(Host::from_env().await);
    let name = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    let traces = Traces::from_env(&name);
    lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| {
        let field = |name: &str| event.payload[name].as_str().unwrap_or_default().to_owned();
        let (operation, migration) = (format!("{name} {}", field("op")), field("migration_id"));
        let span = traces.begin(operation.trim_end(), Some(migration.as_str()).filter(|id| !id.is_empty()));
        let traces = traces.clone();
        let budget = Budget::from_deadline(event.context.deadline);
        let input = serde_json::from_value(event.payload);
        let outcome = input.map(|input| handle(Arc::clone(&host), input, budget));
        async move {
            let result = match outcome {
                Ok(outcome) => outcome.await,
                Err(error) => Err(Error::invalid(format_args!("the function's input cannot be used: {error}"))),
            };
            span.end(result.as_ref().err().map(|error| error.kind.name()));
            if traces.are_on() {
                let _ = tokio::task::spawn_blocking(move || traces.flush()).await;
            }
            result.map_err(|error| {
                tracing::error!(kind = error.kind.name(), context = ?error.context, "{}", error.message);
                if error.kind == ErrorKind::Fenced {
                    count_fenced(&error);
                }
                diagnostic(&error)
            })
        }
    }))
    .await
}

fn count_fenced(error: &Error) {
    let phase = error.context.phase.map_or("none", Phase::name);
    let run = error.context.run.as_ref().map_or("none", MigrationId::as_str);
    metrics::emit(phase, run, &[(metrics::FENCED, 1.0)]);
}

fn diagnostic(error: &Error) -> Diagnostic {
    Diagnostic { error_type: error.kind.name().to_owned(), error_message: error.to_string() }
}
