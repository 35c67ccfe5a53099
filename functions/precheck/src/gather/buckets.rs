//! Whether the two buckets are there, and fit for what is to be kept in them.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, DefaultRetention, ObjectLockRetentionMode, ObjectLockRule};
use migration::{Config, Error, Result};
use runtime::aws::sdk_error;

use crate::facts::{Bucket, DefaultLock, Lock, Probe};

/// Name of the object that shows whether the prefix can be written and read; each precheck overwrites it.
const PROBE: &str = "precheck-probe.txt";

/// What the object says to whoever finds it.
const PROBE_TEXT: &str = "msk-kraft precheck stores this object to see whether it can. It is not needed any more.\n";

/// Looks at the bucket of the working data, and tries it.
pub(crate) async fn backup(s3: &Client, config: &Config) -> Bucket {
    let (bucket, prefix) = (&config.backup.s3_bucket, &config.backup.s3_prefix);
    try_out(s3, bucket, prefix, look(s3, bucket).await).await
}

/// Looks at the bucket of the evidence, and tries it unless it has Object Lock, under which nobody could delete what is
/// stored.
pub(crate) async fn evidence(s3: &Client, config: &Config) -> Bucket {
    let (bucket, prefix) = (&config.evidence.s3_bucket, &config.evidence.s3_prefix);
    let (found, default_key) = tokio::join!(look(s3, bucket), default_key(s3, bucket));
    let found = Bucket { default_key, ..found };
    match found.lock {
        Ok(None) => try_out(s3, bucket, prefix, found).await,
        _ => found,
    }
}

/// Stores an object under the prefix and reads it back, if the bucket is there: nothing else tells whether the way through its
/// encryption is open.
async fn try_out(s3: &Client, bucket: &str, prefix: &str, mut found: Bucket) -> Bucket {
    if found.reachable.is_ok() {
        match store_and_read(s3, bucket, &format!("{prefix}{PROBE}")).await {
            Ok(probe) => found.probe = Some(probe),
            Err(error) => found.reachable = Err(error),
        }
    }
    found
}

async fn look(s3: &Client, bucket: &str) -> Bucket {
    let (head, versioned, lock) = tokio::join!(head(s3, bucket), versioned(s3, bucket), lock(s3, bucket));
    let (reachable, region) = match head {
        Ok(region) => (Ok(()), region),
        Err(error) => (Err(error), None),
    };
    Bucket { reachable, region, versioned, lock, default_key: Ok(None), probe: None }
}

/// The bucket's region, when S3 names it.
async fn head(s3: &Client, bucket: &str) -> Result<Option<String>> {
    let error = match s3.head_bucket().bucket(bucket).send().await {
        Ok(answer) => return Ok(answer.bucket_region),
        Err(error) => error,
    };
    let Some(raw) = error.raw_response() else {
        return Err(sdk_error("HeadBucket", &error));
    };
    Err(refusal(raw.status().as_u16(), raw.headers().get("x-amz-bucket-region")))
}

/// The answer to HEAD has no body: its status is all that S3 says.
fn refusal(status: u16, region: Option<&str>) -> Error {
    match status {
        404 => Error::blocked("it does not exist (HTTP 404)"),
        // The answer to a HEAD has no text that would name the right.
        403 => Error::blocked(
            "access is denied (s3:ListBucket is needed on it), or the bucket belongs to another account (HTTP 403)",
        ),
        301 | 307 => {
            let region = region.unwrap_or("which S3 did not name");
            Error::blocked(format_args!("it is in another region, {region} (HTTP {status})"))
        }
        500.. => Error::transient(format_args!("S3 answered HTTP {status}")),
        status => Error::blocked(format_args!("S3 answered HTTP {status}")),
    }
}

/// Stores the probe as the copy stores segments, without naming a key, and reads it back.
async fn store_and_read(s3: &Client, bucket: &str, key: &str) -> Result<Probe> {
    let url = format!("s3://{bucket}/{key}");
    let put = s3.put_object().bucket(bucket).key(key).body(ByteStream::from_static(PROBE_TEXT.as_bytes()));
    let put = put.send().await.map_err(|error| sdk_error(&format!("store {url}"), &error))?;
    let get = s3.get_object().bucket(bucket).key(key).send().await;
    get.map_err(|error| sdk_error(&format!("read {url} back"), &error))?;
    Ok(Probe { key: put.ssekms_key_id })
}

/// The key of the customer that objects are encrypted with; none where S3 uses its own.
async fn default_key(s3: &Client, bucket: &str) -> Result<Option<String>> {
    match s3.get_bucket_encryption().bucket(bucket).send().await {
        Ok(answer) => {
            let rules = answer.server_side_encryption_configuration.map(|all| all.rules).unwrap_or_default();
            Ok(rules.into_iter().find_map(|rule| rule.apply_server_side_encryption_by_default?.kms_master_key_id))
        }
        Err(error) if error.code() == Some("ServerSideEncryptionConfigurationNotFoundError") => Ok(None),
        Err(error) => Err(sdk_error(&format!("read the encryption of bucket {bucket}"), &error)),
    }
}

async fn versioned(s3: &Client, bucket: &str) -> Result<bool> {
    let answer = s3.get_bucket_versioning().bucket(bucket).send().await;
    let answer = answer.map_err(|error| sdk_error(&format!("read the versioning of bucket {bucket}"), &error))?;
    Ok(answer.status == Some(BucketVersioningStatus::Enabled))
}

async fn lock(s3: &Client, bucket: &str) -> Result<Option<Lock>> {
    let error = match s3.get_object_lock_configuration().bucket(bucket).send().await {
        Ok(answer) => {
            let enabled = answer.object_lock_configuration.filter(|lock| lock.object_lock_enabled.is_some());
            let default = |rule: ObjectLockRule| default_lock(&rule.default_retention?);
            return Ok(enabled.map(|lock| Lock { default: lock.rule.and_then(default) }));
        }
        Err(error) => error,
    };
    if error.code() == Some("ObjectLockConfigurationNotFoundError") {
        return Ok(None);
    }
    Err(sdk_error(&format!("read the Object Lock configuration of bucket {bucket}"), &error))
}

fn default_lock(retention: &DefaultRetention) -> Option<DefaultLock> {
    // S3 gives one of them; what stands in for it gives the other as 0.
    let days = i64::from(retention.years.unwrap_or(0)) * 365 + i64::from(retention.days.unwrap_or(0));
    let compliance = retention.mode == Some(ObjectLockRetentionMode::Compliance);
    (days > 0).then_some(DefaultLock { days, compliance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_put_into_words() {
        let told = |status, region| refusal(status, region).to_string();
        assert!(told(404, None).contains("does not exist"));
        assert!(told(403, None).contains("denied"));
        assert!(told(301, Some("eu-west-1")).contains("eu-west-1"));
        assert!(told(503, None).contains("503"));
        assert!(refusal(503, None).kind.is_retryable() && !refusal(403, None).kind.is_retryable());
    }

    #[test]
    fn a_default_retention_is_counted_in_days() {
        let in_years = DefaultRetention::builder().mode(ObjectLockRetentionMode::Compliance).years(2).build();
        assert_eq!(default_lock(&in_years), Some(DefaultLock { days: 730, compliance: true }));
        let in_days = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(30).build();
        assert_eq!(default_lock(&in_days), Some(DefaultLock { days: 30, compliance: false }));
    }
}
