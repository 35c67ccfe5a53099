//! The migration's configuration: the YAML file an operator writes, checked completely before anything is touched.
//!
//! The root is `enterprise.msk_kraft_migration`, so that files of earlier tools load unchanged. Unknown fields are
//! refused. `${NAME}` in a string takes the environment variable `NAME`, except in passwords: those stay references, so
//! that a configuration never carries a secret into a state, the journal or the evidence.
//!
//! A file's problems are found all at once: `yaml` reads it into a tree that knows its lines, `value` gives the tree to
//! serde, and `reading` tries until everything was looked at. The types below are the only description of the fields.

mod arn;
mod auth;
mod bounds;
mod cluster;
mod fault;
mod interpolate;
mod pattern;
mod problem;
mod reading;
mod span;
mod value;
mod yaml;

pub use auth::{AuthConfig, AuthMode, SecretRef, is_secret_arn};
pub use cluster::ClusterConfig;
pub use pattern::TopicPattern;
pub use problem::{Place, Problem, Problems};
pub use span::Span;

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use reading::Reading;

/// Most partitions in a batch: the journal keeps a batch in one item of DynamoDB, which holds at most 400 KB.
pub const MAX_PARTITIONS_PER_BATCH: u32 = 200;

/// Everything a migration is told. Durations are [`Span`]s, sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A switch to keep a prepared file from being run by accident.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The ZooKeeper-mode cluster to leave.
    pub source: ClusterConfig,
    /// The KRaft-mode cluster to move to.
    pub target: ClusterConfig,
    /// Where segments, offset runs and manifests are kept.
    pub backup: Backup,
    /// Where the signed evidence goes.
    pub evidence: Evidence,
    /// Drain and freeze.
    #[serde(default)]
    pub cutover: Cutover,
    /// What validation compares.
    #[serde(default)]
    pub validation: Validation,
    /// How the seed spends memory and connections.
    #[serde(default)]
    pub seed: Seed,
    /// How fast it may copy, until `msk-kraft throttle` says otherwise.
    #[serde(default)]
    pub throttle: Throttle,
    /// How topics are brought over.
    #[serde(default)]
    pub topology: Topology,
    /// How ACLs are brought over.
    #[serde(default)]
    pub acl: Acl,
}

/// The bucket of the migration's working data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Bucket name.
    pub s3_bucket: String,
    /// Key prefix; the migration id is appended.
    pub s3_prefix: String,
    /// Customer managed key of the bucket's encryption, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
}

/// The bucket and the signature of the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Bucket name.
    pub s3_bucket: String,
    /// Key prefix; the migration id is appended.
    pub s3_prefix: String,
    /// How long S3 Object Lock keeps the evidence from being changed; needs a bucket created with Object Lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Span>,
    /// Ed25519 private key in PKCS#8 PEM, readable by the evidence function. Without one a demonstration key signs,
    /// and the evidence says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key_path: Option<String>,
}

/// Drain and producer freeze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cutover {
    /// Longest time from the start of the tail to a lag that stays small.
    pub drain_timeout: Span,
    /// Largest lag of a partition that counts as drained, in records.
    pub drain_max_partition_lag: i64,
    /// How long every partition has to stay below it.
    pub drain_stable_window: Span,
    /// Longest time producers are held from the freeze to `READY_FOR_CLIENT_SWITCH`.
    pub max_producer_freeze: Span,
    /// Called with POST to freeze and unfreeze producers. Without it an operator confirms at a terminal. Its URL may carry
    /// credentials anywhere, so the CLI leaves scheme and host of it ([`Cutover::sealed`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer_freeze_webhook: Option<String>,
    /// ARN of the run's own secret with the whole URL of the webhook. Never in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_webhook_arn: Option<String>,
    /// Replication back to the source after the switch; not available.
    pub reverse_replication_enabled: bool,
}

impl Default for Cutover {
    fn default() -> Self {
        Self {
            drain_timeout: Span::from_secs(30 * 60),
            drain_max_partition_lag: 100,
            drain_stable_window: Span::from_secs(30),
            max_producer_freeze: Span::from_secs(60),
            producer_freeze_webhook: None,
            run_webhook_arn: None,
            reverse_replication_enabled: false,
        }
    }
}

impl Cutover {
    /// Scheme and host of the webhook, which is all of it that is shown.
    pub fn webhook_host(&self) -> Option<String> {
        self.producer_freeze_webhook.as_deref().map(host)
    }

