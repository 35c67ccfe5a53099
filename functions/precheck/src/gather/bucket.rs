//! Whether a bucket is there and open to the functions.

use aws_sdk_s3::Client;
use runtime::aws::sdk_error;

use crate::facts::Bucket;

/// Looks at `bucket`, and at its Object Lock when `lock` says that it matters.
pub(crate) async fn look(s3: &Client, bucket: &str, lock: bool) -> Bucket {
    let reachable = head(s3, bucket).await;
    let object_lock = match lock && reachable.is_ok() {
        true => Some(has_object_lock(s3, bucket).await),
        false => None,
    };
    Bucket { reachable, object_lock }
}

async fn head(s3: &Client, bucket: &str) -> Result<(), String> {
    let Err(error) = s3.head_bucket().bucket(bucket).send().await else { return Ok(()) };
    let Some(raw) = error.raw_response() else {
        return Err(sdk_error("HeadBucket", &error).message);
    };
    Err(refusal(raw.status().as_u16(), raw.headers().get("x-amz-bucket-region")))
}

/// The answer to HEAD has no body: its status is all that S3 says.
fn refusal(status: u16, region: Option<&str>) -> String {
    match status {
        404 => "it does not exist (HTTP 404)".to_owned(),
        403 => "access is denied, or the bucket belongs to another account (HTTP 403)".to_owned(),
        301 | 307 => format!("it is in another region, {} (HTTP {status})", region.unwrap_or("which S3 did not name")),
        status => format!("S3 answered HTTP {status}"),
    }
}

async fn has_object_lock(s3: &Client, bucket: &str) -> migration::Result<bool> {
    let error = match s3.get_object_lock_configuration().bucket(bucket).send().await {
        Ok(answer) => {
            return Ok(answer.object_lock_configuration.is_some_and(|lock| lock.object_lock_enabled.is_some()));
        }
        Err(error) => error,
    };
    let code = error.as_service_error().and_then(|error| error.meta().code());
    if code == Some("ObjectLockConfigurationNotFoundError") {
        return Ok(false);
    }
    Err(sdk_error(&format!("read the Object Lock configuration of bucket {bucket}"), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_put_into_words() {
        assert!(refusal(404, None).contains("does not exist"));
        assert!(refusal(403, None).contains("denied"));
        assert!(refusal(301, Some("eu-west-1")).contains("eu-west-1"));
        assert!(refusal(503, None).contains("503"));
    }
}
