//! The two buckets: are they there, in the right place, and do they keep what they are given.

use migration::Error;
use migration::report::Finding;

use super::finding::finding;
use crate::facts::{DefaultLock, Facts};

const DAY: u64 = 86_400;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let findings = [
        backup(facts),
        evidence(facts),
        object_lock(facts),
        key(facts),
        region(facts),
        locked_working_data(facts),
        default_retention(facts),
        changeable_evidence(facts),
        evidence_key(facts),
    ];
    findings.into_iter().flatten().collect()
}

/// The finding when the bucket is there, but the report cannot be stored in it.
pub(crate) fn cannot_store(facts: &Facts, error: &Error) -> Finding {
    unusable_backup(facts, &error.message)
}

fn backup(facts: &Facts) -> Option<Finding> {
    facts.backup.reachable.as_ref().err().map(|error| unusable_backup(facts, &error.message))
}

fn unusable_backup(facts: &Facts, error: &str) -> Finding {
    let backup = &facts.config.backup;
    let key = backup.kms_key_arn.as_deref().map_or_else(String::new, |key| {
        format!("; with a KMS key also kms:GenerateDataKey and kms:Decrypt on {key}, in its key policy too if it is of another account")
    });
    finding("B07", "backup")
        .found(format_args!("backup S3 bucket '{}' cannot be used: {error}", backup.s3_bucket))
        .because("every byte of the copy goes through it: an object is stored there and read back to see whether that works")
        .fix(format_args!(
            "correct backup.s3_bucket, or create the bucket with `aws s3 mb s3://{0} --region {1}`; allow the functions' \
             roles s3:ListBucket on it and s3:GetObject and s3:PutObject on its objects{key}",
            backup.s3_bucket,
            facts.config.target.region()
        ))
}

fn evidence(facts: &Facts) -> Option<Finding> {
    let error = facts.evidence.reachable.as_ref().err()?;
    let bucket = &facts.config.evidence.s3_bucket;
    Some(
        finding("B08", "evidence")
            .found(format_args!("evidence S3 bucket '{bucket}' cannot be used: {}", error.message))
            .because("the signed evidence is stored there at the end, and a migration without it is not finalized")
            .fix(format_args!(
                "correct evidence.s3_bucket, or create the bucket with `aws s3 mb s3://{bucket} --region {}` (with \
                 evidence.retention: `aws s3api create-bucket --object-lock-enabled-for-bucket`); allow the functions' roles \
                 s3:ListBucket on it and s3:PutObject on its objects",
                facts.config.target.region()
            )),
    )
}

fn object_lock(facts: &Facts) -> Option<Finding> {
    let retention = facts.config.evidence.retention?;
    let missing = facts.evidence.reachable.is_ok() && matches!(facts.evidence.lock, Ok(None));
    let bucket = &facts.config.evidence.s3_bucket;
    missing.then(|| {
        finding("B08", "evidence")
            .found(format_args!("evidence S3 bucket '{bucket}' has no Object Lock, which evidence.retention {retention} needs"))
            .because("S3 refuses objects with a retention there, so storing the evidence would fail at the end")
            .fix(format_args!(
                "switch it on: `aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled`, \
                 then `aws s3api put-object-lock-configuration --bucket {bucket} --object-lock-configuration \
                 ObjectLockEnabled=Enabled`; or leave evidence.retention out"
            ))
    })
}

/// The key that is used is the bucket's own affair: the copy names none. What S3 says of the probe is the truth.
fn key(facts: &Facts) -> Option<Finding> {
    let (backup, probe) = (&facts.config.backup, facts.backup.probe.as_ref()?);
    let wanted = backup.kms_key_arn.as_deref()?;
    let used = probe.key.as_deref();
    let bucket = &backup.s3_bucket;
    (used != Some(wanted)).then(|| {
        finding("W03", "backup")
            .found(format_args!(
                "S3 encrypts objects in '{bucket}' with {}, not with backup.kms_key_arn {wanted}",
                used.unwrap_or("no KMS key of its own (SSE-S3)")
            ))
            .because("objects are stored under the bucket's default encryption, which does not name that key")
            .fix(format_args!(
                "`aws s3api put-bucket-encryption --bucket {bucket} --server-side-encryption-configuration \
                 '{{\"Rules\":[{{\"ApplyServerSideEncryptionByDefault\":{{\"SSEAlgorithm\":\"aws:kms\",\"KMSMasterKeyID\":\
                 \"{wanted}\"}},\"BucketKeyEnabled\":true}}]}}'`, or correct backup.kms_key_arn"
            ))
    })
}

