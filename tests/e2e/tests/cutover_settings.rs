//! What an operator stops clients with never reaches the target, and what the target makes of a config or refuses behind the point
//! of no return keeps no cutover from its end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{Holding, Rehearsal, evidence, records, small};
use kafka::{
    AclBinding, AclOperation, AclPermission, AclResource, ClientQuota, Cluster, ConfigSource, PatternType, all_ok,
};
use serde_json::Value;
use stack::{Options, SEGMENTS_BUCKET, Side};

/// Between two records of a producer that ignores the freeze.
const STRAGGLES: Duration = Duration::from_millis(20);
/// Retention of each topic, in milliseconds, and the same number as somebody else writes it.
const RETENTION: &str = "3600000";
const RETENTION_OTHERWISE: &str = "03600000";
const TOPICS: [&str; 3] = ["orders", "limited", "refused"];
/// Who signs in nowhere, as the migration does.
const ANONYMOUS: &str = "User:ANONYMOUS";

/// Both clusters of a migration.
struct Clusters {
    rehearsal: Rehearsal,
    source: Cluster,
    target: Cluster,
    producer: Holding,
}

/// What the target has that a measure against clients could change.
#[derive(Debug, PartialEq)]
struct Settings {
    acls: Vec<AclBinding>,
    quotas: Vec<ClientQuota>,
    configs: BTreeMap<String, BTreeMap<String, String>>,
}

impl Clusters {
    async fn start() -> Self {
        let options = Options {
            name: "e2e-cutover-settings".to_owned(),
            target_version: "4.3.1".to_owned(),
            // So that an ACL can take something from the migration.
            target_config: vec![("super.users".to_owned(), "User:root".to_owned())],
            discard: true,
            quiet: true,
            ..Options::default()
        };
        let rehearsal = Rehearsal::start(options, "settings").await.unwrap();
        let source = small::connect(&rehearsal.stack, Side::Source).await.unwrap();
        let target = small::connect(&rehearsal.stack, Side::Target).await.unwrap();
        let producer = Holding::register(rehearsal.stack.webhook()).unwrap();
        Self { rehearsal, source, target, producer }
    }

    async fn of_target(&self) -> Settings {
        let names: Vec<_> = TOPICS.iter().map(|name| (*name).into()).collect();
        let described = all_ok(self.target.topic_configs(&names).await).unwrap();
        let configs = described.into_iter().map(|(name, entries)| {
            let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
            (name.to_string(), own.map(|entry| (entry.name, entry.value.unwrap())).collect())
        });
        let configs = configs.collect();
        let (acls, quotas) = (self.target.describe_acls().await.unwrap().unwrap(), self.target.client_quotas().await);
        Settings { acls, quotas: quotas.unwrap(), configs }
    }

    /// Runs one of Kafka's tools for the settings of a side.
    async fn tool(&self, side: Side, tool: &str, args: &str) -> String {
        let server = self.rehearsal.stack.cluster(side).bootstrap();
        let args: Vec<_> = ["--bootstrap-server", &server].into_iter().chain(args.split(' ')).collect();
        self.rehearsal.stack.kafka_tool(side, tool, &args).await.unwrap()
    }

    /// Stops clients of the source with everything that an operator has.
    async fn stop_clients(&self) {
        self.tool(Side::Source, "AclCommand", "--add --deny-principal User:app --operation Write --topic orders").await;
        self.tool(Side::Source, "ConfigCommand", "--alter --user app --add-config producer_byte_rate=10").await;
        small::set(&self.source, "limited", "max.message.bytes", "300").await.unwrap();
    }

    /// Takes that back.
    async fn let_clients_go(&self) {
        let denied = "--remove --force --deny-principal User:app --operation Write --topic orders";
        self.tool(Side::Source, "AclCommand", denied).await;
        self.tool(Side::Source, "ConfigCommand", "--alter --user app --delete-config producer_byte_rate").await;
        let limited = "--alter --entity-type topics --entity-name limited --delete-config max.message.bytes";
        self.tool(Side::Source, "ConfigCommand", limited).await;
    }
}

fn acl(principal: &str, operation: AclOperation, permission: AclPermission, topic: &str) -> AclBinding {
    AclBinding {
        resource: AclResource::Topic,
        name: topic.to_owned(),
        pattern: PatternType::Literal,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    }
}

/// An ACL that the target gets, and takes nothing from anybody.
fn of_alice() -> AclBinding {
    AclBinding {
        resource: AclResource::TransactionalId,
        ..acl("User:alice", AclOperation::Write, AclPermission::Allow, "alice")
    }
}

fn all_topics() -> AclBinding {
    acl(ANONYMOUS, AclOperation::All, AclPermission::Allow, "*")
}

