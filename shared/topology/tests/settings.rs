//! Configs, quotas and ACLs against real brokers: a source in ZooKeeper mode and a target in KRaft mode, from the environment
//! (`MSK_KRAFT_TEST_SOURCE`, `MSK_KRAFT_TEST_TARGET`).
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the rules' exceptions for tests miss a test's helpers")]

#[path = "settings/support.rs"]
mod support;

use std::collections::BTreeMap;

use documents::rehearsal::Weight;
use documents::{Settings, SettingsFound};
use kafka::{AclOperation, AclPermission, AclResource, Code, PatternType, QuotaChange, all_ok};
use migration::config::ConfigDrift;
use support::{Pair, Tools, acl, configs, fresh, limited_user, quota, shown};
use topology::settings::{Applied, appeared, code, decide_from, find_of, put};
use topology::target_state::TopicState;
use topology::{TargetState, copying};

/// Written as nobody writes them, all of which a source takes.
const ODD: [(&str, &str); 6] = [
    ("cleanup.policy", "delete,delete"),
    ("retention.ms", "+86400000"),
    ("segment.ms", "0604800000"),
    ("preallocate", "TRUE"),
    ("min.cleanable.dirty.ratio", ".5"),
    ("flush.messages", " 1000 "),
];

#[tokio::test]
async fn what_the_target_writes_otherwise_is_put_once_and_without_a_warning() {
    let Some(pair) = Pair::connect().await else { return };
    let topic = fresh("odd");
    pair.create(&topic, &ODD).await;
    let basis = pair.basis(&[&topic]);
    let decision = decide_from(&basis, &pair.source, &pair.target).await.unwrap();
    assert!(decision.refusals.iter().all(|refusal| !refusal.subject.contains(&*topic)), "{decision:?}");
    let wanted = Settings { quotas: Vec::new(), acls: Vec::new(), ..decision.settings };
    assert_eq!(wanted.configs[&topic].len(), ODD.len());

    let first = put(&pair.target, &wanted, &pair.target_servers).await.unwrap();
    assert_eq!(first, Applied { configs: 1, ..Applied::default() });
    let is = configs(&pair.target, &topic).await;
    println!("wanted {:?}\nfound  {is:?}", wanted.configs[&topic]);
    assert!(is.keys().eq(wanted.configs[&topic].keys()));
    let second = put(&pair.target, &wanted, &pair.target_servers).await.unwrap();
    assert_eq!(second, Applied::default(), "what means the same is not touched");
    let again = decide_from(&basis, &pair.source, &pair.target).await.unwrap();
    assert_eq!(again.settings.configs, wanted.configs);
}

#[tokio::test]
async fn what_the_target_would_refuse_is_refused_before_anything_is_changed() {
    let Some(pair) = Pair::connect().await else { return };
    let [topic, missing] = ["kept", "missing"].map(fresh);
    pair.create(&topic, &[("retention.ms", "5000")]).await;
    pair.create_on_source(&missing, &[]).await;
    let secret = acl(AclResource::Topic, &topic, "User:alice", AclOperation::Read, AclPermission::Allow);
    all_ok(pair.source.create_acls(std::slice::from_ref(&secret)).await).unwrap();
    shown(&pair.source, &secret, true).await;

    let mut basis = pair.basis(&[&topic, &missing]);
    let mut config = basis.config.clone();
    config.topology.on_config_drift = ConfigDrift::KeepTarget;
    let kept = [("retention.ms".to_owned(), "soon".to_owned())].into();
    let state = TopicState { partitions: 1, replication_factor: 1, configs: kept };
    let before = TargetState { topics: [(topic.clone(), state)].into(), acls: Some(Vec::new()), quotas: None };
    (basis.config, basis.before) = (&config, &before);
    // Whoever is no super user is locked out by the ACL.
    basis.principal = Some("User:nobody".to_owned());
    let decision = decide_from(&basis, &pair.source, &pair.target).await.unwrap();
    let of = |subject: &str, code: &str| {
        decision.refusals.iter().find(|one| one.subject == subject && one.code == code).cloned()
    };
    let refused = of(&format!("topic {topic}"), code::CONFIG_REFUSED).unwrap();
    assert!(refused.weight == Weight::Blocker && refused.message.contains("retention.ms"), "{refused:?}");
    assert!(of(&format!("topic {missing}"), code::TOPIC_MISSING).is_some(), "{decision:?}");
    assert!(decision.settings.acls.contains(&secret));
    let lockout = of("ACLs", code::ACL_LOCKOUT).unwrap();
    assert!(lockout.way_out.contains("--allow-principal 'User:nobody'"), "{lockout:?}");
    assert_eq!(configs(&pair.target, &topic).await, copying(1), "nothing was changed");
    assert!(!pair.target.describe_acls().await.unwrap().unwrap().contains(&secret));
}

