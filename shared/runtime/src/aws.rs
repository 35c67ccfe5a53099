//! AWS clients, built once from the environment, and the meaning of their errors.

use std::fmt::Debug;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use migration::config::ClusterConfig;
use migration::{Error, ErrorKind, Result};

use crate::roles::Roles;

/// Name of the journal's table when `MSK_KRAFT_TABLE` is not set.
const DEFAULT_TABLE: &str = "msk-kraft";

/// Longest time until an endpoint of AWS takes a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Longest time until an attempt of a call has the beginning of its answer, the request's own way included. The SDK makes three
/// attempts. Without it an endpoint that takes connections and never answers would be waited for without an end.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// The AWS clients of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// DynamoDB, which holds the journal.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Step Functions.
    pub sfn: aws_sdk_sfn::Client,
    /// Name of the journal's table.
    pub table: String,
    /// Roles that were assumed.
    roles: Roles,
}

impl Aws {
    /// Clients from the usual AWS environment.
    pub async fn from_env() -> Self {
        Self::new(environment(READ_LIMIT).load().await)
    }

    /// Clients of `config`. A custom endpoint (`AWS_ENDPOINT_URL`) is addressed by path in S3, since a stand-in has no host
    /// name per bucket.
    pub fn new(config: SdkConfig) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(config.endpoint_url().is_some()).build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            table: std::env::var("MSK_KRAFT_TABLE").unwrap_or_else(|_| DEFAULT_TABLE.to_owned()),
            roles: Roles::default(),
            config,
        }
    }

    /// The shared configuration, for a client that only one binary needs.
    pub const fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Secrets Manager, in the region of the secret `arn` or, for what is no ARN, in the one this runs in.
    pub fn secrets(&self, arn: &str) -> aws_sdk_secretsmanager::Client {
        let mut config = aws_sdk_secretsmanager::config::Builder::from(&self.config);
        if let Some(region) = arn.split(':').nth(3) {
            config = config.region(Region::new(region.to_owned()));
        }
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// The clients for whatever concerns the cluster of `config`: under its role where it has one.
    ///
    /// # Errors
    /// Blocked, naming the role, when it must not be assumed; Transient when STS was not reached.
    pub async fn acting_for(&self, config: &ClusterConfig) -> Result<Self> {
        let Some(role) = &config.role_arn else { return Ok(self.clone()) };
        // On the heap: few need it, and everybody who connects would carry it.
        let credentials = Box::pin(self.roles.assume(role, config.region(), &self.config)).await?;
        let config = self.config.to_builder().credentials_provider(credentials).build();
        Ok(Self { table: self.table.clone(), roles: self.roles.clone(), ..Self::new(config) })
    }

    /// The MSK control plane of `region`, which may differ from the one this runs in.
    pub fn msk(&self, region: &str) -> aws_sdk_kafka::Client {
        let config = aws_sdk_kafka::config::Builder::from(&self.config).region(Region::new(region.to_owned())).build();
        aws_sdk_kafka::Client::from_conf(config)
    }
}

/// The usual AWS environment, in which an attempt of a call has `read_limit` until its answer begins.
fn environment(read_limit: Duration) -> ConfigLoader {
    let http = Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https();
    let limits = TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).read_timeout(read_limit).build();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(limits)
}

/// Error codes that a passing shortage or race gives; the rest of the answered errors want a person.
const PASSING: [&str; 9] = [
    "SlowDown",
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestTimeout",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "InternalError",
    "OperationAborted",
];

/// The meaning of an SDK error: what did not reach AWS, and what AWS calls passing, is worth a retry; an answer such as
/// `AccessDenied` or `NoSuchBucket` is not. `what` says what was tried.
pub fn sdk_error<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: aws_smithy_runtime_api::client::result::CreateUnhandledError
        + aws_sdk_s3::error::ProvideErrorMetadata
        + std::error::Error
        + Debug
        + Send
        + Sync
        + 'static,
{
    let SdkError::ServiceError(service) = error else {
        return Error::transient(format_args!("{what}: {}", sources(error)));
    };
    let code = service.err().code().unwrap_or("unknown");
    let message = service.err().message().unwrap_or("no message");
    let status = service.raw().status().as_u16();
    let kind = if status >= 500 || PASSING.contains(&code) { ErrorKind::Transient } else { ErrorKind::Blocked };
    Error::new(kind, format_args!("{what}: {code} (HTTP {status}): {message}"))
}

/// An error with everything that caused it, on one line.
pub(crate) fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::config::Credentials;

    /// What one call may take here, over all of its attempts.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_endpoint_that_never_answers_is_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let environment = environment(Duration::from_millis(100))
            .endpoint_url(format!("http://{}", silent.local_addr().unwrap()))
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"));
        let aws = Aws::new(environment.load().await);
        let asked = tokio::time::timeout(PATIENCE, aws.dynamodb.list_tables().send()).await;
        let error = asked.expect("it is waited for without an end").unwrap_err();
        assert_eq!(sdk_error("cannot ask", &error).kind, ErrorKind::Transient, "{error:?}");
    }
}
