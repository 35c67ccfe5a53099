//! What is put on a target that stores otherwise, shows late, refuses, or hides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use kafka::{
    AclBinding, AclOperation, AclPermission, AclResource, Api, ClientQuota, Code, ConfigChange, ConfigEntry, ConfigOp,
    ConfigSource, Each, Error, PatternType, Place, QuotaChange, QuotaEntity, Result,
};
use proptest::prelude::*;

use super::port::Target;
use super::{Applied, LOOKS, acls, configs, quotas};
use crate::configs::{TopicConfigs, copying, same_value};
use crate::settings::commands::Commands;

/// A target in memory.
#[derive(Default)]
struct Fake {
    topics: Mutex<BTreeMap<Arc<str>, TopicConfigs>>,
    quotas: Mutex<BTreeMap<QuotaEntity, BTreeMap<String, f64>>>,
    acls: Mutex<BTreeSet<AclBinding>>,
    /// What it stores instead of a value.
    normalised: BTreeMap<(&'static str, &'static str), &'static str>,
    /// What a topic has without setting it.
    defaults: TopicConfigs,
    /// What it answers to changes of a topic.
    refused: BTreeMap<&'static str, Code>,
    /// Whether it refuses changes of quotas, and ACLs.
    refuses: Option<Code>,
    /// Whether it describes nothing.
    hides: bool,
    /// How many looks it takes to show a change.
    lag: Mutex<u32>,
    /// What it showed before the changes that it does not show yet.
    shown: Mutex<BTreeMap<Arc<str>, TopicConfigs>>,
    /// How often it was changed, and looked at.
    changes: Mutex<usize>,
    looks: Mutex<u32>,
}

fn error(api: Api, code: Code) -> Error {
    Error::Broker { api, code, place: Place::Cluster, message: None }
}

impl Target for Fake {
    async fn listed(&self) -> Result<BTreeSet<Arc<str>>> {
        Ok(self.topics.lock().unwrap().keys().cloned().collect())
    }

    async fn describe(&self, topics: &[Arc<str>]) -> Each<Arc<str>, Vec<ConfigEntry>> {
        *self.looks.lock().unwrap() += 1;
        let mut lag = self.lag.lock().unwrap();
        let (set, shown) = (self.topics.lock().unwrap(), self.shown.lock().unwrap());
        let late = *lag > 0 && !shown.is_empty();
        *lag = lag.saturating_sub(u32::from(late));
        let describe = |topic: &Arc<str>| {
            if self.hides {
                return Err(error(Api::DescribeConfigs, Code::TopicAuthorizationFailed));
            }
            let own = if late { shown.get(topic) } else { None }.unwrap_or(&set[topic]);
            let entry = |(name, value): (&String, &String), source| ConfigEntry {
                name: name.clone(),
                value: Some(value.clone()),
                source,
                read_only: false,
                sensitive: false,
            };
            let inherited = self.defaults.iter().filter(|(name, _)| !own.contains_key(*name));
            let inherited = inherited.map(|config| entry(config, ConfigSource::Default));
            Ok(own.iter().map(|config| entry(config, ConfigSource::DynamicTopic)).chain(inherited).collect())
        };
        topics.iter().map(|topic| (topic.clone(), describe(topic))).collect()
    }

    async fn alter(&self, changes: &[ConfigChange]) -> Each<Arc<str>, ()> {
        let mut topics = self.topics.lock().unwrap();
        *self.shown.lock().unwrap() = topics.clone();
        let mut alter = |change: &ConfigChange| {
            if let Some(code) = self.refused.get(&*change.topic) {
                return Err(error(Api::IncrementalAlterConfigs, *code));
            }
            *self.changes.lock().unwrap() += 1;
            let own = topics.get_mut(&change.topic).unwrap();
            for op in &change.ops {
                match op {
                    ConfigOp::Delete { name } => drop(own.remove(name)),
                    ConfigOp::Set { name, value } => {
                        let stored = self.normalised.get(&(name.as_str(), value.as_str()));
                        own.insert(name.clone(), stored.map_or_else(|| value.clone(), |stored| (*stored).to_owned()));
                        // What is stored as the default is not kept.
                        own.retain(|name, value| !value.is_empty() || !self.defaults.contains_key(name));
                    }
                }
            }
            Ok(())
        };
        changes.iter().map(|change| (change.topic.clone(), alter(change))).collect()
    }

