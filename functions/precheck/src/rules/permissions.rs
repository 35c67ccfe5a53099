//! Whether the functions' principal may do what later phases do.
//!
//! What brokers say of their own accord (KIP-430), also of topics that do not exist yet, and the check of a creation that is
//! not carried out, are read-only.

use std::collections::BTreeMap;

use kafka::{AclOperation, Code};
use migration::Phase;
use migration::config::{AuthMode, WriteFence};
use migration::report::Finding;

use super::finding::{count, few, finding};
use crate::facts::{Facts, Permitted};

/// An operation that a phase needs (`kafka.server.KafkaApis` says which request wants which).
pub(super) struct Need {
    phase: Phase,
    pub(super) operation: AclOperation,
    /// What for.
    why: &'static str,
}

const fn need(phase: Phase, operation: AclOperation, why: &'static str) -> Need {
    Need { phase, operation, why }
}

/// On the source's cluster.
const SOURCE_CLUSTER: [Need; 2] = [
    need(Phase::TopologyCopy, AclOperation::Describe, "reads ACLs and the sizes of logs"),
    need(Phase::Tail, AclOperation::DescribeConfigs, "reads how old a transaction may become"),
];

/// On the source's cluster, under a write fence.
const FENCED_CLUSTER: [Need; 1] = [need(Phase::Cutover, AclOperation::Alter, "sets and lifts the write fence")];

/// On each topic of the source.
const SOURCE_TOPIC: [Need; 3] = [
    need(Phase::TopologyCopy, AclOperation::DescribeConfigs, "reads the topic's configs"),
    need(Phase::Seed, AclOperation::Read, "reads records"),
    need(Phase::Cutover, AclOperation::Write, "writes sentinels"),
];

/// On each topic of the source, on the target.
pub(super) const TARGET_TOPIC: [Need; 5] = [
    need(Phase::TopologyCopy, AclOperation::DescribeConfigs, "reads the topic's configs"),
    need(Phase::TopologyCopy, AclOperation::AlterConfigs, "sets copy-time configs, which the cutover replaces"),
    need(Phase::Seed, AclOperation::Write, "writes records"),
    need(Phase::Seed, AclOperation::Read, "reads back what it wrote"),
    need(Phase::Tail, AclOperation::Alter, "adds the partitions that the source gets"),
];

/// On each group of the source.
const SOURCE_GROUP: [Need; 1] = [need(Phase::Cutover, AclOperation::Describe, "reads committed offsets")];

/// On each group of the source, on the target.
pub(super) const TARGET_GROUP: [Need; 2] = [
    need(Phase::Cutover, AclOperation::Read, "commits offsets"),
    need(Phase::Validating, AclOperation::Describe, "compares offsets"),
];

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let modes = [("source", facts.config.source.auth.mode), ("target", facts.config.target.auth.mode)];
    findings.extend(modes.into_iter().filter_map(|(side, mode)| unknown(side, mode)));
    findings.extend(hidden(facts));
    if let Some(leaving) = facts.leaving.as_ref().filter(|_| facts.config.source.auth.mode != AuthMode::Iam) {
        let mut lacks = on_cluster(&leaving.permitted, &SOURCE_CLUSTER);
        if facts.config.cutover.write_fence == WriteFence::Acl {
            lacks.extend(on_cluster(&leaving.permitted, &FENCED_CLUSTER));
        }
        let topics: Vec<_> = facts.source_topics().map(|(name, _)| name.as_ref()).collect();
        lacks.extend(on_topics(&leaving.permitted, &topics, &SOURCE_TOPIC));
        lacks.extend(on_groups(&leaving.permitted, &SOURCE_GROUP));
        findings.extend(lacking("source", lacks));
    }
    if let Some(arriving) = facts.arriving.as_ref().filter(|_| facts.config.target.auth.mode != AuthMode::Iam) {
        let mut lacks = on_cluster(&arriving.permitted, &target_cluster(facts));
        let topics: Vec<_> = facts.source_topics().map(|(name, _)| name.as_ref()).collect();
        lacks.extend(on_topics(&arriving.permitted, &topics, &TARGET_TOPIC));
        lacks.extend(on_groups(&arriving.permitted, &TARGET_GROUP));
        lacks.extend(creation(facts));
        findings.extend(lacking("target", lacks));
    }
    findings
}

/// With every way of signing in: nobody else would notice that they are left behind.
fn hidden(facts: &Facts) -> Option<Finding> {
    let hidden = facts.source.reached.as_ref().ok()?.hidden.as_ref().ok()?;
    (!hidden.is_empty()).then(|| {
        finding("B18", "source")
            .found(format_args!(
                "the functions' principal lacks {:?} on {} of the source: {}",
                AclOperation::Describe,
                count(hidden.len(), "topic"),
                few(hidden)
            ))
            .of(hidden)
            .because("brokers do not even list them to it, so the migration would leave them behind without a word")
            .fix(
                "allow it to describe and read them (Kafka ACLs, or with IAM kafka-cluster:DescribeTopic), or name them in \
                 topology.exclude",
            )
    })
}

