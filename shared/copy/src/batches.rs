//! Which partitions one invocation copies.

use migration::TopicPartition;

/// Deals partitions out into batches of at most `per_batch`, largest first and always to the batch with the fewest bytes,
/// so that batches end at about the same time. `partitions` pairs each with its size in bytes.
pub fn deal(mut partitions: Vec<(TopicPartition, i64)>, per_batch: usize) -> Vec<Vec<TopicPartition>> {
    partitions.sort_by(|(a, a_bytes), (b, b_bytes)| b_bytes.cmp(a_bytes).then_with(|| a.cmp(b)));
    let mut batches: Vec<(i64, Vec<TopicPartition>)> = vec![(0, Vec::new()); partitions.len().div_ceil(per_batch)];
    for (partition, bytes) in partitions {
        let open = batches.iter_mut().filter(|(_, batch)| batch.len() < per_batch);
        let Some((sum, batch)) = open.min_by_key(|(sum, batch)| (*sum, batch.len())) else { break };
        *sum += bytes;
        batch.push(partition);
    }
    batches.into_iter().map(|(_, batch)| batch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_partition_is_dealt_once_and_no_batch_overflows(
            sizes in proptest::collection::vec(0_i64..1000, 0..200), per_batch in 1_usize..50
        ) {
            let partitions: Vec<_> = (0..).zip(&sizes).map(|(n, size)| (TopicPartition::new("t", n), *size)).collect();
            let batches = deal(partitions.clone(), per_batch);
            prop_assert!(batches.iter().all(|batch| !batch.is_empty() && batch.len() <= per_batch));
            let mut dealt: Vec<_> = batches.into_iter().flatten().collect();
            dealt.sort();
            let expected: Vec<_> = partitions.into_iter().map(|(partition, _)| partition).collect();
            prop_assert_eq!(dealt, expected);
        }
    }

    #[test]
    fn a_large_partition_does_not_share_with_the_next_largest() {
        let sized = |n, bytes| (TopicPartition::new("t", n), bytes);
        let batches = deal(vec![sized(0, 100), sized(1, 90), sized(2, 10), sized(3, 5)], 2);
        assert_eq!(batches[0].iter().map(|p| p.partition).collect::<Vec<_>>(), [0, 3]);
    }
}
