//! Whether the source's replicas are what they are meant to be: none on its way, as many in every partition, all alive.

use std::sync::Arc;

use migration::TopicPartition;
use migration::report::Finding;

use super::finding::{count, few, finding};
use crate::facts::{Facts, Reached};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Ok(source) = &facts.source.reached else { return Vec::new() };
    [moving(source), uneven(source), dead(source), too_few(facts, source)].into_iter().flatten().collect()
}

fn moving(source: &Reached) -> Option<Finding> {
    let moving = source.replication.moving.as_ref().ok()?;
    (!moving.is_empty()).then(|| {
        finding("W29", "source")
            .found(format_args!(
                "replicas of {} of the source are being moved: {}",
                count(moving.len(), "partition"),
                few(moving)
            ))
            .of(moving)
            .because(
                "topics are created on the target with the replicas that they have when the reassignment has ended; one that \
                 is cancelled, or that begins while topics are created, leaves the two sides with different numbers",
            )
            .fix("let it end first: `kafka-reassign-partitions.sh --list` shows what is under way")
    })
}

fn uneven(source: &Reached) -> Option<Finding> {
    let uneven = &source.replication.uneven;
    let shape = |(topic, (fewest, most)): (&Arc<str>, &(usize, usize))| format!("{topic} ({fewest} to {most})");
    (!uneven.is_empty()).then(|| {
        finding("W29", "source")
            .found(format_args!(
                "partitions of {} of the source have different numbers of replicas: {}",
                count(uneven.len(), "topic"),
                few(uneven.iter().map(shape))
            ))
            .of(uneven.keys())
            .because(
                "a topic is created with one number for all of its partitions: on the target each gets the most that one has, \
                 which takes more disk, and more brokers acknowledge a write",
            )
            .fix("give all partitions the same number on the source, with `kafka-reassign-partitions.sh`, if that is not meant")
    })
}

fn dead(source: &Reached) -> Option<Finding> {
    let dead = &source.replication.dead;
    (!dead.is_empty()).then(|| {
        finding("W30", "source")
            .found(format_args!(
                "{} of the source with replicas {} not alive: {}",
                count(dead.len(), "broker"),
                if dead.len() == 1 { "is" } else { "are" },
                few(dead)
            ))
            .of(dead)
            .because(
                "with one more broker lost, partitions are gone for the copy; where too few replicas are left, the cutover \
                 cannot write its sentinels, and records that producers have written with acks=1 may be lost",
            )
            .fix("bring the brokers back, and let their replicas catch up, before the migration begins")
    })
}

/// Partitions that take no write with acks=all.
fn too_few(facts: &Facts, source: &Reached) -> Option<Finding> {
    let configs = &facts.leaving.as_ref()?.configs.known;
    let minimum = |partition: &TopicPartition| configs.get(&partition.topic)?.min_in_sync;
    let behind = &source.replication.behind;
    let below = behind.iter().filter(|(partition, in_sync)| minimum(partition).is_some_and(|least| **in_sync < least));
    let below: Vec<_> = below.map(|(partition, in_sync)| format!("{partition} ({in_sync} in sync)")).collect();
    (!below.is_empty()).then(|| {
        finding("W30", "source")
            .found(format_args!(
                "{} of the source with fewer replicas in sync than min.insync.replicas: {}",
                count(below.len(), "partition"),
                few(&below)
            ))
            .of(&below)
            .because(
                "they refuse writes with acks=all, those of producers and the cutover's own sentinels: they can be copied, and \
                 the cutover cannot succeed",
            )
            .fix("bring the brokers with the other replicas back and let them catch up")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::facts::Replication;
    use crate::sample::{self, codes, facts, one};

    fn replication(facts: &mut Facts) -> &mut Replication {
        &mut sample::source(facts).replication
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn w29_a_reassignment_under_way() {
        let mut facts = facts();
        replication(&mut facts).moving = Ok(BTreeSet::from([TopicPartition::new("orders", 1)]));
        let finding = one(judge(&facts), "W29");
        assert_eq!(finding.message, "replicas of 1 partition of the source are being moved: orders/1");
        // That it could not be asked about is told with what else could not (W13).
        replication(&mut facts).moving = Err(migration::Error::blocked("denied"));
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w29_partitions_with_different_numbers_of_replicas() {
        let mut facts = facts();
        replication(&mut facts).uneven = BTreeMap::from([("orders".into(), (1, 3))]);
        assert!(
            one(judge(&facts), "W29")
                .message
                .ends_with("1 topic of the source have different numbers of replicas: orders (1 to 3)")
        );
    }

    #[test]
    fn w30_dead_brokers() {
        let mut facts = facts();
        replication(&mut facts).dead = BTreeSet::from([3]);
        replication(&mut facts).behind = BTreeMap::from([(TopicPartition::new("orders", 0), 2)]);
        let finding = one(judge(&facts), "W30");
        assert_eq!(finding.message, "1 broker of the source with replicas is not alive: 3");
    }

    #[test]
    fn w30_partitions_below_min_insync_replicas() {
        let mut facts = facts();
        replication(&mut facts).behind = BTreeMap::from([(TopicPartition::new("orders", 0), 1)]);
        assert!(one(judge(&facts), "W30").message.ends_with("than min.insync.replicas: orders/0 (1 in sync)"));
        sample::leaving(&mut facts).configs.known.get_mut("orders").unwrap().min_in_sync = Some(1);
        assert!(judge(&facts).is_empty(), "as many as it takes");
    }

    #[test]
    fn nothing_is_said_of_a_source_that_is_out_of_reach() {
        let mut facts = facts();
        facts.source.reached = Err(migration::Error::blocked("down"));
        assert_eq!(codes(&judge(&facts)), Vec::<&str>::new());
    }
}