/// Whether a broker refused for lack of permission.
pub(super) fn is_denial(error: &kafka::Error) -> bool {
    matches!(
        error.code(),
        Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed | Code::GroupAuthorizationFailed)
    )
}

/// On the target's cluster, as far as the source gives a reason.
pub(super) fn target_cluster(facts: &Facts) -> Vec<Need> {
    let leaving = facts.leaving.as_ref();
    let acls = leaving.and_then(|leaving| leaving.acls.as_ref().ok()?.as_ref());
    let own = acls.is_some_and(|acls| acls.iter().any(|acl| !topology::acls::is_internal(acl)));
    let acls = own.then_some(need(Phase::TopologyCopy, AclOperation::Alter, "creates ACLs"));
    let read = need(Phase::TopologyCopy, AclOperation::Describe, "reads ACLs");
    std::iter::once(read).chain(acls).collect()
}

/// What is lacking.
struct Lack {
    phase: Phase,
    /// In words, with a few names.
    text: String,
    /// The operation and each resource.
    resources: Vec<String>,
}

fn on_cluster(permitted: &Permitted, needs: &[Need]) -> Vec<Lack> {
    let Ok(Some(operations)) = &permitted.cluster else { return Vec::new() };
    let lacking = needs.iter().filter(|need| !operations.contain(need.operation));
    let lack = |need: &Need| Lack {
        phase: need.phase,
        text: format!("{:?} on the cluster ({})", need.operation, need.why),
        resources: vec![format!("{:?} on the cluster", need.operation)],
    };
    lacking.map(lack).collect()
}

fn on_topics(permitted: &Permitted, topics: &[&str], needs: &[Need]) -> Vec<Lack> {
    let Ok(known) = &permitted.topics else { return Vec::new() };
    lacks(needs, "topic", |need| {
        let lacking = |topic: &&&str| known.get(**topic).is_some_and(|operations| !operations.contain(need.operation));
        topics.iter().filter(lacking).map(|topic| (*topic).to_owned()).collect()
    })
}

fn on_groups(permitted: &Permitted, needs: &[Need]) -> Vec<Lack> {
    lacks(needs, "group", |need| {
        let lacking = permitted.groups.known.iter().filter(|(_, operations)| !operations.contain(need.operation));
        lacking.map(|(group, _)| group.clone()).collect()
    })
}

fn lacks(needs: &[Need], noun: &str, lacking: impl Fn(&Need) -> Vec<String>) -> Vec<Lack> {
    let lack = |need: &Need| {
        let names = lacking(need);
        (!names.is_empty()).then(|| Lack {
            phase: need.phase,
            text: format!("{:?} on {}: {} ({})", need.operation, count(names.len(), noun), few(&names), need.why),
            resources: names.iter().map(|name| format!("{:?} on {noun} {name}", need.operation)).collect(),
        })
    };
    needs.iter().filter_map(lack).collect()
}

/// A creation that was refused for lack of permission.
fn creation(facts: &Facts) -> Option<Lack> {
    let refused = facts.arriving.as_ref()?.refused.iter().filter(|(_, error)| is_denial(error));
    let names: Vec<_> = refused.map(|(name, _)| name).collect();
    let operation = AclOperation::Create;
    (!names.is_empty()).then(|| Lack {
        phase: Phase::TopologyCopy,
        text: format!(
            "{operation:?} on the cluster, or on {}: {} (creates them)",
            count(names.len(), "topic"),
            few(&names)
        ),
        resources: names.iter().map(|name| format!("{operation:?} on topic {name}")).collect(),
    })
}

fn lacking(side: &str, lacks: Vec<Lack>) -> Option<Finding> {
    let mut phases: BTreeMap<Phase, Vec<String>> = BTreeMap::new();
    let mut resources = Vec::new();
    for lack in lacks {
        phases.entry(lack.phase).or_default().push(lack.text);
        resources.extend(lack.resources);
    }
    let told: Vec<_> = phases.iter().map(|(phase, lacks)| format!("{phase} needs {}", lacks.join(", and "))).collect();
    (!told.is_empty()).then(|| {
        finding("B18", side)
            .found(format_args!("the functions' principal lacks permissions on the {side}: {}", told.join("; ")))
            .of(resources)
            .because("the brokers say that it is not authorized, so those phases would fail")
            .fix(format_args!(
                "add the ACLs for the principal that {side}.auth signs in as (`kafka-acls.sh --add --allow-principal \
                 User:<name> --operation <operation> ...`)"
            ))
    })
}

