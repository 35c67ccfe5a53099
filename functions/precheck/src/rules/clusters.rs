//! The two clusters as wholes: can they be reached, are they of the right kind, is one large enough for the other.

use kafka::MetadataMode;
use migration::config::ClusterConfig;
use migration::report::Finding;

use super::finding::{count, finding};
use crate::facts::{Cluster, Facts};

/// The first version whose KRaft mode MSK offers
/// (<https://docs.aws.amazon.com/msk/latest/developerguide/kraft-intro.html>).
const FIRST_KRAFT: (u32, u32) = (3, 7);

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let config = &facts.config;
    let source = Side { name: "source", config: &config.source, cluster: &facts.source };
    let target = Side { name: "target", config: &config.target, cluster: &facts.target };
    let findings = [
        serverless(&source),
        serverless(&target),
        mode(&source, "B03", MetadataMode::ZooKeeper),
        mode(&target, "B04", MetadataMode::KRaft),
        same(facts),
        version(facts, &target),
        unreachable(&source, "B09"),
        unreachable(&target, "B10"),
        reverse(facts),
        fewer_brokers(facts),
        regions(facts),
    ];
    findings.into_iter().flatten().collect()
}

/// One side of the migration with its place in the configuration.
struct Side<'a> {
    name: &'static str,
    config: &'a ClusterConfig,
    cluster: &'a Cluster,
}

impl Side<'_> {
    /// The AWS command `command` for this cluster.
    fn aws(&self, command: &str) -> String {
        format!("`aws kafka {command} --cluster-arn {} --region {}`", self.config.cluster_arn, self.config.region())
    }
}

fn serverless(side: &Side<'_>) -> Option<Finding> {
    let Side { name, config, cluster } = side;
    cluster.described.as_ref().is_ok_and(|described| described.serverless).then(|| {
        finding("B02", name)
            .found(format_args!("{name} cluster {} is MSK Serverless; both have to be MSK Provisioned", config.name()))
            .because("MSK Serverless never had a ZooKeeper mode to leave, and has no brokers to write to one by one")
            .fix(format_args!("name a Provisioned cluster in {name}.cluster_arn"))
    })
}

/// The mode, or what contradicts itself about it. What the brokers say stands when the MSK API says nothing.
fn mode(side: &Side<'_>, code: &str, wanted: MetadataMode) -> Option<Finding> {
    let msk = side.cluster.described.as_ref().ok().and_then(|described| described.mode);
    let brokers = side.cluster.reached.as_ref().ok().map(|reached| reached.mode);
    if let (Some(msk), Some(brokers)) = (msk, brokers)
        && msk != brokers
    {
        return Some(contradiction(side, code, msk, brokers));
    }
    let found = brokers.or(msk).filter(|found| *found != wanted)?;
    let name = side.name;
    let (cause, fix) = match wanted {
        MetadataMode::ZooKeeper => {
            ("a cluster in KRaft mode needs no migration", "check whether source and target are swapped")
        }
        MetadataMode::KRaft => (
            "the migration ends on a cluster without ZooKeeper",
            "create the target with `aws kafka create-cluster-v2` and a Kafka version that ends in .kraft (3.7 or later); \
             check whether source and target are swapped",
        ),
    };
    Some(
        finding(code, name)
            .found(format_args!("{name} cluster {} is in {found} mode, expected {wanted}", side.config.name()))
            .because(cause)
            .fix(format_args!("{fix}; {} shows what {name}.cluster_arn names", side.aws("describe-cluster-v2"))),
    )
}

fn contradiction(side: &Side<'_>, code: &str, msk: MetadataMode, brokers: MetadataMode) -> Finding {
    let name = side.name;
    finding(code, name)
        .found(format_args!(
            "{name} cluster {} contradicts itself: the MSK API says {msk} mode, the brokers that answered say {brokers}",
            side.config.name()
        ))
        .because(format_args!("{name}.bootstrap_servers most likely names brokers of another cluster"))
        .fix(format_args!("compare it with {}, or leave it out", side.aws("get-bootstrap-brokers")))
}

fn same(facts: &Facts) -> Option<Finding> {
    let found = if facts.config.source.cluster_arn == facts.config.target.cluster_arn {
        format!("source and target have the same ARN, {}", facts.config.source.cluster_arn)
    } else {
        let id = facts.shared_cluster_id()?;
        format!("source and target have different ARNs, but their brokers are those of one cluster (id {id})")
    };
    Some(
        finding("B05", "source and target")
            .found(found)
            .because("a migration copies from one cluster to another; nothing is migrated in place")
            .fix(
                "create a second cluster in KRaft mode and name it in target.cluster_arn; check bootstrap_servers of both \
                 sides",
            ),
    )
}

