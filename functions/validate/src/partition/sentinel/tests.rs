use kafka::batch::{Codec, HEADER_SIZE, Record, Stamp, encode};
use migration::report::Outcome::{self, Failed, Warning};

use super::super::lookup;
use super::*;
use crate::policy::tests::policy;
use crate::switch::tests::SWITCHED;

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn outcome(problem: Option<Problem>) -> Option<Outcome> {
    problem.map(|problem| problem.outcome)
}

const COMMIT: &[u8] = &[0, 0, 0, 1];
const ABORT: &[u8] = &[0, 0, 0, 0];
const MARKER: Marker = Marker { offset: 7, producer_id: 4, producer_epoch: 1 };

/// A batch of one record with `key` at `offset`, a control batch if wanted.
fn batch(offset: i64, stamp: (i64, i16), control: bool, key: &[u8]) -> Vec<u8> {
    let record = Record { key: Some(key.to_vec().into()), ..Record::default() };
    let stamp = Stamp { producer_id: stamp.0, producer_epoch: stamp.1, base_sequence: -1 };
    let mut bytes = encode(&[record], Codec::None, stamp, offset).unwrap().bytes().to_vec();
    if control {
        // Of a transaction, and a control batch.
        bytes[22] |= 0x30;
    }
    sealed(bytes)
}

/// The marker's batch as compaction leaves it when it keeps a producer's last batch: without records.
fn emptied() -> Vec<u8> {
    let mut bytes = batch(7, (4, 1), true, COMMIT);
    bytes.truncate(HEADER_SIZE);
    bytes[8..12].copy_from_slice(&(HEADER_SIZE as i32 - 12).to_be_bytes());
    bytes[57..61].fill(0);
    sealed(bytes)
}

/// `bytes` with the checksum that they have now.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn judged(log: Vec<u8>, policy: &Policy) -> Option<Outcome> {
    outcome(judge_marker(&partition(), MARKER, lookup::first(log.into(), 7), policy))
}

#[test]
fn a_marker_is_known_by_its_place_its_producer_and_what_it_says() {
    let forever = policy(&[("retention.ms", "-1")]);
    assert_eq!(judged(batch(7, (4, 1), true, COMMIT), &forever), None);
    assert_eq!(judged(emptied(), &forever), None, "its header is proof enough");
    for other in [
        batch(7, (4, 2), true, COMMIT),
        batch(7, (5, 1), true, COMMIT),
        batch(7, (4, 1), true, ABORT),
        batch(7, (4, 1), false, COMMIT),
    ] {
        assert_eq!(judged(other, &forever), Some(Failed));
    }
    let mut damaged = batch(7, (4, 1), true, COMMIT);
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(judged(damaged, &forever), Some(Failed));
}

#[test]
fn a_marker_that_retention_or_compaction_took_is_a_warning() {
    let (forever, compact) = (policy(&[("retention.ms", "-1")]), policy(&[("cleanup.policy", "compact")]));
    let judge = |found, policy| outcome(judge_marker(&partition(), MARKER, found, policy));
    assert_eq!(judge(At::Removed(9), &forever), Some(Warning));
    assert_eq!(judged(batch(9, (8, 0), false, b"k"), &compact), Some(Warning), "a hole in a compacted topic");
    assert_eq!(judged(batch(9, (8, 0), false, b"k"), &forever), Some(Failed), "nothing else makes a hole");
    assert_eq!(judge(At::Beyond, &compact), Some(Failed));
}

#[test]
fn a_proven_end_stands_until_the_source_ends_before_it() {
    let end = PartitionEnd { partition: partition(), source_end: 20, target_end: 10, proof: EndProof::End };
    let judge = |found| judge_end(&end, found, SWITCHED).into_iter().map(|problem| problem.outcome).collect::<Vec<_>>();
    assert!(judge(Some(20)).is_empty());
    assert!(judge(Some(25)).is_empty(), "late records are a finding of the counts");
    assert_eq!(judge(Some(19)), [Failed]);
    assert_eq!(judge(None), [Warning], "the topic was deleted on the source");
}

#[test]
fn a_sentinel_record_that_clients_removed_is_a_warning_and_another_in_its_place_is_not() {
    let (forever, compact) = (policy(&[("retention.ms", "-1")]), policy(&[("cleanup.policy", "compact")]));
    let on_target = |seen, policy: &Policy| outcome(judge_on_target(&partition(), seen, "place", policy, SWITCHED));
    assert_eq!(on_target(Seen::Ours, &forever), None);
    assert_eq!(on_target(Seen::Removed(30), &forever), Some(Warning));
    assert_eq!(on_target(Seen::Hole, &compact), Some(Warning));
    for (seen, policy) in [
        (Seen::Hole, &forever),
        (Seen::Beyond, &compact),
        (Seen::Another, &compact),
        (Seen::Unreadable("crc".to_owned()), &compact),
    ] {
        assert_eq!(on_target(seen, policy), Some(Failed));
    }
    let nobody = Switch::of(&[]);
    assert_eq!(outcome(judge_on_target(&partition(), Seen::Removed(30), "place", &forever, nobody)), Some(Failed));
    let on_source = |seen, policy: &Policy| outcome(judge_on_source(&partition(), seen, "place", policy));
    assert_eq!(on_source(Seen::Ours, &forever), None);
    assert_eq!(on_source(Seen::Removed(30), &forever), Some(Warning));
    assert_eq!(on_source(Seen::Hole, &compact), Some(Warning));
    assert_eq!(on_source(Seen::Beyond, &forever), Some(Failed));
}

#[test]
fn a_topic_that_is_gone_on_the_source_took_its_proof_along() {
    for presence in [Presence::Deleted, Presence::Recreated] {
        assert_eq!(outcome(absent(&partition(), presence, SWITCHED)), Some(Warning));
    }
    assert_eq!(outcome(absent(&partition(), Presence::Hidden, SWITCHED)), Some(Failed));
    assert_eq!(outcome(absent(&partition(), Presence::There, SWITCHED)), None);
}

#[test]
fn only_this_migrations_sentinel_counts() {
    let id: MigrationId = "m-1".parse().unwrap();
    let key = Some(NAME.as_bytes());
    let (ours, another) = (Some(&br#"{"migration_id":"m-1"}"#[..]), Some(&br#"{"migration_id":"m-2"}"#[..]));
    assert!(is_ours(key, None, Some(b"m-1"), &id));
    assert!(is_ours(key, ours, None, &id), "an old format has no headers");
    assert!(!is_ours(key, ours, Some(b"m-2"), &id));
    assert!(!is_ours(key, another, None, &id));
    assert!(!is_ours(key, Some(b"m-1"), None, &id));
    assert!(!is_ours(key, None, None, &id));
    assert!(!is_ours(None, ours, Some(b"m-1"), &id));
}