/// With IAM every function has a role of its own, and this one must not have the permissions of the others.
fn unknown(side: &str, mode: AuthMode) -> Option<Finding> {
    (mode == AuthMode::Iam).then(|| {
        finding("I03", side)
            .found(format_args!("permissions of later phases on the {side} were not tried"))
            .because(
                "with IAM each function signs in as its own role; what precheck may do says nothing about the others",
            )
            .fix("compare the functions' roles with the policies that `msk-kraft plan` writes")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, codes, facts, one};
    use kafka::{Operations, Place};

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn b18_names_phase_operation_and_resource_on_the_source() {
        let mut facts = facts();
        let read_only = Operations::of(&[AclOperation::Read, AclOperation::Describe, AclOperation::DescribeConfigs]);
        sample::leaving(&mut facts).permitted.topics = Ok([("orders".into(), read_only)].into());
        let finding = one(judge(&facts), "B18");
        assert_eq!(
            finding.message,
            "the functions' principal lacks permissions on the source: cutover needs Write on 1 topic: orders (writes \
             sentinels)"
        );
        let nothing = Operations::of(&[]);
        sample::leaving(&mut facts).permitted.cluster = Ok(Some(nothing));
        let message = one(judge(&facts), "B18").message;
        let tail = message.find("tail needs DescribeConfigs on the cluster").unwrap();
        assert!(message.find("topology_copy needs Describe on the cluster").unwrap() < tail, "{message}");
        assert!(!message.contains("Alter on the cluster"), "{message}");
        facts.config.cutover.write_fence = WriteFence::Acl;
        let message = one(judge(&facts), "B18").message;
        assert!(message.contains("cutover needs Alter on the cluster (sets and lifts the write fence)"), "{message}");
    }

    #[test]
    fn b18_topics_that_brokers_do_not_list() {
        let mut facts = facts();
        sample::source(&mut facts).hidden = Ok(["audit".into(), "orders".into()].into());
        facts.config.source.auth.mode = AuthMode::Iam;
        let findings = judge(&facts);
        assert_eq!(codes(&findings), ["I03", "B18"]);
        assert!(
            findings[1].message.ends_with("lacks Describe on 2 topics of the source: audit, orders"),
            "{findings:?}"
        );
    }

    #[test]
    fn b18_on_the_target_of_topics_that_it_does_not_have_too() {
        let mut facts = facts();
        let permitted = &mut sample::arriving(&mut facts).permitted;
        permitted.topics = Ok([("orders".into(), Operations::of(&[AclOperation::Read]))].into());
        permitted.groups.known = [("billing".to_owned(), Operations::of(&[AclOperation::Describe]))].into();
        let message = one(judge(&facts), "B18").message;
        for part in [
            "topology_copy needs DescribeConfigs on 1 topic: orders",
            "seed needs Write on 1 topic: orders (writes records)",
            "tail needs Alter on 1 topic",
            "cutover needs Read on 1 group: billing (commits offsets)",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("validating"), "{message}");
    }

    #[test]
    fn b18_groups_of_the_source_whose_offsets_cannot_be_read() {
        let mut facts = facts();
        sample::leaving(&mut facts).permitted.groups.known = [("billing".to_owned(), Operations::of(&[]))].into();
        let message = one(judge(&facts), "B18").message;
        assert!(message.ends_with("cutover needs Describe on 1 group: billing (reads committed offsets)"), "{message}");
    }

    #[test]
    fn b18_a_creation_that_is_not_permitted() {
        let mut facts = facts();
        let denied = kafka::Error::Broker {
            api: kafka::Api::CreateTopics,
            code: Code::TopicAuthorizationFailed,
            place: Place::Topic("orders".into()),
            message: None,
        };
        sample::arriving(&mut facts).refused = [("orders".into(), denied)].into();
        let message = one(judge(&facts), "B18").message;
        assert!(message.contains("topology_copy needs Create on the cluster, or on 1 topic: orders"), "{message}");
    }

    #[test]
    fn b18_reading_the_targets_state_takes_a_permission() {
        let mut facts = facts();
        sample::arriving(&mut facts).permitted.cluster = Ok(Some(Operations::of(&[AclOperation::Alter])));
        assert!(one(judge(&facts), "B18").message.ends_with("needs Describe on the cluster (reads ACLs)"));
    }

    #[test]
    fn b18_acls_are_created_only_where_the_source_has_some() {
        let mut facts = facts();
        sample::arriving(&mut facts).permitted.cluster = Ok(Some(Operations::of(&[AclOperation::Describe])));
        assert!(judge(&facts).is_empty());
        sample::leaving(&mut facts).acls = Ok(Some(vec![sample::acl("User:alice", "orders")]));
        assert!(one(judge(&facts), "B18").message.contains("topology_copy needs Alter on the cluster (creates ACLs)"));
    }

    #[test]
    fn i03_roles_of_other_functions_are_not_judged() {
        let mut facts = facts();
        facts.config.target.auth.mode = AuthMode::Iam;
        sample::arriving(&mut facts).permitted.cluster = Ok(Some(Operations::of(&[])));
        let findings = judge(&facts);
        assert_eq!((codes(&findings), findings[0].subject.as_str()), (vec!["I03"], "target"));
    }
}
