//! ARNs (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>).

/// The parts of an ARN, whatever is in them.
pub(super) struct Arn<'a> {
    partition: &'a str,
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    account: &'a str,
    /// Everything behind the account, colons included.
    pub(super) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// The parts of `text`; none where it does not have the shape of an ARN.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("arn:")?;
        let mut parts = rest.splitn(5, ':');
        let mut part = || parts.next();
        Some(Self { partition: part()?, service: part()?, region: part()?, account: part()?, resource: part()? })
    }

    /// Whether partition, region and account are of a kind that AWS has.
    pub(super) fn is_regional(&self) -> bool {
        let Self { partition, region, account, .. } = self;
        let lower = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        partition.strip_prefix("aws").is_some_and(lower)
            && region.contains('-')
            && region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && account.len() == 12
            && account.chars().all(|c| c.is_ascii_digit())
    }
}

/// Whether `text` is the ARN of an IAM role, which has no region.
pub(super) fn is_role(text: &str) -> bool {
    Arn::parse(text).is_some_and(|arn| {
        let account = arn.account.len() == 12 && arn.account.chars().all(|c| c.is_ascii_digit());
        let named = arn.resource.strip_prefix("role/").is_some_and(|name| !name.is_empty());
        arn.partition.starts_with("aws") && arn.service == "iam" && arn.region.is_empty() && account && named
    })
}

/// Whether `text` is the ARN of an MSK cluster.
pub(super) fn is_cluster(text: &str) -> bool {
    let part = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    Arn::parse(text).is_some_and(|arn| {
        let parts: Vec<_> = arn.resource.split('/').collect();
        let named = matches!(parts[..], ["cluster", name, uuid] if part(name) && part(uuid));
        arn.is_regional() && arn.service == "kafka" && named
    })
}

/// What is wrong with `text` as the key of a bucket, if anything.
pub(super) fn key_problem(text: &str) -> Option<String> {
    const SHAPE: &str = "arn:aws:kms:REGION:ACCOUNT:key/ID";
    let arn = Arn::parse(text).filter(|arn| arn.is_regional() && arn.service == "kms");
    match arn.map(|arn| arn.resource.split_once('/')) {
        Some(Some(("key", id))) if !id.is_empty() => None,
        Some(Some(("alias", _))) => Some(format!(
            "backup.kms_key_arn {text:?} is an alias, which policies and S3's answers do not name: write its key's ARN ({SHAPE})"
        )),
        _ => Some(format!("backup.kms_key_arn {text:?} is not the ARN of a KMS key ({SHAPE})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_of_every_partition_are_known_and_nothing_else_is() {
        for (good, text) in [
            (true, "arn:aws:kafka:us-east-1:123456789012:cluster/orders/0a1b2c3d-0000-4000-8000-000000000001-3"),
            (true, "arn:aws-us-gov:kafka:us-gov-west-1:123456789012:cluster/a/b"),
            (true, "arn:aws-cn:kafka:cn-north-1:123456789012:cluster/a/b"),
            (false, "arn:aws:kafka:us-east-1:123456789012:cluster/orders"),
            (false, "arn:aws:kafka:us-east-1:123456789012:cluster/orders/"),
            (false, "arn:aws:kafka:us-east-1:123456789012:topic/orders/b/t"),
            (false, "arn:aws:kafka:us-east-1:1234:cluster/a/b"),
            (false, "arn:aws:kafka::123456789012:cluster/a/b"),
            (false, "arn:amazon:kafka:us-east-1:123456789012:cluster/a/b"),
            (false, "arn:aws:s3:::kafka"),
            (false, "orders"),
        ] {
            assert_eq!(is_cluster(text), good, "{text}");
        }
    }

    #[test]
    fn a_key_is_named_itself() {
        assert_eq!(key_problem("arn:aws:kms:us-east-1:123456789012:key/k"), None);
        assert!(key_problem("arn:aws:kms:us-east-1:123456789012:alias/k").unwrap().contains("alias"));
        for bad in ["k", "arn:aws:kms:us-east-1:123456789012:key/", "arn:aws:s3:us-east-1:123456789012:key/k"] {
            assert!(key_problem(bad).unwrap().contains("is not the ARN of a KMS key"), "{bad}");
        }
    }
}