/// What the MSK API says, or else what brokers show: those before Kafka 3.6 have no bound of timestamps to one side.
fn version(facts: &Facts, target: &Side<'_>) -> Option<Finding> {
    let (major, minor) = FIRST_KRAFT;
    let described = target.cluster.described.as_ref().ok().and_then(|described| described.version.as_deref());
    let found = match described {
        Some(version) if major_minor(version)? < FIRST_KRAFT => format!("Kafka {version}"),
        Some(_) => return None,
        None => {
            let brokers = facts.arriving.as_ref()?.brokers.as_ref().ok()?;
            let old = brokers.iter().any(|broker| !broker.bounds_either_side);
            old.then(|| {
                "a Kafka version before 3.6 (its brokers do not know log.message.timestamp.before.max.ms)".to_owned()
            })?
        }
    };
    Some(
        finding("B06", "target")
            .found(format_args!("target cluster {} runs {found}, below {major}.{minor}", target.config.name()))
            .because(format_args!(
                "KRaft on MSK begins with {major}.{minor}, and copied topics need topic configs that older brokers do not know"
            ))
            .fix(format_args!(
                "create the target with Kafka {major}.{minor} or later; `aws kafka list-kafka-versions --region {}` lists them",
                target.config.region()
            )),
    )
}

/// The first two numbers of a version such as `3.9.x.kraft`.
fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn unreachable(side: &Side<'_>, code: &str) -> Option<Finding> {
    let error = side.cluster.reached.as_ref().err()?;
    let name = side.name;
    Some(
        finding(code, name)
            .found(format_args!(
                "{name} cluster {} cannot be used over the Kafka protocol: {}",
                side.config.name(),
                error.message
            ))
            .because("every phase works with its brokers, and nothing that only they know could be checked")
            .fix(format_args!(
                "compare the addresses with {}, let the functions' security group reach the brokers' ports, and check that \
                 {name}.auth names a way of signing in that the cluster offers and a user that it knows",
                side.aws("get-bootstrap-brokers"),
            )),
    )
}

fn reverse(facts: &Facts) -> Option<Finding> {
    facts.config.cutover.reverse_replication_enabled.then(|| {
        finding("B13", "cutover")
            .found("cutover.reverse_replication_enabled is true, but reverse replication is not implemented")
            .because(
                "after the client switch nothing would bring new records back to the source, as the setting promises",
            )
            .fix("set it to false; after the switch a way back to the source is the operator's own work")
    })
}

fn fewer_brokers(facts: &Facts) -> Option<Finding> {
    let (source, target) = (facts.source.brokers()?, facts.target.brokers()?);
    // MSK has as many brokers in each zone.
    let zones = facts.target.described.as_ref().map_or(1, |described| described.zones.max(1));
    let wanted = source.next_multiple_of(zones);
    (target < source).then(|| {
        finding("W01", "target")
            .found(format_args!("the target has {}, the source {source}", count(target, "broker")))
            .because(
                "fewer brokers may not carry the same load, and no topic can have more replicas than there are brokers",
            )
            .fix(format_args!(
                "scale the target up before the copy: `aws kafka update-broker-count --cluster-arn {} --region {} \
                 --current-version {} --target-number-of-broker-nodes {wanted}`",
                facts.config.target.cluster_arn,
                facts.config.target.region(),
                facts.target.current_version()
            ))
    })
}

