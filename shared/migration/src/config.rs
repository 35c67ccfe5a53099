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
mod bucket;
mod cluster;
mod cutover;
mod fault;
mod indentation;
mod interpolate;
mod pattern;
mod problem;
mod reading;
mod span;
mod topology;
mod value;
mod yaml;

pub use auth::{AuthConfig, AuthMode, SecretRef, is_secret_arn};
pub use cluster::ClusterConfig;
pub use cutover::{Cutover, Sentinels, WriteFence};
pub use pattern::TopicPattern;
pub use problem::{Place, Problem, Problems};
pub use span::Span;
pub use topology::{ConfigDrift, DefaultDrift, KeysDeleted, RecordsDeleted, TopicDeleted, Topology};

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use reading::Reading;

/// Most partitions in a batch: the journal keeps a batch in one item of DynamoDB, which holds at most 400 KB.
pub const MAX_PARTITIONS_PER_BATCH: u32 = 200;

/// Largest configuration, in bytes of JSON. The input of an execution holds it, at most 262,144 bytes
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>), and an item of DynamoDB with all else that the
/// journal knows, at most 400 KB.
const MAX_BYTES: usize = 100_000;

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
    /// ARN of a Secrets Manager secret that holds such a key, in place of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key_arn: Option<String>,
}

/// What validation compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// Records by which a partition's counts may differ.
    pub count_tolerance: i64,
    /// Records compared byte by byte in each partition.
    pub spot_check_records_per_partition: u32,
    /// Whether every record that was copied is counted again on the target, by reading it.
    pub recount: bool,
}

impl Default for Validation {
    fn default() -> Self {
        Self { count_tolerance: 1, spot_check_records_per_partition: 3, recount: true }
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
        if let Some(problem) = indentation::problem(&root) {
            return Err(Problems(vec![problem]));
        }
        let (root, unusable) = interpolate::apply(&root, env);
        let mut reading = Reading::new(root, ROOT);
        unusable.into_iter().for_each(|problem| reading.refuse(problem));
        let config = reading.read().map(|file: File| file.enterprise.msk_kraft_migration);
        let findings = |config: &Self| [config.problems(), config.problems_of_a_file()].concat();
        for finding in config.iter().flat_map(findings) {
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
        let webhooks = [&self.cutover.run_webhook_arn, &self.cutover.run_client_switch_webhook_arn];
        sides.chain(webhooks.into_iter().filter_map(Option::as_deref))
    }

    /// What a file must not say, and a migration that has begun may.
    fn problems_of_a_file(&self) -> Vec<String> {
        [self.own_fields(), bucket::problems(&self.backup, &self.evidence), self.too_large().into_iter().collect()]
            .concat()
    }

    /// Says so when it is larger than what starts an execution and stays in the journal.
    fn too_large(&self) -> Option<String> {
        let bytes = self.to_json().to_string().len();
        let problem = format!(
            "topology makes the configuration {bytes} bytes long, of at most {MAX_BYTES}: write patterns in place of names, or migrate \
             in waves"
        );
        (bytes > MAX_BYTES).then_some(problem)
    }

    /// Fields that msk-kraft sets itself, and a file must not.
    fn own_fields(&self) -> Vec<String> {
        let fields = [
            ("source.auth.run_secret_arn", &self.source.auth.run_secret_arn),
            ("target.auth.run_secret_arn", &self.target.auth.run_secret_arn),
            ("cutover.run_webhook_arn", &self.cutover.run_webhook_arn),
            ("cutover.run_client_switch_webhook_arn", &self.cutover.run_client_switch_webhook_arn),
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