    async fn quotas(&self) -> Result<Vec<ClientQuota>> {
        if self.hides {
            return Err(error(Api::DescribeClientQuotas, Code::ClusterAuthorizationFailed));
        }
        let quotas = self.quotas.lock().unwrap();
        let quota = |(entity, limits): (&QuotaEntity, &BTreeMap<String, f64>)| ClientQuota {
            entity: entity.clone(),
            limits: limits.clone(),
        };
        Ok(quotas.iter().map(quota).collect())
    }

    async fn alter_quotas(&self, changes: &[QuotaChange]) -> Each<QuotaEntity, ()> {
        let alter = |change: &QuotaChange| {
            if let Some(code) = self.refuses {
                return Err(error(Api::AlterClientQuotas, code));
            }
            *self.changes.lock().unwrap() += 1;
            let set = change.limits.iter().filter_map(|(name, limit)| Some((name.clone(), (*limit)?)));
            self.quotas.lock().unwrap().entry(change.entity.clone()).or_default().extend(set);
            Ok(())
        };
        changes.iter().map(|change| (change.entity.clone(), alter(change))).collect()
    }

    async fn acls(&self) -> Result<Option<Vec<AclBinding>>> {
        match self.hides {
            true => Err(error(Api::DescribeAcls, Code::ClusterAuthorizationFailed)),
            false => Ok(Some(self.acls.lock().unwrap().iter().cloned().collect())),
        }
    }

    async fn create(&self, acls: &[AclBinding]) -> Each<AclBinding, ()> {
        let create = |acl: &AclBinding| match self.refuses {
            Some(code) => Err(error(Api::CreateAcls, code)),
            None => {
                *self.changes.lock().unwrap() += 1;
                self.acls.lock().unwrap().insert(acl.clone());
                Ok(())
            }
        };
        acls.iter().map(|acl| (acl.clone(), create(acl))).collect()
    }
}

impl Fake {
    fn with(topics: &[&str]) -> Self {
        let topics = topics.iter().map(|topic| (Arc::from(*topic), copying(1))).collect();
        Self { topics: Mutex::new(topics), ..Self::default() }
    }

    async fn put(&self, wanted: &BTreeMap<Arc<str>, TopicConfigs>) -> Applied {
        let mut applied = Applied::default();
        configs::put(self, wanted, &Commands::of("t:1"), &mut applied).await.unwrap();
        applied
    }

    fn configs(&self, topic: &str) -> TopicConfigs {
        self.topics.lock().unwrap()[topic].clone()
    }
}

fn configs(pairs: &[(&str, &str)]) -> TopicConfigs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn wanted(topics: &[(&str, &[(&str, &str)])]) -> BTreeMap<Arc<str>, TopicConfigs> {
    topics.iter().map(|(topic, pairs)| (Arc::from(*topic), configs(pairs))).collect()
}

