//! Brokers, users and Kafka's own tools.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use kafka::auth::stores;
use kafka::{
    AclBinding, AclOperation, AclPermission, AclResource, Auth, ClientQuota, Cluster, ConfigChange, ConfigOp,
    ConfigSource, NewTopic, PatternType, QuotaChange, QuotaEntity, Sasl, Settings, Tls, all_ok,
};
use migration::Config;
use serde_json::json;
use topology::settings::Basis;
use topology::{TargetState, TopicConfigs, copying};

/// Version whose tools are used.
const TOOLS: &str = "3_9_1";
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A name that no earlier run has used.
pub(crate) fn fresh(name: &str) -> Arc<str> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
    format!("{name}-{now}-{}", COUNT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Both clusters.
pub(crate) struct Pair {
    pub(crate) source: Cluster,
    pub(crate) target: Cluster,
    pub(crate) target_servers: String,
    config: Config,
    before: TargetState,
}

impl Pair {
    /// Both, unless one of them is not there.
    pub(crate) async fn connect() -> Option<Self> {
        let server = |variable: &str| {
            let server = std::env::var(variable).ok();
            if server.is_none() {
                println!("skipped: {variable} is not set to the bootstrap servers of a cluster");
            }
            server
        };
        let (source, target_servers) = (server("MSK_KRAFT_TEST_SOURCE")?, server("MSK_KRAFT_TEST_TARGET")?);
        let connect = async |servers: &str| Cluster::connect(Settings::parse(servers)).await.unwrap();
        let before = TargetState { acls: Some(Vec::new()), quotas: Some(Vec::new()), ..TargetState::default() };
        let (source, target) = (connect(&source).await, connect(&target_servers).await);
        Some(Self { source, target, target_servers, config: config(), before })
    }

    /// A topic of the source, and its counterpart under copy-time configs.
    pub(crate) async fn create(&self, name: &Arc<str>, configs: &[(&str, &str)]) {
        self.create_on_source(name, configs).await;
        create(&self.target, name, copying(1)).await;
    }

    pub(crate) async fn create_on_source(&self, name: &Arc<str>, configs: &[(&str, &str)]) {
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        create(&self.source, name, configs).await;
    }

    pub(crate) async fn alter_source(&self, topic: &Arc<str>, config: &str, value: Option<&str>) {
        let name = config.to_owned();
        let op = match value {
            Some(value) => ConfigOp::Set { name, value: value.to_owned() },
            None => ConfigOp::Delete { name },
        };
        all_ok(self.source.alter_topic_configs(&[ConfigChange { topic: topic.clone(), ops: vec![op] }]).await).unwrap();
    }

    pub(crate) fn basis(&self, topics: &[&Arc<str>]) -> Basis<'_> {
        Basis {
            config: &self.config,
            topics: topics.iter().map(|topic| Arc::clone(topic)).collect::<BTreeSet<_>>(),
            beginning: BTreeMap::new(),
            before: &self.before,
            principal: Some("User:ANONYMOUS".to_owned()),
            servers: self.target_servers.clone(),
        }
    }

    /// Waits until `cluster` shows a quota.
    pub(crate) async fn shows_quota(&self, cluster: &Cluster, quota: &ClientQuota) {
        while !cluster.client_quotas().await.unwrap().contains(quota) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Removes quotas, which tests of the same brokers would find.
    pub(crate) async fn drop_quotas(&self, cluster: &Cluster, quotas: &[ClientQuota]) {
        let change = |quota: &ClientQuota| QuotaChange {
            entity: quota.entity.clone(),
            limits: quota.limits.keys().map(|name| (name.clone(), None)).collect(),
        };
        all_ok(cluster.alter_client_quotas(&quotas.iter().map(change).collect::<Vec<_>>()).await).unwrap();
    }
}

fn config() -> Config {
    let cluster = |name: &str| {
        let arn = format!("arn:aws:kafka:us-east-1:123456789012:cluster/{name}/uuid-1");
        json!({"cluster_arn": arn, "auth": {"mode": "plaintext"}})
    };
    let bucket = |name: &str| json!({"s3_bucket": name, "s3_prefix": "p/"});
    Config::from_json(&json!({
        "source": cluster("old"), "target": cluster("new"), "backup": bucket("segments"), "evidence": bucket("proofs"),
    }))
    .unwrap()
}

async fn create(cluster: &Cluster, name: &Arc<str>, configs: TopicConfigs) {
    let topic = NewTopic { name: name.clone(), partitions: 1, replication_factor: 1, configs };
    all_ok(cluster.create_topics(&[topic]).await).unwrap();
    while cluster.topics().await.unwrap().iter().all(|listed| listed.name != *name) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is set on a topic itself.
pub(crate) async fn configs(cluster: &Cluster, topic: &Arc<str>) -> TopicConfigs {
    let entries = all_ok(cluster.topic_configs(std::slice::from_ref(topic)).await).unwrap().remove(topic).unwrap();
    let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    own.map(|entry| (entry.name, entry.value.unwrap())).collect()
}

/// Waits until `cluster` shows an ACL, or does not any more.
pub(crate) async fn shown(cluster: &Cluster, acl: &AclBinding, is_shown: bool) {
    while cluster.describe_acls().await.unwrap().unwrap().contains(acl) != is_shown {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(crate) fn acl(
    resource: AclResource,
    name: &str,
    principal: &str,
    operation: AclOperation,
    permission: AclPermission,
) -> AclBinding {
    AclBinding {
        resource,
        name: name.to_owned(),
        pattern: PatternType::Literal,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    }
}

pub(crate) fn quota(kind: &str, name: Option<&str>, limit: f64) -> ClientQuota {
    let limit_name = if kind == "ip" { "connection_creation_rate" } else { "producer_byte_rate" };
    let entity = QuotaEntity([(kind.to_owned(), name.map(str::to_owned))].into());
    ClientQuota { entity, limits: [(limit_name.to_owned(), limit)].into() }
}

/// A new user of the target who signs in with SCRAM and is no super user, unless there is no listener for it.
pub(crate) async fn limited_user(tools: &Tools, servers: &str, name: &str) -> Option<Cluster> {
    let Ok(scram) = std::env::var("TARGET_BOOTSTRAP_SCRAM") else {
        println!("skipped: the environment is not the one that `stack up --auth` prints");
        return None;
    };
    let password = "limited-secret";
    tools.run(&format!(
        "kafka-configs.sh --bootstrap-server {servers} --alter --entity-type users --entity-name '{name}' --add-config \
         'SCRAM-SHA-512=[iterations=4096,password={password}]'"
    ));
    let authority = std::fs::read(std::env::var("STACK_AUTHORITY").unwrap()).unwrap();
    let tls = Tls::new(Some(stores::trusted(&authority, None).unwrap()), None).unwrap();
    let auth = Auth::Sasl(tls, Sasl::ScramSha512 { username: name.into(), password: password.to_owned().into() });
    let settings = Settings { auth, ..Settings::parse(&scram) };
    loop {
        // Brokers get to know the user a moment later.
        match Cluster::connect(settings.clone()).await {
            Ok(cluster) => return Some(cluster),
            Err(error) => println!("not yet: {error}"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Kafka's own tools under the names that commands have.
pub(crate) struct Tools {
    bin: PathBuf,
}

impl Tools {
    /// From the jars of a stack, unless there is none.
    pub(crate) fn find() -> Option<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let lib = workspace.join("target/stack-cache/kafka").join(TOOLS);
        if !lib.is_dir() {
            println!("skipped: {} has no jars; `stack setup` fetches them", lib.display());
            return None;
        }
        let bin = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kafka-bin");
        std::fs::create_dir_all(&bin).unwrap();
        for (name, class) in [("kafka-configs.sh", "ConfigCommand"), ("kafka-acls.sh", "AclCommand")] {
            let script = format!("#!/bin/sh\nexec java -cp '{}/*' kafka.admin.{class} \"$@\"\n", lib.display());
            let path = bin.join(name);
            std::fs::write(&path, script).unwrap();
            assert!(Command::new("chmod").arg("+x").arg(&path).status().unwrap().success());
        }
        Some(Self { bin })
    }

    /// Runs a command line in a shell.
    pub(crate) fn run(&self, line: &str) {
        let path = format!("{}:{}", self.bin.display(), std::env::var("PATH").unwrap());
        let output = Command::new("sh").arg("-c").arg(line).env("PATH", path).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        println!("{line}\n{said}");
        assert!(output.status.success(), "{line}");
    }

    /// Runs what stands between backquotes.
    pub(crate) fn run_commands_in(&self, text: &str) {
        text.split('`').skip(1).step_by(2).for_each(|line| self.run(line));
    }

    /// Removes an ACL by the command that a line would name.
    pub(crate) fn remove(&self, servers: &str, acl: &AclBinding) {
        let found = |acls| documents::SettingsFound { acls: Some(acls), ..documents::SettingsFound::default() };
        let lines = topology::settings::appeared(&found(vec![acl.clone()]), &found(Vec::new()));
        self.run_commands_in(&lines[0].replace("<target bootstrap servers>", servers));
    }
}