    /// The webhook's URL when it is more than scheme and host, and in no secret yet.
    pub fn open_webhook(&self) -> Option<&str> {
        let open = self.producer_freeze_webhook.as_deref().filter(|_| self.run_webhook_arn.is_none());
        open.filter(|url| *url != host(url))
    }

    /// The same without what only `webhook_host` does not show, which is in the secret `arn` if there is one.
    #[must_use]
    pub fn sealed(&self, arn: Option<String>) -> Self {
        Self { producer_freeze_webhook: self.webhook_host(), run_webhook_arn: arn, ..self.clone() }
    }
}

/// Scheme and host of `url`.
fn host(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{}", authority.rsplit('@').next().unwrap_or_default())
}

/// What validation compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// Records by which a partition's counts may differ.
    pub count_tolerance: i64,
    /// Records compared byte by byte in each partition.
    pub spot_check_records_per_partition: u32,
}

impl Default for Validation {
    fn default() -> Self {
        Self { count_tolerance: 1, spot_check_records_per_partition: 3 }
    }
}

/// How the seed spends memory and connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seed {
    /// Partitions copied at the same time.
    pub max_concurrent_partitions: u32,
    /// Size at which a segment is stored, in bytes.
    pub segment_max_bytes: u32,
    /// Partitions in one batch, the unit of one copy function.
    pub partitions_per_batch: u32,
}

impl Default for Seed {
    fn default() -> Self {
        Self { max_concurrent_partitions: 4, segment_max_bytes: 32 * 1024 * 1024, partitions_per_batch: 64 }
    }
}

/// How fast a migration may copy. Bytes are those of record batches as the source stores them; none is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Throttle {
    /// Bytes per second of the whole migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<NonZeroU64>,
    /// Bytes per second from each broker of the source, and to each broker of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second_per_broker: Option<NonZeroU64>,
}

/// How topics are brought over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// Topics to migrate; every topic when there is no pattern.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<TopicPattern>,
    /// Topics to leave out of those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<TopicPattern>,
    /// What happens to a config that already differs on the target.
    pub on_config_drift: ConfigDrift,
    /// What happens when a topic is deleted on the source after the migration began.
    pub on_topic_deleted: TopicDeleted,
}

impl Topology {
    /// Whether `topic` is one to migrate, as far as `include` and `exclude` say.
    pub fn selects(&self, topic: &str) -> bool {
        let included = self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(topic));
        included && !self.exclude.iter().any(|pattern| pattern.matches(topic))
    }

    /// Whether patterns select a part of the topics: the migration is one of several waves.
    pub fn is_partial(&self) -> bool {
        !(self.include.is_empty() && self.exclude.is_empty())
    }

    /// The selection as one text, empty when every topic is migrated.
    pub fn selection(&self) -> String {
        if !self.is_partial() {
            return String::new();
        }
        let named =
            |patterns: &[TopicPattern]| patterns.iter().map(|p| format!("{:?} ", p.as_str())).collect::<String>();
        format!("include {}exclude {}", named(&self.include), named(&self.exclude)).trim_end().to_owned()
    }
}

/// What happens when a topic is deleted on the source after the migration began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicDeleted {
    /// The migration stops and names the topic.
    #[default]
    Fail,
    /// The migration goes on without it; the target keeps what was copied.
    LeaveOut,
}

/// What happens to a topic config that already differs on the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigDrift {
    /// The source's value wins.
    #[default]
    OverwriteWithSource,
    /// The target's value stays.
    KeepTarget,
    /// The migration stops and names the difference.
    Fail,
}

/// How ACLs are brought over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Acl {
    /// What happens when the target has ACLs of its own.
    pub on_drift: AclDrift,
}

/// What happens when the target has ACLs of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AclDrift {
    /// The source's are added, the target's stay.
    #[default]
    Merge,
    /// Nothing is added.
    KeepTarget,
    /// The migration stops and names the difference.
    Fail,
}

const fn yes() -> bool {
    true
}

/// Where the configuration begins in its file.
const ROOT: &str = "enterprise.msk_kraft_migration";

/// The file's outer shape.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    enterprise: Enterprise,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enterprise {
    msk_kraft_migration: Config,
}

impl Config {
    /// Reads a configuration file's text. `env` answers `${NAME}`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with a line for each of the [`Problems`].
    pub fn from_yaml(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::read_yaml(text, env).map_err(Error::invalid)
    }