fn regions(facts: &Facts) -> Option<Finding> {
    let (source, target) = (facts.config.source.region(), facts.config.target.region());
    (source != target).then(|| {
        finding("W02", "source and target")
            .found(format_args!("the source is in {source}, the target in {target}"))
            .because("every record copied is paid for as traffic between regions, in the seed and in the tail")
            .fix("estimate the cost from `msk-kraft plan` and the topics' write rate before starting")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, codes, facts, one};
    use migration::Error;

    fn described(cluster: &mut Cluster) -> &mut crate::facts::Described {
        cluster.described.as_mut().unwrap()
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn b02_names_each_serverless_side() {
        let mut facts = facts();
        described(&mut facts.source).serverless = true;
        assert!(one(judge(&facts), "B02").message.starts_with("source cluster old"));
        described(&mut facts.target).serverless = true;
        assert_eq!(codes(&judge(&facts)), ["B02", "B02"]);
    }

    #[test]
    fn b03_a_source_in_kraft_mode() {
        let mut facts = facts();
        described(&mut facts.source).mode = Some(MetadataMode::KRaft);
        sample::source(&mut facts).mode = MetadataMode::KRaft;
        assert!(one(judge(&facts), "B03").message.contains("is in KRaft mode, expected ZooKeeper"));
    }

    #[test]
    fn b04_a_target_in_zookeeper_mode() {
        let mut facts = facts();
        described(&mut facts.target).mode = Some(MetadataMode::ZooKeeper);
        sample::target(&mut facts).mode = MetadataMode::ZooKeeper;
        let finding = one(judge(&facts), "B04");
        assert!(finding.message.contains("expected KRaft") && finding.fix.contains("create-cluster-v2"));
    }

    #[test]
    fn b03_b04_the_brokers_stand_in_for_a_silent_api() {
        let mut facts = facts();
        facts.source.described = Err(Error::blocked("AccessDenied"));
        described(&mut facts.target).mode = None;
        assert!(judge(&facts).is_empty());
        sample::source(&mut facts).mode = MetadataMode::KRaft;
        sample::target(&mut facts).mode = MetadataMode::ZooKeeper;
        assert_eq!(codes(&judge(&facts)), ["B03", "B04"]);
    }

    #[test]
    fn b03_b04_the_api_stands_in_for_silent_brokers() {
        let mut facts = facts();
        facts.source.reached = Err(Error::blocked("down"));
        described(&mut facts.source).mode = Some(MetadataMode::KRaft);
        assert_eq!(codes(&judge(&facts)), ["B03", "B09"]);
    }

    #[test]
    fn b03_b04_a_contradiction_is_named_whichever_is_right() {
        let mut facts = facts();
        sample::source(&mut facts).mode = MetadataMode::KRaft;
        let finding = one(judge(&facts), "B03");
        assert!(finding.message.contains("MSK API says ZooKeeper mode"), "{}", finding.message);
        assert!(finding.cause.contains("source.bootstrap_servers"));
        sample::source(&mut facts).mode = MetadataMode::ZooKeeper;
        described(&mut facts.target).mode = Some(MetadataMode::ZooKeeper);
        assert!(one(judge(&facts), "B04").message.contains("brokers that answered say KRaft"));
    }

    #[test]
    fn b05_the_same_arn() {
        let mut facts = facts();
        facts.config.target.cluster_arn = facts.config.source.cluster_arn.clone();
        assert!(one(judge(&facts), "B05").message.contains("same ARN"));
    }

    #[test]
    fn b05_the_same_cluster_behind_two_arns() {
        let mut facts = facts();
        sample::target(&mut facts).id = Some("source-id".to_owned());
        assert!(one(judge(&facts), "B05").message.contains("id source-id"));
        // Two clusters that do not say who they are are not therefore the same.
        sample::target(&mut facts).id = None;
        sample::source(&mut facts).id = None;
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn b06_a_target_before_kraft() {
        let mut facts = facts();
        for old in ["3.6.0", "3.5.1", "2.8.2.tiered"] {
            described(&mut facts.target).version = Some(old.to_owned());
            assert!(one(judge(&facts), "B06").message.contains(old));
        }
        for new in ["3.7.x.kraft", "3.10.x", "4.0.x.kraft", "unheard"] {
            described(&mut facts.target).version = Some(new.to_owned());
            assert!(judge(&facts).is_empty(), "{new}");
        }
    }

    #[test]
    fn b06_brokers_stand_in_for_a_silent_api() {
        let mut facts = facts();
        facts.target.described = Err(Error::blocked("AccessDenied"));
        assert!(judge(&facts).is_empty());
        sample::arriving(&mut facts).brokers.as_mut().unwrap()[1].bounds_either_side = false;
        assert!(one(judge(&facts), "B06").message.contains("before 3.6"));
    }

    #[test]
    fn b09_b10_pass_on_why() {
        let mut facts = facts();
        facts.source.reached = Err(Error::blocked("auth.mode iam of old is not supported by this version yet"));
        assert!(one(judge(&facts), "B09").message.contains("auth.mode iam"));
        facts.target.reached = Err(Error::transient("connection refused"));
        let findings = judge(&facts);
        assert_eq!(codes(&findings), ["B09", "B10"]);
        assert!(findings[1].fix.contains("--cluster-arn arn:aws:kafka:us-east-1:123456789012:cluster/new/uuid-1"));
    }

    #[test]
    fn b13_replication_back() {
        let mut facts = facts();
        facts.config.cutover.reverse_replication_enabled = true;
        one(judge(&facts), "B13");
    }

    #[test]
    fn w01_fewer_brokers() {
        let mut facts = facts();
        // One of three is down.
        sample::target(&mut facts).brokers = vec![1, 2];
        assert!(judge(&facts).is_empty());
        facts.target.described.as_mut().unwrap().brokers = Some(2);
        let finding = one(judge(&facts), "W01");
        assert!(finding.fix.contains("--current-version K1 --target-number-of-broker-nodes 3"), "{}", finding.fix);
        facts.source.described.as_mut().unwrap().brokers = Some(4);
        let finding = one(judge(&facts), "W01");
        assert!(
            finding.message.ends_with("the source 4") && finding.fix.ends_with("broker-nodes 6`"),
            "{}",
            finding.fix
        );
        sample::target(&mut facts).brokers = vec![1, 2, 3, 4];
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w02_two_regions() {
        let mut facts = facts();
        facts.config.target.cluster_arn = "arn:aws:kafka:eu-west-1:123456789012:cluster/new/uuid-1".to_owned();
        assert!(one(judge(&facts), "W02").message.contains("us-east-1, the target in eu-west-1"));
    }
}