fn no_configs() -> AclBinding {
    acl(ANONYMOUS, AclOperation::AlterConfigs, AclPermission::Deny, "refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_clients_never_reaches_the_target_and_what_it_refuses_is_a_warning() {
    let clusters = Clusters::start().await;
    let Clusters { rehearsal, source, target, .. } = &clusters;
    all_ok(target.create_acls(&[all_topics()]).await).unwrap();
    all_ok(source.create_acls(&[of_alice()]).await).unwrap();
    // Kafka 4 stores such a list without its repetition.
    let normalised = [("cleanup.policy", "delete,delete"), ("retention.ms", RETENTION_OTHERWISE)];
    for (topic, configs) in TOPICS.into_iter().zip([normalised.as_slice(), &[], &[("retention.ms", RETENTION)]]) {
        small::create(source, topic, 1, configs).await.unwrap();
        small::fill(source, topic, 0, 50).await.unwrap();
    }
    rehearsal.cli.run_all(&["execute"]).await.unwrap();
    nothing_of_a_cutover_that_was_given_up_is_on_the_target(&clusters).await;
    what_appeared_is_named_and_what_is_refused_is_repaired(&clusters).await;
    rehearsal.cli.run_all(&["cutover-ack", "finalize"]).await.unwrap();
    let bundle = evidence::verify(&rehearsal.stack, rehearsal.id(), &rehearsal.dir.join("evidence")).await.unwrap();
    assert_ne!(bundle["validation"]["overall"], "FAILED", "{:#}", bundle["validation"]);
    // The other topic has a record more, which was written there.
    let compared = ["--topics", "orders|refused", "--skip", "acls", "--ignore-configs", "cleanup.policy,retention.ms"];
    let (judged, equal) = rehearsal.java.judge(&compared).await.unwrap();
    assert!(equal, "{judged:#}");
    clusters.rehearsal.stack.stop().await.unwrap();
}

async fn nothing_of_a_cutover_that_was_given_up_is_on_the_target(clusters: &Clusters) {
    let Clusters { rehearsal, source, producer, .. } = clusters;
    let before = clusters.of_target().await;
    producer.hold().unwrap();
    let cutover = rehearsal.cli.beside("cutover");
    producer.asked().await.unwrap();
    clusters.stop_clients().await;
    let straggler = tokio::spawn({
        let source = source.clone();
        async move {
            loop {
                small::fill(&source, "orders", 0, 1).await.unwrap();
                tokio::time::sleep(STRAGGLES).await;
            }
        }
    });
    producer.obey().unwrap();
    cutover.await.unwrap().unwrap().refused(&["a producer ignores the freeze", "orders/0"]).unwrap();
    straggler.abort();
    assert_eq!(producer.state(), "running source");
    assert_eq!(clusters.of_target().await, before);
    clusters.let_clients_go().await;
    assert_eq!(rehearsal.cli.resume().await.unwrap(), "drain_ready");
}

async fn what_appeared_is_named_and_what_is_refused_is_repaired(clusters: &Clusters) {
    let Clusters { rehearsal, target, producer, .. } = clusters;
    producer.hold().unwrap();
    let cutover = rehearsal.cli.beside("cutover");
    producer.asked().await.unwrap();
    clusters.stop_clients().await;
    all_ok(target.create_acls(&[no_configs()]).await).unwrap();
    producer.obey().unwrap();
    cutover.await.unwrap().unwrap().ok().unwrap();

    let stored = rehearsal.stack.get_object(SEGMENTS_BUCKET, "zk-to-kraft/settings/cutover/report.json").await.unwrap();
    let report: Value = serde_json::from_slice(&stored).unwrap();
    let warnings: Vec<_> = report["warnings"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for expected in [
        "ACL was added on the source since the rehearsal and is not carried to the target: Deny Write on Topic orders",
        "client quota of user app: producer_byte_rate was changed on the source from not set to 10 since the rehearsal",
        "topic limited: config max.message.bytes was changed on the source from not set to 300 since the rehearsal",
        "topic refused: its configs are not set: ",
        "1 topics still have copy-time configs",
    ] {
        assert!(warnings.iter().any(|line| line.starts_with(expected)), "{expected:?} is missing in {warnings:#?}");
    }
    assert!(!warnings.iter().any(|line| line.starts_with("topic orders:")), "{warnings:#?}");
    let found = clusters.of_target().await;
    assert_eq!(found.configs["orders"]["cleanup.policy"], "delete");
    assert_eq!(found.configs["orders"]["retention.ms"].parse::<i64>().unwrap().to_string(), RETENTION);
    assert_eq!(found.configs["limited"], BTreeMap::new());
    clients_are_free_on_the_target(clusters).await;

    clusters
        .tool(
            Side::Target,
            "AclCommand",
            &format!("--remove --force --deny-principal {ANONYMOUS} --operation AlterConfigs --topic refused"),
        )
        .await;
    let refused = warnings.iter().find(|line| line.starts_with("topic refused: its configs are not set")).unwrap();
    let (_, command) = refused.rsplit_once("kafka-configs.sh ").unwrap();
    let command = command.trim_end_matches('`').replace('\'', "");
    let args: Vec<_> = command.split_whitespace().collect();
    rehearsal.stack.kafka_tool(Side::Target, "ConfigCommand", &args).await.unwrap();
    let expected = BTreeMap::from([("retention.ms".to_owned(), RETENTION.to_owned())]);
    assert_eq!(clusters.of_target().await.configs["refused"], expected);
}

/// As Kafka's own tools show.
async fn clients_are_free_on_the_target(clusters: &Clusters) {
    let listed = clusters.tool(Side::Target, "AclCommand", "--list").await;
    assert!(!listed.contains("User:app") && listed.contains("User:alice"), "{listed}");
    let quotas = clusters.tool(Side::Target, "ConfigCommand", "--describe --entity-type users").await;
    assert!(!quotas.contains("app"), "{quotas}");
    let large = std::iter::once("x".repeat(1_000));
    records::write(&clusters.rehearsal.stack, Side::Target, "limited", large).await.unwrap();
    assert_eq!(records::end(&clusters.rehearsal.stack, Side::Target, "limited").await.unwrap(), 51);
}
