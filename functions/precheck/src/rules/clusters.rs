//! The two clusters as wholes: can they be reached, are they of the right kind, is one large enough for the other.

use kafka::MetadataMode;
use migration::config::ClusterConfig;
use migration::report::Finding;

use super::{blocker, warning};
use crate::facts::{Cluster, Facts};

/// The first version whose KRaft mode MSK offers.
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
        version(&target),
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
    side.cluster.described.as_ref().is_ok_and(|described| described.serverless).then(|| {
        blocker(
            "B02",
            format_args!(
                "{} cluster {} is MSK Serverless; both have to be MSK Provisioned",
                side.name,
                side.config.name()
            ),
            format_args!(
                "name a Provisioned cluster in {}.cluster_arn; Serverless never had a ZooKeeper mode to migrate from",
                side.name
            ),
        )
    })
}

/// The mode, or what contradicts itself about it. What the brokers say stands when the MSK API says nothing.
fn mode(side: &Side<'_>, code: &str, wanted: MetadataMode) -> Option<Finding> {
    let msk = side.cluster.described.as_ref().ok().and_then(|described| described.mode);
    let brokers = side.cluster.reached.as_ref().ok().map(|reached| reached.mode);
    let name = side.config.name();
    if let (Some(msk), Some(brokers)) = (msk, brokers)
        && msk != brokers
    {
        return Some(blocker(
            code,
            format_args!(
                "{} cluster {name} contradicts itself: the MSK API says {msk} mode, the brokers that answered say {brokers}",
                side.name
            ),
            format_args!(
                "{0}.bootstrap_servers most likely names brokers of another cluster: compare it with {1}, or leave it out",
                side.name,
                side.aws("get-bootstrap-brokers")
            ),
        ));
    }
    let found = brokers.or(msk).filter(|found| *found != wanted)?;
    let fix = match wanted {
        MetadataMode::ZooKeeper => "a cluster in KRaft mode needs no migration, and source and target may be swapped",
        MetadataMode::KRaft => {
            "create the target with `aws kafka create-cluster-v2` and a Kafka version that ends in .kraft (3.7 or later); \
             source and target may be swapped"
        }
    };
    Some(blocker(
        code,
        format_args!("{} cluster {name} runs in {found} mode, needed is {wanted}", side.name),
        format_args!("{fix}; {} shows what {}.cluster_arn names", side.aws("describe-cluster-v2"), side.name),
    ))
}

fn same(facts: &Facts) -> Option<Finding> {
    let fix = "create a second cluster in KRaft mode and name it in target.cluster_arn; nothing is migrated in place";
    if facts.config.source.cluster_arn == facts.config.target.cluster_arn {
        let message = format!("source and target have the same ARN, {}", facts.config.source.cluster_arn);
        return Some(blocker("B05", message, fix));
    }
    let id = facts.shared_cluster_id()?;
    let message =
        format!("source and target have different ARNs, but their brokers are those of one cluster (id {id})");
    Some(blocker("B05", message, format_args!("{fix}; check bootstrap_servers of both sides")))
}

fn version(target: &Side<'_>) -> Option<Finding> {
    let version = target.cluster.described.as_ref().ok()?.version.as_deref()?;
    (major_minor(version)? < FIRST_KRAFT).then(|| {
        let (major, minor) = FIRST_KRAFT;
        blocker(
            "B06",
            format_args!("target cluster {} runs Kafka {version}; KRaft on MSK begins with {major}.{minor}", target.config.name()),
            format_args!(
                "create the target with Kafka {major}.{minor} or later; `aws kafka list-kafka-versions --region {}` lists them",
                target.config.region()
            ),
        )
    })
}

/// The first two numbers of a version such as `3.9.x.kraft`.
fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn unreachable(side: &Side<'_>, code: &str) -> Option<Finding> {
    let error = side.cluster.reached.as_ref().err()?;
    Some(blocker(
        code,
        format_args!("{} cluster {} cannot be used over the Kafka protocol: {error}", side.name, side.config.name()),
        format_args!(
            "compare the addresses with {}, let the functions' security group reach the brokers' ports, and check that \
             {}.auth.mode is one the cluster offers",
            side.aws("get-bootstrap-brokers"),
            side.name
        ),
    ))
}

fn reverse(facts: &Facts) -> Option<Finding> {
    facts.config.cutover.reverse_replication_enabled.then(|| {
        blocker(
            "B13",
            "cutover.reverse_replication_enabled is true, but nothing here replicates back to the source",
            "set it to false; after the client switch a way back to the source is the operator's own work",
        )
    })
}

