//! Verifying evidence with openssl, as an auditor would.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;
use stack::{EVIDENCE_BUCKET, Stack};
use tokio::process::Command;

/// Files of the evidence: the bundle, its signature, the key.
const FILES: [&str; 3] = ["bundle.json", "bundle.sig", "public_key.pem"];

/// Fetches the evidence of `migration_id` into `dir`, verifies its signature with openssl, and returns the bundle.
///
/// # Errors
/// When a file is missing, or openssl does not accept the signature.
pub async fn verify(stack: &Stack, migration_id: &str, dir: &Path) -> anyhow::Result<Value> {
    verify_with(async |key| stack.get_object(EVIDENCE_BUCKET, &key).await, migration_id, dir).await
}

/// The same with another way to get an object of the evidence bucket.
///
/// # Errors
/// As [`verify`].
pub async fn verify_with(
    fetch: impl AsyncFn(String) -> anyhow::Result<Vec<u8>>,
    migration_id: &str,
    dir: &Path,
) -> anyhow::Result<Value> {
    std::fs::create_dir_all(dir)?;
    for name in FILES {
        let key = format!("migrations/{migration_id}/{name}");
        let body = fetch(key.clone()).await.with_context(|| format!("fetching {key}"))?;
        std::fs::write(dir.join(name), body)?;
    }
    let mut openssl = Command::new("openssl");
    openssl.current_dir(dir).args(["pkeyutl", "-verify", "-pubin", "-inkey", "public_key.pem", "-rawin"]);
    openssl.args(["-in", "bundle.json", "-sigfile", "bundle.sig"]);
    let output = openssl.output().await.context("starting openssl (Debian: openssl)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("Verified Successfully"), "openssl does not verify: {said}");
    let bundle = std::fs::read_to_string(dir.join("bundle.json"))?;
    serde_json::from_str(&bundle).context("the bundle is not JSON")
}
