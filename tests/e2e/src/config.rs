//! The migration's configuration file, as an operator would write it for the local stack.

use std::path::{Path, PathBuf};

use anyhow::Context;
use stack::{EVIDENCE_BUCKET, Ground, SEGMENTS_BUCKET, Side};

/// The text of a configuration for `stack`.
pub fn yaml(stack: &Ground) -> String {
    yaml_with(stack, SEGMENTS_BUCKET, EVIDENCE_BUCKET)
}

/// The same with other buckets.
pub fn yaml_with(stack: &Ground, backup: &str, evidence: &str) -> String {
    format!(
        "enterprise:
  msk_kraft_migration:
    source:
      cluster_arn: {source}
      auth:
        mode: plaintext
    target:
      cluster_arn: {target}
      auth:
        mode: plaintext
    backup:
      s3_bucket: {backup}
      s3_prefix: zk-to-kraft/
    evidence:
      s3_bucket: {evidence}
      s3_prefix: migrations/
      retention: 1d
    cutover:
      drain_timeout: 10m
      drain_max_partition_lag: 100
      drain_stable_window: 2s
      max_producer_freeze: 60s
      producer_freeze_webhook: {webhook}
    validation:
      count_tolerance: 0
      spot_check_records_per_partition: 3
    acl:
      on_drift: merge
",
        source = stack.cluster_arn(Side::Source),
        target = stack.cluster_arn(Side::Target),
        webhook = stack.webhook_url(),
    )
}

/// Writes `text` as `name` into `dir`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join(name);
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
