//! Executions that were stopped. Step Functions ends them at once; moto's go on being `RUNNING` while a state of theirs waits for
//! a task token that nobody will ever answer. So answers about them are put right here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use serde_json::{Value, json};

/// Size limit of a request or an answer that is read.
const LIMIT: usize = 4 << 20;

/// ARNs of the executions that were stopped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopped(Arc<Mutex<BTreeSet<String>>>);

/// What a request asks of executions, as far as it matters here.
pub(super) enum Asked {
    /// To stop the execution of this ARN.
    Stop(String),
    /// How one is, or which there are.
    Status,
}

impl Asked {
    /// What `request` asks, and the request.
    ///
    /// # Errors
    /// When its body cannot be read.
    pub(super) async fn of(request: Request) -> Result<(Option<Self>, Request), axum::Error> {
        let operation = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
        match operation.and_then(|target| target.rsplit('.').next()) {
            Some("DescribeExecution" | "ListExecutions") => Ok((Some(Self::Status), request)),
            Some("StopExecution") => {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, LIMIT).await?;
                let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
                let arn = asked["executionArn"].as_str().unwrap_or_default().to_owned();
                Ok((Some(Self::Stop(arn)), Request::from_parts(parts, Body::from(body))))
            }
            _ => Ok((None, request)),
        }
    }
}

impl Stopped {
    fn arns(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what was stopped, and puts an answer right.
    ///
    /// # Errors
    /// When the answer's body cannot be read.
    pub(super) async fn put_right(&self, asked: Asked, answer: Response) -> Result<Response, axum::Error> {
        match asked {
            Asked::Stop(arn) if answer.status().is_success() => {
                self.arns().insert(arn);
                Ok(answer)
            }
            Asked::Stop(_) => Ok(answer),
            Asked::Status => {
                let (mut parts, body) = answer.into_parts();
                let body = axum::body::to_bytes(body, LIMIT).await?;
                let Ok(mut told) = serde_json::from_slice::<Value>(&body) else {
                    return Ok(Response::from_parts(parts, Body::from(body)));
                };
                self.correct(&mut told);
                parts.headers.remove(header::CONTENT_LENGTH);
                Ok(Response::from_parts(parts, Body::from(told.to_string())))
            }
        }
    }

    fn correct(&self, told: &mut Value) {
        let arns = self.arns();
        let is_zombie = |execution: &Value| {
            execution["status"] == "RUNNING" && execution["executionArn"].as_str().is_some_and(|arn| arns.contains(arn))
        };
        if is_zombie(told) {
            told["status"] = json!("ABORTED");
        }
        // Only running ones are listed by status here, by the CLI.
        if let Some(executions) = told.get_mut("executions").and_then(Value::as_array_mut) {
            executions.retain(|execution| !is_zombie(execution));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stopped_does_not_run_whatever_moto_says() {
        let stopped = Stopped::default();
        stopped.arns().insert("a".to_owned());
        let told = |mut told: Value| {
            stopped.correct(&mut told);
            told
        };
        let running = |arn: &str| json!({"executionArn": arn, "status": "RUNNING"});
        assert_eq!(told(running("a"))["status"], "ABORTED");
        assert_eq!(told(running("b")), running("b"));
        assert_eq!(told(json!({"executionArn": "a", "status": "FAILED"}))["status"], "FAILED");
        assert_eq!(told(json!({"executions": [running("a"), running("b")]})), json!({"executions": [running("b")]}));
    }
}