fn region(facts: &Facts) -> Option<Finding> {
    let found = facts.backup.region.as_deref()?;
    let (source, target) = (facts.config.source.region(), facts.config.target.region());
    (found != source && found != target).then(|| {
        finding("W17", "backup")
            .found(format_args!(
                "backup S3 bucket '{}' is in {found}, the source in {source} and the target in {target}",
                facts.config.backup.s3_bucket
            ))
            .because("every copied byte is stored there and read from there: it is paid for as traffic between regions, and is slow")
            .fix(format_args!("use a bucket in {target}"))
    })
}

fn locked_working_data(facts: &Facts) -> Option<Finding> {
    let lock = facts.backup.lock.as_ref().ok()?.as_ref()?.default?;
    Some(
        finding("W18", "backup")
            .found(format_args!(
                "backup S3 bucket '{}' locks every object for {} by default",
                facts.config.backup.s3_bucket,
                told(lock)
            ))
            .because("the segments of the copy cannot be deleted after the migration for that time, and are paid for")
            .fix("use a bucket without a default retention for the working data"),
    )
}

fn default_retention(facts: &Facts) -> Option<Finding> {
    let retention = facts.config.evidence.retention?;
    let lock = facts.evidence.lock.as_ref().ok()?.as_ref()?.default?;
    let longer = lock.days > i64::try_from(retention.as_secs() / DAY).ok()?;
    longer.then(|| {
        finding("W18", "evidence")
            .found(format_args!(
                "evidence.retention {retention} is shorter than what bucket '{}' locks objects for by default, {}",
                facts.config.evidence.s3_bucket,
                told(lock)
            ))
            .because("the evidence is stored with a retention of its own, in compliance mode, and that one counts")
            .fix("set evidence.retention to at least the bucket's default, if that is what has to be kept to")
    })
}

fn changeable_evidence(facts: &Facts) -> Option<Finding> {
    let evidence = &facts.evidence;
    let locked = matches!(&evidence.lock, Ok(Some(lock)) if lock.default.is_some());
    let kept = locked || facts.config.evidence.retention.is_some();
    (!kept && evidence.reachable.is_ok() && matches!(evidence.versioned, Ok(false))).then(|| {
        finding("I04", "evidence")
            .found(format_args!(
                "evidence S3 bucket '{}' keeps no versions and evidence.retention is not set",
                facts.config.evidence.s3_bucket
            ))
            .because(
                "whoever may write there can replace or delete the evidence; its signature shows a change, not a loss",
            )
            .fix("nothing, if that is good enough; else set evidence.retention and use a bucket with Object Lock")
    })
}

/// The planned policies know the backup's key alone.
fn evidence_key(facts: &Facts) -> Option<Finding> {
    let key = facts.evidence.default_key.as_ref().ok()?.as_deref()?;
    let planned = facts.config.backup.kms_key_arn.as_deref();
    let same = planned.is_some_and(|planned| planned == key || planned.ends_with(&format!("/{key}")));
    (!same).then(|| {
        finding("W22", "evidence")
            .found(format_args!(
                "evidence S3 bucket '{}' encrypts objects with the KMS key {key}",
                facts.config.evidence.s3_bucket
            ))
            .because("the policies that `msk-kraft plan` writes do not name that key, and storing the evidence at the end needs it")
            .fix(format_args!(
                "allow the roles of the functions evidence and gate kms:GenerateDataKey and kms:Decrypt on {key}, in its key \
                 policy too if it is of another account"
            ))
    })
}

