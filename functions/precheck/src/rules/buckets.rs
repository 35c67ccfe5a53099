//! The two buckets.

use migration::Error;
use migration::report::Finding;

use super::{blocker, warning};
use crate::facts::Facts;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    [backup(facts), evidence(facts), object_lock(facts), key(facts)].into_iter().flatten().collect()
}

/// The finding when the bucket is there, but the report cannot be stored in it.
pub(crate) fn cannot_store(facts: &Facts, error: &Error) -> Finding {
    unusable("B07", "backup", &facts.config.backup.s3_bucket, &error.message)
}

fn backup(facts: &Facts) -> Option<Finding> {
    let error = facts.backup.reachable.as_ref().err()?;
    Some(unusable("B07", "backup", &facts.config.backup.s3_bucket, error))
}

fn evidence(facts: &Facts) -> Option<Finding> {
    let error = facts.evidence.reachable.as_ref().err()?;
    Some(unusable("B08", "evidence", &facts.config.evidence.s3_bucket, error))
}

fn unusable(code: &str, side: &str, bucket: &str, error: &str) -> Finding {
    blocker(
        code,
        format_args!("{side} bucket '{bucket}' cannot be used: {error}"),
        format_args!(
            "correct {side}.s3_bucket, create the bucket with `aws s3 mb s3://{bucket}`, or allow the functions' roles \
             s3:ListBucket on it and s3:GetObject and s3:PutObject on its objects"
        ),
    )
}

fn object_lock(facts: &Facts) -> Option<Finding> {
    let locked = facts.evidence.object_lock.as_ref()?.as_ref().ok()?;
    let retention = facts.config.evidence.retention.filter(|_| !locked)?;
    let bucket = &facts.config.evidence.s3_bucket;
    Some(blocker(
        "B08",
        format_args!("evidence bucket '{bucket}' has no Object Lock, which evidence.retention {retention} needs"),
        format_args!(
            "use a bucket that was created with it (`aws s3api create-bucket --object-lock-enabled-for-bucket --bucket \
             <name>`), or leave evidence.retention out"
        ),
    ))
}

fn key(facts: &Facts) -> Option<Finding> {
    let key = facts.config.backup.kms_key_arn.as_deref()?;
    Some(warning(
        "W03",
        format_args!("backup.kms_key_arn names {key}; whether the functions may use that key was not tried"),
        "allow the functions' roles kms:GenerateDataKey, kms:Encrypt and kms:Decrypt on it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{codes, facts};

    fn one(facts: &Facts, code: &str) -> Finding {
        let findings = judge(facts);
        assert_eq!(codes(&findings), [code], "{findings:?}");
        findings.into_iter().next().unwrap()
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn b07_names_the_backup_bucket_and_the_error() {
        let mut facts = facts();
        facts.backup.reachable = Err("it does not exist (HTTP 404)".to_owned());
        let finding = one(&facts, "B07");
        assert_eq!(finding.message, "backup bucket 'segments' cannot be used: it does not exist (HTTP 404)");
        assert!(finding.fix.contains("aws s3 mb s3://segments"));
        assert_eq!(cannot_store(&facts, &Error::blocked("AccessDenied")).code, "B07");
    }

    #[test]
    fn b08_names_the_evidence_bucket_and_the_error() {
        let mut facts = facts();
        facts.evidence.reachable = Err("access is denied (HTTP 403)".to_owned());
        assert!(one(&facts, "B08").message.contains("'proofs' cannot be used: access is denied"));
    }

    #[test]
    fn b08_a_retention_that_the_bucket_cannot_keep() {
        let mut facts = facts();
        facts.config.evidence.retention = "7y".parse().ok();
        facts.evidence.object_lock = Some(Ok(false));
        assert!(one(&facts, "B08").message.contains("evidence.retention 7y"));
        facts.evidence.object_lock = Some(Ok(true));
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w03_a_key_of_the_customer() {
        let mut facts = facts();
        facts.config.backup.kms_key_arn = Some("arn:aws:kms:us-east-1:1:key/k".to_owned());
        assert!(one(&facts, "W03").message.contains("key/k"));
    }
}