#[tokio::test]
async fn what_is_refused_is_said_with_a_command_that_repairs_it() {
    let Some(pair) = Pair::connect().await else { return };
    let Some(tools) = Tools::find() else { return };
    let topic = fresh("refused");
    pair.create(&topic, &[]).await;
    let name = fresh("limited");
    let Some(limited) = limited_user(&tools, &pair.target_servers, &name).await else { return };
    let user = format!("User:{name}");
    // It may see everything and change nothing.
    let rules = [
        acl(AclResource::Topic, &topic, &user, AclOperation::Describe, AclPermission::Allow),
        acl(AclResource::Topic, &topic, &user, AclOperation::DescribeConfigs, AclPermission::Allow),
        acl(AclResource::Cluster, "kafka-cluster", &user, AclOperation::Alter, AclPermission::Deny),
        acl(AclResource::Cluster, "kafka-cluster", &user, AclOperation::AlterConfigs, AclPermission::Deny),
        acl(AclResource::Cluster, "kafka-cluster", "User:*", AclOperation::All, AclPermission::Allow),
    ];
    all_ok(pair.target.create_acls(&rules).await).unwrap();
    for rule in &rules {
        shown(&pair.target, rule, true).await;
    }
    let client = fresh("it's a client");
    let settings = Settings {
        configs: [(topic.clone(), [("cleanup.policy".to_owned(), "compact,delete".to_owned())].into())].into(),
        quotas: vec![quota("client-id", Some(&client), 4096.0)],
        acls: vec![acl(AclResource::Group, &fresh("group"), "User:CN=a,O=b", AclOperation::Read, AclPermission::Allow)],
    };
    let applied = put(&limited, &settings, &pair.target_servers).await.unwrap();
    println!("{:#?}", applied.warnings);
    assert_eq!((applied.configs, applied.quotas, applied.acls, applied.warnings.len()), (0, 0, 0, 4));
    assert!(applied.warnings[1].starts_with("1 topics still have copy-time configs"), "{applied:?}");
    for warning in &applied.warnings {
        tools.run_commands_in(warning);
    }
    for rule in rules.iter().filter(|rule| rule.resource == AclResource::Cluster) {
        tools.remove(&pair.target_servers, rule);
    }
    // All is in place, by hand.
    let after = put(&pair.target, &settings, &pair.target_servers).await.unwrap();
    assert_eq!(after, Applied::default());
    assert_eq!(configs(&pair.target, &topic).await, settings.configs[&topic]);
    pair.drop_quotas(&pair.target, &settings.quotas).await;
}

#[tokio::test]
async fn quotas_and_acls_that_are_put_twice_change_nothing() {
    let Some(pair) = Pair::connect().await else { return };
    let (user, group) = (fresh("twice"), fresh("twice"));
    let prefixed = |mut binding: kafka::AclBinding| {
        binding.pattern = PatternType::Prefixed;
        binding
    };
    let settings = Settings {
        configs: BTreeMap::new(),
        quotas: vec![quota("user", Some(&user), 1e9), quota("ip", Some("10.9.8.7"), 100.0)],
        acls: vec![
            acl(AclResource::Group, &group, "User:alice", AclOperation::Read, AclPermission::Allow),
            prefixed(acl(AclResource::Topic, &group, "User:bob", AclOperation::Write, AclPermission::Deny)),
        ],
    };
    let expected = Applied { quotas: 2, acls: 2, ..Applied::default() };
    assert_eq!(put(&pair.target, &settings, &pair.target_servers).await.unwrap(), expected);
    assert_eq!(put(&pair.target, &settings, &pair.target_servers).await.unwrap(), Applied::default());
    let quotas = pair.target.client_quotas().await.unwrap();
    assert!(settings.quotas.iter().all(|quota| quotas.contains(quota)), "{quotas:?}");
    pair.drop_quotas(&pair.target, &settings.quotas).await;
}

