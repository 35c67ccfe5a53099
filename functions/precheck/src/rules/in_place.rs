//! Whether MSK could upgrade the source where it is: then no copy is needed, and that has to be said.

use kafka::MetadataMode;
use migration::report::Finding;

use super::finding::finding;
use crate::facts::Facts;

/// The version from which MSK upgrades in place, and the zones that Standard brokers have to be in. As known since MSK
/// announced it in August 2026; conditions may have changed since.
const UPGRADABLE: &str = "3.9.";
const ZONES: usize = 3;
/// The type whose clusters are not upgraded.
const TOO_SMALL: &str = "kafka.t3.small";

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    in_place(facts).into_iter().collect()
}

fn in_place(facts: &Facts) -> Option<Finding> {
    let described = facts.source.described.as_ref().ok()?;
    let version = described.version.as_deref().filter(|version| version.starts_with(UPGRADABLE))?;
    let instance_type = described.instance_type.as_deref()?;
    let brokers = facts.leaving.as_ref()?.brokers.as_ref().ok()?;
    let eligible = described.mode == Some(MetadataMode::ZooKeeper)
        && described.active
        && instance_type != TOO_SMALL
        && (described.zones >= ZONES || instance_type.starts_with("express."))
        && !(described.public && described.open_monitoring)
        && !brokers.iter().any(|config| config.readdressed);
    eligible.then(|| {
        finding("I02", "source")
            .found(format_args!(
                "MSK may be able to upgrade source cluster {} (Kafka {version}, {instance_type}) to KRaft in place",
                facts.config.source.name()
            ))
            .because(
                "since August 2026 MSK upgrades clusters of version 3.9 in ZooKeeper mode that are ACTIVE, Standard ones in three \
                 zones, not of type kafka.t3.small, without an altered advertised.listeners, and not both public and openly \
                 monitored; that ZooKeeper is closed to clients is wanted too, which could not be seen from here",
            )
            .fix(
                "compare both ways: an upgrade in place moves no data and keeps offsets, producers and bootstrap servers; a copy \
                 can be rolled back until the cutover, changes account, region, network, broker type or encryption, and \
                 gives evidence",
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Described;
    use crate::sample::{self, facts, one};

    fn eligible() -> Facts {
        let mut facts = facts();
        described(&mut facts).version = Some("3.9.x".to_owned());
        facts
    }

    fn described(facts: &mut Facts) -> &mut Described {
        facts.source.described.as_mut().unwrap()
    }

    #[test]
    fn nothing_is_to_be_said_of_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn i02_an_eligible_cluster() {
        let finding = one(judge(&eligible()), "I02");
        assert!(finding.message.contains("source cluster old (Kafka 3.9.x, kafka.m5.large)"), "{}", finding.message);
        assert!(finding.cause.contains("August 2026"));
    }

    #[test]
    fn i02_every_condition_counts() {
        let not: [fn(&mut Facts); 6] = [
            |facts| described(facts).active = false,
            |facts| described(facts).zones = 2,
            |facts| described(facts).instance_type = Some("kafka.t3.small".to_owned()),
            |facts| described(facts).mode = Some(MetadataMode::KRaft),
            |facts| (described(facts).public, described(facts).open_monitoring) = (true, true),
            |facts| sample::leaving(facts).brokers.as_mut().unwrap()[2].readdressed = true,
        ];
        for (number, change) in not.into_iter().enumerate() {
            let mut facts = eligible();
            change(&mut facts);
            assert!(judge(&facts).is_empty(), "{number}");
        }
        let mut public = eligible();
        described(&mut public).public = true;
        one(judge(&public), "I02");
    }
}
