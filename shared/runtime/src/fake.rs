//! A stand-in for the HTTP side of AWS in tests: answers what it is told to, and remembers what was asked.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use serde_json::Value;

use crate::aws::Aws;

/// What is answered to an operation, such as `CreateSecret`, with this input: its output, or code and message of an error.
type Answer = fn(&str, &Value) -> Result<Value, (&'static str, &'static str)>;

/// An AWS whose services of the JSON protocol answer through a function.
#[derive(Debug, Clone)]
pub(crate) struct FakeAws {
    answer: Answer,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl FakeAws {
    pub(crate) fn new(answer: Answer) -> Self {
        Self { answer, asked: Arc::default() }
    }

    /// Clients of it.
    pub(crate) fn aws(&self) -> Aws {
        let credentials = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).http_client(self.clone());
        let config = config.region(Region::from_static("us-east-1"));
        Aws::new(config.credentials_provider(SharedCredentialsProvider::new(credentials)).build())
    }

    /// The operations asked for, each with `field` of its input.
    pub(crate) fn asked(&self, field: &str) -> Vec<(String, String)> {
        let text = |input: &Value| input[field].as_str().unwrap_or_default().to_owned();
        self.asked.lock().unwrap().iter().map(|(operation, input)| (operation.clone(), text(input))).collect()
    }
}

impl HttpClient for FakeAws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for FakeAws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let input = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap();
        let (status, body) = match (self.answer)(&operation, &input) {
            Ok(output) => (200, output),
            Err((code, message)) => (400, serde_json::json!({"__type": code, "message": message})),
        };
        self.asked.lock().unwrap().push((operation, input));
        let status = status.try_into().unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body.to_string()))))
    }
}
