//! Names, ARNs and clients of the local AWS.

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};

/// The only region there is.
pub const REGION: &str = "us-east-1";
/// moto's account.
pub(crate) const ACCOUNT: &str = "123456789012";
/// The journal's table.
pub const TABLE: &str = "msk-kraft";
/// The bucket of segments and manifests.
pub const SEGMENTS_BUCKET: &str = "msk-kraft-segments";
/// The bucket of evidence, with Object Lock.
pub const EVIDENCE_BUCKET: &str = "msk-kraft-evidence";
/// The state machine's name.
pub const STATE_MACHINE: &str = "msk-kraft";

/// The token of the functions' session: nobody's, in the form that STS gives.
pub(crate) const SESSION_TOKEN: &str =
    "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJHMEUCIQDx8+/PqTg7Rk1n0Yw5bZk3Jc2uQm9vTzAiEA4h6Tn1y5pXw==";

/// ARN of a function.
pub fn function_arn(function: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}")
}

/// ARN of the state machine called `name`.
pub fn state_machine_arn(name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}")
}

/// The environment that points an AWS client at `endpoint`.
pub(crate) fn client_env(endpoint: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// An S3 client for `endpoint`.
pub fn s3(endpoint: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(Credentials::new("test", "test", None, None, "stack"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}
