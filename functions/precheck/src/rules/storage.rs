//! Whether what is copied fits on the target's disks.

use migration::report::Finding;

use super::finding::finding;
use crate::facts::Facts;

const GIB: f64 = 1_073_741_824.0;

/// Share of a disk above which AWS advises to be alarmed
/// (<https://docs.aws.amazon.com/msk/latest/developerguide/bestpractices.html#bestpractices-monitor-disk-space>).
const ALARMING: f64 = 0.85;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    full_disks(facts).into_iter().collect()
}

/// Counted as if all brokers got the same share. Express brokers and clusters that MSK does not know have no such disks.
fn full_disks(facts: &Facts) -> Option<Finding> {
    let gib = facts.target.described.as_ref().ok()?.volume_gib?;
    let brokers = facts.target.brokers()?.max(1);
    let sizes = facts.leaving.as_ref()?.sizes.as_ref().ok()?;
    let partitions = facts.source.reached.as_ref().ok()?.partitions(sizes);
    let copied: f64 =
        partitions.iter().map(|(_, bytes, replicas)| *bytes as f64 * (*replicas).min(brokers) as f64).sum();
    let each = copied / brokers as f64 / GIB;
    (each > f64::from(gib) * ALARMING).then(|| {
        finding("W23", "target")
            .found(format_args!(
                "with its replicas the copy takes about {each:.0} GiB on each of the target's {brokers} brokers, whose disks \
                 have {gib} GiB"
            ))
            .because(
                "a broker whose disk is full stops; what the target holds already and what is written meanwhile comes on top, \
                 and during the copy nothing expires there",
            )
            .fix(
                "`aws kafka update-broker-storage` on the target before the copy (it takes no disk smaller again), or leave \
                 topics out with topology.exclude",
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, facts, one};
    use migration::TopicPartition;

    /// The sample's only topic with `gib` in each of its two partitions, three replicas on three brokers.
    fn with(gib: i64) -> Facts {
        let mut facts = facts();
        let sizes = (0..2).map(|number| (TopicPartition::new("orders", number), gib << 30));
        sample::leaving(&mut facts).sizes = Ok(sizes.collect());
        facts.target.described.as_mut().unwrap().volume_gib = Some(1_000);
        facts
    }

    #[test]
    fn w23_a_copy_that_fills_the_disks() {
        assert!(judge(&with(425)).is_empty());
        let finding = one(judge(&with(426)), "W23");
        assert!(finding.message.contains("about 852 GiB on each of the target's 3 brokers, whose disks have 1000 GiB"));
    }

    #[test]
    fn w23_counts_the_replicas_that_the_target_will_have() {
        let mut facts = with(426);
        // Half of the replicas that the source has, on half of the brokers.
        sample::target(&mut facts).brokers = vec![1];
        facts.target.described.as_mut().unwrap().brokers = Some(1);
        one(judge(&facts), "W23");
        let more_brokers = &mut facts.target.described.as_mut().unwrap().brokers;
        *more_brokers = Some(6);
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w23_is_not_for_brokers_without_disks() {
        let mut facts = with(9_000);
        facts.target.described.as_mut().unwrap().volume_gib = None;
        assert!(judge(&facts).is_empty());
    }
}
