//! A configuration for tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use migration::Config;
use serde_json::json;

/// Between clusters `old` and `new` of one region.
pub(crate) fn config() -> Config {
    let cluster = |name: &str| {
        let arn = format!("arn:aws:kafka:eu-west-2:123456789012:cluster/{name}/uuid-1");
        json!({"cluster_arn": arn, "auth": {"mode": "plaintext"}})
    };
    let bucket = |name: &str| json!({"s3_bucket": name, "s3_prefix": "p/"});
    let config = json!({
        "source": cluster("old"), "target": cluster("new"), "backup": bucket("segments"), "evidence": bucket("proofs"),
    });
    Config::from_json(&config).unwrap()
}