#[tokio::test(start_paused = true)]
async fn topics_get_what_is_wanted_and_nothing_else_and_a_second_time_nothing_changes() {
    let fake = Fake { lag: Mutex::new(3), ..Fake::with(&["a", "b"]) };
    let wanted = wanted(&[("a", &[("cleanup.policy", "compact"), ("retention.ms", "5")]), ("b", &[])]);
    let applied = fake.put(&wanted).await;
    assert_eq!(applied, Applied { configs: 2, ..Applied::default() });
    assert_eq!((fake.configs("a"), fake.configs("b")), (wanted["a"].clone(), configs(&[])));
    assert_eq!(fake.put(&wanted).await, Applied::default());
    assert_eq!(*fake.changes.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_target_writes_otherwise_is_in_place() {
    let normalised = [(("cleanup.policy", "delete,delete"), "delete"), (("retention.ms", "+5"), "5")].into();
    let fake = Fake { normalised, ..Fake::with(&["a"]) };
    let wanted = wanted(&[("a", &[("cleanup.policy", "delete,delete"), ("retention.ms", "+5")])]);
    // Its policy is the copy-time one already.
    assert_eq!(fake.put(&wanted).await, Applied { configs: 1, ..Applied::default() });
    assert_eq!(fake.put(&wanted).await, Applied::default());
    assert_eq!(*fake.changes.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_target_clamps_is_taken_and_said_at_once() {
    let fake = Fake { normalised: [(("segment.bytes", "1"), "1048576")].into(), ..Fake::with(&["a"]) };
    let applied = fake.put(&wanted(&[("a", &[("segment.bytes", "1")])])).await;
    let line = "topic a: config segment.bytes was set to 1; the target took that and stores 1048576 instead; if that is not \
                what you want: `kafka-configs.sh --bootstrap-server t:1 --alter --topic 'a' --add-config 'segment.bytes=1'`";
    assert_eq!(applied.warnings, [line]);
    assert_eq!(*fake.looks.lock().unwrap(), 2, "one look before, one behind");
}

#[tokio::test(start_paused = true)]
async fn what_the_target_drops_counts_where_it_is_in_force_anyway() {
    let normalised = [(("retention.ms", "604800000"), ""), (("segment.ms", "7"), "")].into();
    let defaults = configs(&[("retention.ms", "604800000"), ("segment.ms", "9")]);
    let fake = Fake { normalised, defaults, ..Fake::with(&["a"]) };
    let applied = fake.put(&wanted(&[("a", &[("retention.ms", "604800000"), ("segment.ms", "7")])])).await;
    assert_eq!(applied.warnings.len(), 1, "{applied:?}");
    assert!(
        applied.warnings[0]
            .starts_with("topic a: config segment.ms was set to 7; the target took that and shows nothing")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_never_shown_ends_the_wait() {
    let fake = Fake { lag: Mutex::new(u32::MAX), ..Fake::with(&["a", "b"]) };
    let applied = fake.put(&wanted(&[("a", &[("retention.ms", "5")]), ("b", &[("retention.ms", "-1")])])).await;
    assert_eq!(*fake.looks.lock().unwrap(), LOOKS + 1);
    let of = |topic: &str, config: &str| {
        let begin = format!("topic {topic}: config {config} was set to");
        applied.warnings.iter().filter(|line| line.starts_with(&begin)).count()
    };
    assert_eq!((of("a", "retention.ms"), of("b", "retention.ms")), (1, 0));
    let last = applied.warnings.last().unwrap();
    assert!(last.starts_with("2 topics still have copy-time configs") && last.contains("disks fill: a, b;"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn what_the_target_refuses_is_said_by_topic_with_the_repair_and_holds_up_no_other() {
    let refused = [("denied", Code::TopicAuthorizationFailed), ("invalid", Code::InvalidConfig)].into();
    let fake = Fake { refused, ..Fake::with(&["denied", "fine", "invalid"]) };
    let set: &[(&str, &str)] = &[("cleanup.policy", "compact,delete")];
    let applied = fake.put(&wanted(&[("denied", set), ("fine", set), ("invalid", set), ("missing", set)])).await;
    assert_eq!((applied.configs, fake.configs("fine")), (1, configs(set)));
    let [missing, denied, invalid, left] = &applied.warnings[..] else { panic!("{applied:?}") };
    assert!(missing.starts_with("topic missing: its configs are not set, the target does not list it"), "{missing}");
    assert!(denied.contains("TopicAuthorizationFailed") && invalid.contains("InvalidConfig"), "{denied}\n{invalid}");
    let repair = "--alter --topic 'invalid' --add-config 'cleanup.policy=[compact,delete]' --delete-config \
                  'compression.type,max.message.bytes,message.timestamp.after.max.ms,message.timestamp.before.max.ms,\
                  message.timestamp.type,retention.bytes,retention.ms'`";
    assert!(invalid.ends_with(repair), "{invalid}");
    assert!(left.starts_with("2 topics still have copy-time configs") && left.contains("denied, invalid"), "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_not_described_is_configured_all_the_same() {
    let fake = Fake { hides: true, ..Fake::with(&["a"]) };
    let applied = fake.put(&wanted(&[("a", &[("retention.ms", "5")])])).await;
    assert_eq!((applied.configs, fake.configs("a")), (1, configs(&[("retention.ms", "5")])));
    assert_eq!(applied.warnings.len(), 1);
    assert!(applied.warnings[0].contains("the configs of 1 topics and does not describe them, first a"), "{applied:?}");
}

fn quota(user: &str, limit: f64) -> ClientQuota {
    let entity = QuotaEntity([("user".to_owned(), Some(user.to_owned()))].into());
    ClientQuota { entity, limits: [("producer_byte_rate".to_owned(), limit)].into() }
}

async fn put_quotas(fake: &Fake, wanted: &[ClientQuota]) -> Applied {
    let mut applied = Applied::default();
    quotas::put(fake, wanted, &Commands::of("t:1"), &mut applied).await;
    applied
}

#[tokio::test(start_paused = true)]
async fn quotas_are_set_once() {
    let fake = Fake::default();
    let wanted = [quota("alice", 5.0), quota("bob", 7.0)];
    put_quotas(&fake, &wanted[1..]).await;
    assert_eq!(put_quotas(&fake, &wanted).await, Applied { quotas: 1, ..Applied::default() });
    assert_eq!(put_quotas(&fake, &wanted).await, Applied::default());
    assert_eq!(*fake.changes.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_refused_is_said_with_the_repair() {
    for code in [Code::ClusterAuthorizationFailed, Code::InvalidRequest, Code::ThrottlingQuotaExceeded] {
        let fake = Fake { refuses: Some(code), hides: code == Code::ClusterAuthorizationFailed, ..Fake::default() };
        let applied = put_quotas(&fake, &[quota("alice", 5.0)]).await;
        assert_eq!((applied.quotas, applied.warnings.len()), (0, 1), "{applied:?}");
        assert!(applied.warnings[0].starts_with("client quota of user alice is not set: "), "{applied:?}");
        assert!(applied.warnings[0].ends_with("--alter --user 'alice' --add-config 'producer_byte_rate=5'`"));
    }
    // One that hides what it has takes it all the same.
    let applied = put_quotas(&Fake { hides: true, ..Fake::default() }, &[quota("alice", 5.0)]).await;
    assert_eq!(applied, Applied { quotas: 1, ..Applied::default() });
}

fn acl(name: &str) -> AclBinding {
    AclBinding {
        resource: AclResource::Topic,
        name: name.to_owned(),
        pattern: PatternType::Literal,
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation: AclOperation::Read,
        permission: AclPermission::Allow,
    }
}

async fn put_acls(fake: &Fake, wanted: &[AclBinding]) -> Applied {
    let mut applied = Applied::default();
    acls::put(fake, wanted, &Commands::of("t:1"), &mut applied).await;
    applied
}

#[tokio::test(start_paused = true)]
async fn acls_are_added_once_and_what_is_refused_is_said_with_the_repair() {
    let fake = Fake::default();
    let wanted = [acl("a"), acl("b")];
    put_acls(&fake, &wanted[..1]).await;
    assert_eq!(put_acls(&fake, &wanted).await, Applied { acls: 1, ..Applied::default() });
    assert_eq!(put_acls(&fake, &wanted).await, Applied::default());
    assert_eq!(*fake.changes.lock().unwrap(), 2);

    let fake = Fake { refuses: Some(Code::ClusterAuthorizationFailed), ..Fake::default() };
    let applied = put_acls(&fake, &wanted).await;
    assert_eq!((applied.acls, applied.warnings.len()), (0, 2));
    assert!(applied.warnings[1].starts_with("ACL is not added: Allow Read on Topic b (Literal) for User:alice"));
    assert!(applied.warnings[1].contains("--add --allow-principal 'User:alice'"), "{applied:?}");
    // Locked out by what was added: it cannot be read back, and is in force.
    let applied = put_acls(&Fake { hides: true, ..Fake::default() }, &wanted).await;
    assert_eq!(applied, Applied { acls: 2, ..Applied::default() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is wanted, found and normalised: it ends, says what is otherwise, and a second time changes no topic that is as
    /// wanted.
    #[test]
    fn putting_twice_changes_nothing(wanted in topics(), found in topics(), lag in 0_u32..5, clamps in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let normalised = match clamps {
            true => [(("retention.ms", "2"), "100"), (("cleanup.policy", "delete,delete"), "delete")].into(),
            false => BTreeMap::new(),
        };
        let fake = Fake { topics: Mutex::new(found), normalised, lag: Mutex::new(lag), ..Fake::default() };
        let (first, second) = runtime.block_on(async { (fake.put(&wanted).await, fake.put(&wanted).await) });
        let after = fake.topics.lock().unwrap();
        for (topic, wanted) in wanted.iter().filter(|(topic, _)| after.contains_key(*topic)) {
            prop_assert!(wanted.keys().eq(after[topic].keys()));
            for (name, value) in wanted {
                let said = first.warnings.iter().any(|line| line.contains(&format!("topic {topic}: config {name} was set")));
                prop_assert_eq!(same_value(name, value, &after[topic][name]), !said, "{:?}", first);
            }
        }
        let is_as_wanted = |topic: &Arc<str>| {
            let found = &after[topic];
            wanted[topic].iter().all(|(name, value)| same_value(name, value, &found[name]))
        };
        let expected = wanted.keys().filter(|topic| after.contains_key(*topic) && !is_as_wanted(topic)).count();
        prop_assert_eq!(second.configs, expected, "{:?}", second);
    }
}

fn topics() -> impl Strategy<Value = BTreeMap<Arc<str>, TopicConfigs>> {
    let names = prop::sample::select(vec!["a", "b", "c"]).prop_map(Arc::from);
    let config = prop_oneof![
        (Just("retention.ms"), prop::sample::select(vec!["-1", "1", "2", "+1"])),
        (Just("cleanup.policy"), prop::sample::select(vec!["delete", "delete,delete", "compact"])),
    ];
    let configs = prop::collection::vec(config, 0..3)
        .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    prop::collection::btree_map(names, configs, 0..3)
}
