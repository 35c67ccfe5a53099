//! A function for the stack's own test: it does what its event says.

use std::time::Duration;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::{Value, json};

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let event = event.payload;
    match event["op"].as_str() {
        // The first caller to create the file finds no end, every later one returns: a kill leads to success.
        Some("hang-once") => {
            let path = event["file"].as_str().unwrap_or_default();
            if std::fs::File::create_new(path).is_ok() {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
        }
        Some("sleep") => tokio::time::sleep(Duration::from_millis(event["ms"].as_u64().unwrap_or(0))).await,
        Some("store") => {
            let (path, text) = (event["file"].as_str().unwrap_or_default(), event["text"].as_str().unwrap_or_default());
            std::fs::write(path, text).map_err(|error| failure("IO", &error.to_string()))?;
        }
        Some("fail") => return Err(failure(event["type"].as_str().unwrap_or("FAILED"), "as asked")),
        Some("exit") => std::process::exit(7),
        _ => {}
    }
    Ok(json!({"event": event, "function": std::env::var("AWS_LAMBDA_FUNCTION_NAME").ok(), "pid": std::process::id()}))
}

fn failure(kind: &str, message: &str) -> Diagnostic {
    Diagnostic { error_type: kind.to_owned(), error_message: message.to_owned() }
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::run(service_fn(handle)).await
}