    /// As [`Config::from_yaml`], with the problems apart.
    ///
    /// # Errors
    /// Everything that is wrong with the file, each with its line, column and path; only the first where it is no YAML.
    pub fn read_yaml(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let root = yaml::parse(text).map_err(|problem| Problems(vec![problem]))?;
        let (root, unset) = interpolate::apply(&root, env);
        let mut reading = Reading::new(root, ROOT);
        unset.into_iter().for_each(|problem| reading.refuse(problem));
        let config = reading.read().map(|file: File| file.enterprise.msk_kraft_migration);
        for finding in config.iter().flat_map(|config| [config.problems(), config.own_fields()].concat()) {
            reading.judge(&finding);
        }
        reading.end(config)
    }

    /// Reads the JSON form that the state machine's input and the journal hold.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), as [`Config::from_yaml`].
    pub fn from_json(value: &serde_json::Value) -> Result<Self> {
        let config: Self = serde_json::from_value(value.clone())
            .map_err(|error| Error::invalid(format_args!("the configuration cannot be used: {error}")))?;
        let problems = config.problems();
        if problems.is_empty() { Ok(config) } else { Err(Error::invalid(problems.join("\n"))) }
    }

    /// The JSON form. It holds no password: references stay references, and a literal one is hidden.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Sixteen hex digits over what must not change while a migration is under way: both clusters, both buckets, and which
    /// topics are migrated.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let selection = self.topology.selection();
        let identity = [
            self.source.identity(),
            self.target.identity(),
            &self.backup.s3_bucket,
            &self.backup.s3_prefix,
            &self.evidence.s3_bucket,
            &self.evidence.s3_prefix,
        ];
        // Without patterns nothing is added.
        for part in identity.into_iter().chain((!selection.is_empty()).then_some(selection.as_str())) {
            hash.update(part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        hex::encode(&hash.finalize()[..8])
    }

    /// Fields that hold a password itself, for everybody who can read the file.
    pub fn literal_passwords(&self) -> Vec<String> {
        self.source.auth.literals("source.auth").chain(self.target.auth.literals("target.auth")).collect()
    }

    /// The ARNs of the run's own secrets, which end with it.
    pub fn run_secrets(&self) -> impl Iterator<Item = &str> {
        let sides =
            [&self.source, &self.target].into_iter().filter_map(|cluster| cluster.auth.run_secret_arn.as_deref());
        sides.chain(self.cutover.run_webhook_arn.as_deref())
    }

    /// Fields that msk-kraft sets itself, and a file must not.
    fn own_fields(&self) -> Vec<String> {
        let fields = [
            ("source.auth.run_secret_arn", &self.source.auth.run_secret_arn),
            ("target.auth.run_secret_arn", &self.target.auth.run_secret_arn),
            ("cutover.run_webhook_arn", &self.cutover.run_webhook_arn),
        ];
        let set = fields.into_iter().filter(|(_, arn)| arn.is_some());
        set.map(|(field, _)| format!("{field} is set by msk-kraft itself: remove it")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "
enterprise:
  msk_kraft_migration:
    source:
      cluster_arn: arn:aws:kafka:us-east-1:123456789012:cluster/old/abc-1
      auth: {mode: iam}
    target:
      cluster_arn: arn:aws:kafka:us-east-1:123456789012:cluster/new/def-2
      auth:
        mode: scram-sha-512
        username: ${KAFKA_USER}
        password: ${KAFKA_PASSWORD}
    backup: {s3_bucket: segments, s3_prefix: zk-to-kraft/}
    evidence: {s3_bucket: evidence, s3_prefix: runs/, retention: 7y}
    cutover: {drain_timeout: 30m, drain_stable_window: 5s, producer_freeze_webhook: 'https://example.com/freeze'}
    acl: {on_drift: merge}
";

    fn env(name: &str) -> Option<String> {
        (name == "KAFKA_USER").then(|| "alice".to_owned())
    }

    #[test]
    fn a_full_file_loads_with_its_defaults() {
        let config = Config::from_yaml(FULL, env).unwrap();
        assert_eq!(config.cutover.drain_timeout.as_secs(), 1800);
        assert_eq!(config.cutover.max_producer_freeze.as_secs(), 60);
        assert_eq!(config.seed.max_concurrent_partitions, 4);
        assert_eq!(config.target.auth.username.as_deref(), Some("alice"));
        assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn a_password_stays_a_reference() {
        let config = Config::from_yaml(FULL, env).unwrap();
        assert!(config.to_json().to_string().contains("${KAFKA_PASSWORD}"));
        assert_eq!(config.literal_passwords(), Vec::<String>::new());
    }

    #[test]
    fn a_literal_password_is_taken_and_hidden() {
        let config = Config::from_yaml(&FULL.replace("${KAFKA_PASSWORD}", "hunter2"), env).unwrap();
        assert_eq!(config.target.auth.password, Some(SecretRef::Literal("hunter2".to_owned())));
        assert_eq!(config.literal_passwords(), ["target.auth.password"]);
        let shown = format!("{config:?} {}", config.to_json());
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_file_cannot_name_the_runs_own_secrets() {
        let text = FULL.replace("{mode: iam}", "{mode: iam, run_secret_arn: x}");
        let error = Config::from_yaml(&text.replace("cutover: {", "cutover: {run_webhook_arn: x, "), env).unwrap_err();
        for field in ["source.auth.run_secret_arn", "cutover.run_webhook_arn"] {
            assert!(error.message.contains(field), "{error}");
        }
    }

    #[test]
    fn of_a_webhook_scheme_and_host_are_shown() {
        for (url, shown) in [
            ("https://bob:hunter2@example.com:8443/freeze?token=hunter3#hunter4", "https://example.com:8443"),
            ("http://u:p@x@h/a@b", "http://h"),
            ("http://u:p@h?x=/y", "http://h"),
            ("http://[::1]:80/hooks/T0/hunter2", "http://[::1]:80"),
        ] {
            let open = Cutover { producer_freeze_webhook: Some(url.to_owned()), ..Cutover::default() };
            assert_eq!((open.webhook_host().as_deref(), open.open_webhook()), (Some(shown), Some(url)));
            let sealed = open.sealed(Some("arn".to_owned()));
            assert_eq!((sealed.producer_freeze_webhook.as_deref(), sealed.open_webhook()), (Some(shown), None));
        }
        let bare = Cutover { producer_freeze_webhook: Some("http://h:80".to_owned()), ..Cutover::default() };
        assert_eq!(bare.open_webhook(), None, "there is nothing to hide");
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let text = FULL.replace("acl:", "acls:");
        let error = Config::from_yaml(&text, env).unwrap_err();
        assert!(error.message.contains("16:5: acls: is not a known field; did you mean acl?"), "{error}");
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = Config::from_yaml(FULL, |_| None).unwrap_err();
        assert!(error.message.contains("KAFKA_USER"), "{error}");
    }

    #[test]
    fn every_unusable_value_is_named_at_once() {
        let text = FULL.replace("drain_timeout: 30m", "max_producer_freeze: 0s, drain_max_partition_lag: -1");
        let error = Config::from_yaml(&text, env).unwrap_err();
        assert!(error.message.contains("max_producer_freeze") && error.message.contains("drain_max"), "{error}");
    }

    #[test]
    fn waves_are_selected_by_patterns() {
        let topology = |include: &[&str], exclude: &[&str]| {
            let parse = |patterns: &[&str]| patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            Topology { include: parse(include), exclude: parse(exclude), ..Topology::default() }
        };
        let all = topology(&[], &[]);
        assert!(all.selects("orders") && !all.is_partial());
        let wave = topology(&["orders-.*", "bills"], &[".*-test"]);
        assert!(wave.selects("orders-eu") && wave.selects("bills") && wave.is_partial());
        assert!(!wave.selects("orders-test") && !wave.selects("users"));
        assert!(!topology(&[], &["tmp.*"]).selects("tmp-1") && topology(&[], &["tmp.*"]).selects("orders"));
    }

    #[test]
    fn a_pattern_that_is_none_is_refused_with_its_line() {
        let text = FULL.to_owned() + "    topology: {include: ['orders-.*', '*']}\n";
        let error = Config::from_yaml(&text, env).unwrap_err();
        assert!(error.message.starts_with("17:39: topology.include[1]: \"*\" is not a regular expression"), "{error}");
    }

    #[test]
    fn the_fingerprint_moves_with_the_clusters_the_buckets_and_the_selected_topics_only() {
        let config = Config::from_yaml(FULL, env).unwrap();
        let mut tuned = config.clone();
        tuned.cutover.drain_max_partition_lag = 5;
        assert_eq!(tuned.fingerprint(), config.fingerprint());
        tuned.backup.s3_bucket.push('x');
        assert_ne!(tuned.fingerprint(), config.fingerprint());
        let mut waves = [config.clone(), config.clone()];
        waves[0].topology.include.push("orders".parse().unwrap());
        waves[1].topology.exclude.push("orders".parse().unwrap());
        assert_ne!(waves[0].fingerprint(), config.fingerprint());
        assert_ne!(waves[0].fingerprint(), waves[1].fingerprint());
        assert_eq!(config.fingerprint().len(), 16);
    }
}
