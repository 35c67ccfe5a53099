//! The glue between a handler and Lambda.

use std::future::Future;
use std::sync::Arc;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use migration::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

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
    lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| {
        let budget = Budget::from_deadline(event.context.deadline);
        let input = serde_json::from_value(event.payload);
        let outcome = input.map(|input| handle(Arc::clone(&host), input, budget));
        async move {
            let result = match outcome {
                Ok(outcome) => outcome.await,
                Err(error) => Err(Error::invalid(format_args!("the function's input cannot be used: {error}"))),
            };
            result.map_err(|error| {
                tracing::error!(kind = error.kind.name(), context = ?error.context, "{}", error.message);
                diagnostic(&error)
            })
        }
    }))
    .await
}

fn diagnostic(error: &Error) -> Diagnostic {
    Diagnostic { error_type: error.kind.name().to_owned(), error_message: error.to_string() }
}