#[tokio::test]
async fn a_quota_that_the_target_refuses_is_a_warning_by_name() {
    let Some(pair) = Pair::connect().await else { return };
    let none = quota("user", Some(&fresh("none")), 0.0);
    // ZooKeeper mode takes it, KRaft does not.
    let change = QuotaChange {
        entity: none.entity.clone(),
        limits: none.limits.iter().map(|(name, limit)| (name.clone(), Some(*limit))).collect(),
    };
    all_ok(pair.source.alter_client_quotas(&[change]).await).unwrap();
    pair.shows_quota(&pair.source, &none).await;
    let decision = decide_from(&pair.basis(&[]), &pair.source, &pair.target).await.unwrap();
    pair.drop_quotas(&pair.source, std::slice::from_ref(&none)).await;
    let subject = format!("client quota of {}", none.entity);
    let refusal = decision.refusals.iter().find(|refusal| refusal.subject == subject).unwrap();
    assert_eq!((refusal.weight, refusal.code), (Weight::Warning, code::QUOTA_REFUSED));
    assert!(decision.settings.quotas.iter().all(|quota| quota.entity != none.entity));
    let put = put(&pair.target, &Settings { quotas: vec![none], ..Settings::default() }, "t:1").await.unwrap();
    assert!(put.quotas == 0 && put.warnings[0].contains(&Code::InvalidRequest.to_string()), "{put:?}");
}

#[tokio::test]
async fn what_stops_clients_of_the_source_is_named_and_not_decided() {
    let Some(pair) = Pair::connect().await else { return };
    let topic = fresh("frozen");
    pair.create(&topic, &[("retention.ms", "-1")]).await;
    let topics = [topic.clone()].into();
    let before = find_of(&pair.source, &topics).await.unwrap();
    assert_eq!(before.configs[&topic], BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]));

    let user = fresh("app");
    let denial = acl(AclResource::Topic, &topic, &format!("User:{user}"), AclOperation::Write, AclPermission::Deny);
    all_ok(pair.source.create_acls(std::slice::from_ref(&denial)).await).unwrap();
    let limit = quota("user", Some(&user), 10.0);
    let change = |limit: Option<f64>| QuotaChange {
        entity: quota("user", Some(&user), 10.0).entity,
        limits: [("producer_byte_rate".to_owned(), limit)].into(),
    };
    all_ok(pair.source.alter_client_quotas(&[change(Some(10.0))]).await).unwrap();
    pair.alter_source(&topic, "max.message.bytes", Some("300")).await;
    pair.alter_source(&topic, "retention.ms", None).await;
    shown(&pair.source, &denial, true).await;
    pair.shows_quota(&pair.source, &limit).await;
    let now = loop {
        let now = find_of(&pair.source, &topics).await.unwrap();
        if now.configs[&topic].len() == 1 && now.configs[&topic].contains_key("max.message.bytes") {
            break now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    // Other tests use the same brokers.
    let own = |line: &&String| line.contains(&*topic) || line.contains(&*user);
    let lines: Vec<_> = appeared(&before, &now);
    let lines: Vec<_> = lines.iter().filter(own).collect();
    println!("{lines:#?}");
    assert_eq!(lines.len(), 4);
    assert!(
        lines[0].contains(&format!("not carried to the target: {denial}")) && lines[0].contains("--deny-principal")
    );
    let changed = format!("user {user}: producer_byte_rate was changed on the source from not set to 10");
    assert!(lines[1].contains(&changed) && lines[1].contains("--add-config 'producer_byte_rate=10'"), "{}", lines[1]);
    assert!(
        lines[2].contains("config max.message.bytes was changed on the source from not set to 300"),
        "{}",
        lines[2]
    );
    assert!(lines[3].contains("config retention.ms was changed on the source from -1 to not set"), "{}", lines[3]);
    let back = appeared(&now, &before);
    assert!(back.iter().any(|line| line.starts_with("ACL was removed") && line.contains(&denial.to_string())));
    assert!(
        appeared(&now, &now).is_empty() && appeared(&SettingsFound::default(), &SettingsFound::default()).is_empty()
    );
    pair.drop_quotas(&pair.source, &[limit]).await;
}