fn fewer_brokers(facts: &Facts) -> Option<Finding> {
    let (source, target) = (facts.source.brokers()?, facts.target.brokers()?);
    (target < source).then(|| {
        warning(
            "W01",
            format_args!("the target has {target} brokers, the source {source}"),
            format_args!(
                "scale the target up before the copy if it has to carry the same load: `aws kafka update-broker-count \
                 --cluster-arn {} --region {} --current-version {} --target-number-of-broker-nodes {source}`",
                facts.config.target.cluster_arn,
                facts.config.target.region(),
                facts.target.current_version()
            ),
        )
    })
}

fn regions(facts: &Facts) -> Option<Finding> {
    let (source, target) = (facts.config.source.region(), facts.config.target.region());
    (source != target).then(|| {
        warning(
            "W02",
            format_args!("the source is in {source}, the target in {target}: every record copied is paid for as traffic between regions"),
            "estimate the cost from `msk-kraft plan`'s estimated_seed_bytes and the topics' write rate before starting",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, codes, facts};
    use migration::Error;

    fn described(cluster: &mut Cluster) -> &mut crate::facts::Described {
        cluster.described.as_mut().unwrap()
    }

    fn one(facts: &Facts, code: &str) -> Finding {
        let findings = judge(facts);
        assert_eq!(codes(&findings), [code], "{findings:?}");
        findings.into_iter().next().unwrap()
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn b02_names_each_serverless_side() {
        let mut facts = facts();
        described(&mut facts.source).serverless = true;
        assert!(one(&facts, "B02").message.starts_with("source cluster old"));
        described(&mut facts.target).serverless = true;
        assert_eq!(codes(&judge(&facts)), ["B02", "B02"]);
    }

    #[test]
    fn b03_a_source_in_kraft_mode() {
        let mut facts = facts();
        described(&mut facts.source).mode = Some(MetadataMode::KRaft);
        sample::source(&mut facts).mode = MetadataMode::KRaft;
        assert!(one(&facts, "B03").message.contains("runs in KRaft mode, needed is ZooKeeper"));
    }

    #[test]
    fn b04_a_target_in_zookeeper_mode() {
        let mut facts = facts();
        described(&mut facts.target).mode = Some(MetadataMode::ZooKeeper);
        sample::target(&mut facts).mode = MetadataMode::ZooKeeper;
        let finding = one(&facts, "B04");
        assert!(finding.message.contains("needed is KRaft") && finding.fix.contains("create-cluster-v2"));
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
        let finding = one(&facts, "B03");
        assert!(finding.message.contains("MSK API says ZooKeeper mode"), "{}", finding.message);
        assert!(finding.fix.contains("source.bootstrap_servers"));
        sample::source(&mut facts).mode = MetadataMode::ZooKeeper;
        described(&mut facts.target).mode = Some(MetadataMode::ZooKeeper);
        assert!(one(&facts, "B04").message.contains("brokers that answered say KRaft"));
    }

    #[test]
    fn b05_the_same_arn() {
        let mut facts = facts();
        facts.config.target.cluster_arn = facts.config.source.cluster_arn.clone();
        assert!(one(&facts, "B05").message.contains("same ARN"));
    }

    #[test]
    fn b05_the_same_cluster_behind_two_arns() {
        let mut facts = facts();
        sample::target(&mut facts).id = Some("source-id".to_owned());
        assert!(one(&facts, "B05").message.contains("id source-id"));
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
            assert!(one(&facts, "B06").message.contains(old));
        }
        for new in ["3.7.x.kraft", "3.10.x", "4.0.x.kraft", "unheard"] {
            described(&mut facts.target).version = Some(new.to_owned());
            assert!(judge(&facts).is_empty(), "{new}");
        }
    }

    #[test]
    fn b09_b10_pass_on_why() {
        let mut facts = facts();
        facts.source.reached = Err(Error::blocked("auth.mode iam of old is not supported by this version yet"));
        assert!(one(&facts, "B09").message.contains("auth.mode iam"));
        facts.target.reached = Err(Error::transient("connection refused"));
        let findings = judge(&facts);
        assert_eq!(codes(&findings), ["B09", "B10"]);
        assert!(findings[1].fix.contains("--cluster-arn arn:aws:kafka:us-east-1:123456789012:cluster/new/uuid-1"));
    }

    #[test]
    fn b13_replication_back() {
        let mut facts = facts();
        facts.config.cutover.reverse_replication_enabled = true;
        one(&facts, "B13");
    }

    #[test]
    fn w01_fewer_brokers() {
        let mut facts = facts();
        sample::target(&mut facts).brokers = vec![1, 2];
        let finding = one(&facts, "W01");
        assert!(finding.fix.contains("--current-version K1 --target-number-of-broker-nodes 3"), "{}", finding.fix);
        sample::target(&mut facts).brokers = vec![1, 2, 3, 4];
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w02_two_regions() {
        let mut facts = facts();
        facts.config.target.cluster_arn = "arn:aws:kafka:eu-west-1:123456789012:cluster/new/uuid-1".to_owned();
        assert!(one(&facts, "W02").message.contains("us-east-1, the target in eu-west-1"));
    }
}
