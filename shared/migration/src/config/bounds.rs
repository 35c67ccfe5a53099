//! What types cannot refuse: bounds, and values that only make sense together.

use super::{AuthMode, Config, Cutover, MAX_PARTITIONS_PER_BATCH, Span, WriteFence, arn, is_secret_arn};

/// Longest that a state of Step Functions waits, in seconds: what the freeze gate gets as its time limit
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html>, `TimeoutSeconds`).
const LONGEST_STATE: Span = Span::from_secs(99_999_999);
/// Longest that an execution of a standard workflow lives
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>).
const LONGEST_EXECUTION: Span = Span::from_secs(365 * 86_400);
/// Longest time of which one invocation of the drain can say that the lag stayed small all the while: it remembers that
/// itself, works for at most 14 minutes, and has to see the source settle first.
const LONGEST_STABLE_WINDOW: Span = Span::from_secs(10 * 60);
/// Shortest retention. S3 refuses one that is over before the object is stored; its own defaults count in days.
const SHORTEST_RETENTION: Span = Span::from_secs(86_400);
/// Longest retention that S3 Object Lock takes
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html>).
const LONGEST_RETENTION: Span = Span::from_secs(100 * 365 * 86_400);

impl Config {
    /// Everything that the types cannot refuse. Each begins with the field's path and a space.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |good: bool, problem: &str| {
            if !good {
                problems.push(problem.to_owned());
            }
        };
        require(self.enabled, "enabled is false: set it to true to run this migration");
        require(self.seed.max_concurrent_partitions > 0, "seed.max_concurrent_partitions must be at least 1");
        require(
            (1..=MAX_PARTITIONS_PER_BATCH).contains(&self.seed.partitions_per_batch),
            &format!("seed.partitions_per_batch must be from 1 to {MAX_PARTITIONS_PER_BATCH}"),
        );
        require(self.seed.segment_max_bytes >= 1024 * 1024, "seed.segment_max_bytes must be at least 1048576");
        require(self.validation.count_tolerance >= 0, "validation.count_tolerance must not be negative");
        require(!self.backup.s3_bucket.is_empty(), "backup.s3_bucket must not be empty");
        require(!self.evidence.s3_bucket.is_empty(), "evidence.s3_bucket must not be empty");
        require(
            self.evidence.retention.is_none_or(|kept| (SHORTEST_RETENTION..=LONGEST_RETENTION).contains(&kept)),
            &format!("evidence.retention must be from {SHORTEST_RETENTION} to {LONGEST_RETENTION}, as S3 takes it"),
        );
        require(
            self.evidence.signing_key_arn.as_deref().is_none_or(is_secret_arn),
            "evidence.signing_key_arn must be the ARN of a secret, as in arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME",
        );
        require(
            self.evidence.signing_key_arn.is_none() || self.evidence.signing_key_path.is_none(),
            "evidence.signing_key_arn excludes evidence.signing_key_path: keep one of them",
        );
        require(
            self.cutover.write_fence == WriteFence::None || self.source.auth.mode != AuthMode::Iam,
            "cutover.write_fence acl needs a source.auth.mode other than iam: no ACL counts for who signs in with IAM, so that nothing \
             would prove the fence. Sign in with scram-sha-512 or mtls, or set it to none",
        );
        problems.extend(self.cutover.problems());
        problems.extend(self.backup.kms_key_arn.as_deref().and_then(arn::key_problem));
        problems.extend(self.source.problems("source"));
        problems.extend(self.target.problems("target"));
        problems
    }
}

impl Cutover {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |good: bool, problem: String| {
            if !good {
                problems.push(format!("cutover.{problem}"));
            }
        };
        require(self.drain_max_partition_lag >= 0, "drain_max_partition_lag must not be negative".to_owned());
        require(
            self.drain_timeout <= LONGEST_EXECUTION,
            format!("drain_timeout must be at most {LONGEST_EXECUTION}, the longest that an execution lives"),
        );
        require(
            self.drain_stable_window < self.drain_timeout,
            "drain_stable_window must be shorter than cutover.drain_timeout, or nothing is ever drained in time"
                .to_owned(),
        );
        require(
            self.drain_stable_window <= LONGEST_STABLE_WINDOW,
            format!("drain_stable_window must be at most {LONGEST_STABLE_WINDOW}, which one invocation can watch"),
        );
        require(!self.max_producer_freeze.is_zero(), "max_producer_freeze must be longer than 0s".to_owned());
        require(
            self.max_producer_freeze <= LONGEST_STATE,
            format!("max_producer_freeze must be at most {LONGEST_STATE}, the longest that a state waits"),
        );
        require(!self.freeze_reaction_timeout.is_zero(), "freeze_reaction_timeout must be longer than 0s".to_owned());
        require(
            self.freeze_reaction_timeout <= LONGEST_STATE,
            format!("freeze_reaction_timeout must be at most {LONGEST_STATE}, the longest that a state waits"),
        );
        require(
            self.fence_window < self.max_producer_freeze,
            "fence_window must be shorter than cutover.max_producer_freeze, or no cutover ends in time".to_owned(),
        );
        require(!self.rehearsal_max_age.is_zero(), "rehearsal_max_age must be longer than 0s".to_owned());
        let webhooks = [
            ("producer_freeze_webhook", &self.producer_freeze_webhook),
            ("client_switch_webhook", &self.client_switch_webhook),
        ];
        for (field, url) in webhooks {
            let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
            require(url.as_ref().is_none_or(is_url), format!("{field} must be an http:// or https:// URL"));
        }
        require(
            self.webhook_secret_arn.as_deref().is_none_or(is_secret_arn),
            "webhook_secret_arn must be the ARN of a secret, as in arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"
                .to_owned(),
        );
        problems
    }
}
