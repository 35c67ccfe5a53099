//! Names of buckets, and prefixes in them.

use super::{Backup, Evidence};

/// Longest prefix, in bytes: a key has at most 1,024 (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>),
/// and what is added to a prefix names a topic.
const LONGEST_PREFIX: usize = 512;

/// Everything unusable about both buckets. Each begins with the field's path and a space.
pub(super) fn problems(backup: &Backup, evidence: &Evidence) -> Vec<String> {
    let each =
        [("backup", &backup.s3_bucket, &backup.s3_prefix), ("evidence", &evidence.s3_bucket, &evidence.s3_prefix)];
    let mut problems = Vec::new();
    for (section, bucket, prefix) in each {
        problems.extend(bucket_problem(bucket).map(|problem| format!("{section}.s3_bucket {problem}")));
        problems.extend(prefix_problem(prefix).map(|problem| format!("{section}.s3_prefix {problem}")));
    }
    let (segments, proof) = (&backup.s3_prefix, &evidence.s3_prefix);
    if backup.s3_bucket == evidence.s3_bucket
        && (segments.starts_with(proof.as_str()) || proof.starts_with(segments.as_str()))
    {
        problems.push(format!(
            "evidence.s3_prefix must not overlap with backup.s3_prefix, {segments:?}, in the same bucket: segments are deleted after \
             a while, and the evidence is kept"
        ));
    }
    problems
}

/// Why S3 has no bucket of this name (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>).
fn bucket_problem(name: &str) -> Option<&'static str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_name = (3..=63).contains(&name.len())
        && name.bytes().all(|byte| is_plain(byte) || matches!(byte, b'.' | b'-'))
        && name.bytes().next().is_some_and(is_plain)
        && name.bytes().last().is_some_and(is_plain);
    match name {
        // Said by the bounds.
        "" => None,
        _ if name.contains([':', '/']) => Some("must be the name of a bucket alone, without s3://, arn: or a path"),
        _ => (!is_name).then_some(
            "must be a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens, with a letter or digit at both ends",
        ),
    }
}

/// Why keys should not begin like this. The migration's id follows it.
fn prefix_problem(prefix: &str) -> Option<String> {
    match prefix {
        "" => None,
        _ if prefix.contains(char::is_control) => Some("must not hold control characters".to_owned()),
        _ if prefix.len() > LONGEST_PREFIX => Some(format!("must have at most {LONGEST_PREFIX} bytes")),
        _ if prefix.starts_with('/') || prefix.contains("//") => Some(
            "must not begin with a slash, or have two in a row: S3 takes them as folders without a name".to_owned(),
        ),
        _ if !prefix.ends_with('/') => {
            Some(format!("must end with a slash, as in \"{prefix}/\": the migration's id follows it"))
        }
        _ => None,
    }
}