fn told(lock: DefaultLock) -> String {
    let mode = if lock.compliance { "compliance" } else { "governance" };
    format!("{} days ({mode} mode)", lock.days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Lock, Probe};
    use crate::sample::{facts, one};

    const KEY: &str = "arn:aws:kms:us-east-1:1:key/k";

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn b07_names_the_backup_bucket_and_the_error() {
        let mut facts = facts();
        facts.backup.reachable = Err(Error::blocked("it does not exist (HTTP 404)"));
        facts.backup.probe = None;
        let finding = one(judge(&facts), "B07");
        assert_eq!(finding.message, "backup S3 bucket 'segments' cannot be used: it does not exist (HTTP 404)");
        assert!(finding.fix.contains("aws s3 mb s3://segments") && !finding.fix.contains("kms:"));
        facts.config.backup.kms_key_arn = Some(KEY.to_owned());
        assert!(one(judge(&facts), "B07").fix.contains(&format!("kms:GenerateDataKey and kms:Decrypt on {KEY}")));
        assert_eq!(cannot_store(&facts, &Error::blocked("AccessDenied")).code, "B07");
    }

    #[test]
    fn b08_names_the_evidence_bucket_and_the_error() {
        let mut facts = facts();
        facts.evidence.reachable = Err(Error::blocked("access is denied (HTTP 403)"));
        assert!(one(judge(&facts), "B08").message.contains("'proofs' cannot be used: access is denied"));
    }

    #[test]
    fn b08_a_retention_that_the_bucket_cannot_keep() {
        let mut facts = facts();
        facts.config.evidence.retention = "7y".parse().ok();
        let finding = one(judge(&facts), "B08");
        assert!(finding.message.contains("evidence.retention 7y"), "{}", finding.message);
        assert!(finding.fix.contains("put-object-lock-configuration --bucket proofs"));
        facts.evidence.lock = Ok(Some(Lock { default: None }));
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w03_another_key_than_the_configured_one() {
        let mut facts = facts();
        facts.config.backup.kms_key_arn = Some(KEY.to_owned());
        assert!(one(judge(&facts), "W03").message.contains("no KMS key of its own (SSE-S3), not with"));
        facts.backup.probe = Some(Probe { key: Some("arn:aws:kms:us-east-1:1:key/other".to_owned()) });
        assert!(one(judge(&facts), "W03").message.contains("key/other, not with backup.kms_key_arn"));
        facts.backup.probe = Some(Probe { key: Some(KEY.to_owned()) });
        assert!(judge(&facts).is_empty());
        // Without a key in the configuration any will do.
        facts.config.backup.kms_key_arn = None;
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w17_a_bucket_in_a_third_region() {
        let mut facts = facts();
        facts.backup.region = Some("eu-west-1".to_owned());
        assert!(one(judge(&facts), "W17").message.contains("is in eu-west-1, the source in us-east-1"));
        facts.config.target.cluster_arn = "arn:aws:kafka:eu-west-1:123456789012:cluster/new/uuid-1".to_owned();
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w18_locks_that_the_configuration_does_not_mean() {
        let mut facts = facts();
        let lock = |days| Ok(Some(Lock { default: Some(DefaultLock { days, compliance: true }) }));
        facts.backup.lock = lock(30);
        assert!(one(judge(&facts), "W18").message.contains("locks every object for 30 days (compliance mode)"));
        facts.backup.lock = Ok(None);
        facts.evidence.lock = lock(3650);
        facts.config.evidence.retention = "7y".parse().ok();
        assert!(one(judge(&facts), "W18").message.contains("evidence.retention 7y is shorter"));
        facts.evidence.lock = lock(365);
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w22_a_key_that_no_policy_names() {
        let mut facts = facts();
        facts.evidence.default_key = Ok(Some(KEY.to_owned()));
        assert!(one(judge(&facts), "W22").fix.contains(KEY));
        facts.config.backup.kms_key_arn = Some(KEY.to_owned());
        facts.backup.probe = Some(Probe { key: Some(KEY.to_owned()) });
        assert!(judge(&facts).is_empty());
        // S3 names a key as it was told.
        facts.evidence.default_key = Ok(Some("k".to_owned()));
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn i04_evidence_that_can_be_replaced() {
        let mut facts = facts();
        facts.evidence.versioned = Ok(false);
        one(judge(&facts), "I04");
        facts.evidence.lock = Ok(Some(Lock { default: Some(DefaultLock { days: 1, compliance: false }) }));
        assert!(judge(&facts).is_empty());
    }
}
