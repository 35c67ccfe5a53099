//! What belongs to a migration, and what Kafka and MSK keep for themselves.

/// Whether `topic` is kept by the cluster itself and exists on every cluster anew: offsets, transactions, where the segments of
/// tiered storage are (KIP-405), and what MSK writes to watch its brokers.
pub fn is_internal_topic(topic: &str) -> bool {
    const EXACT: [&str; 4] =
        ["__consumer_offsets", "__transaction_state", "__share_group_state", "__remote_log_metadata"];
    const PREFIXES: [&str; 2] = ["__amazon_msk_canary", "__amazon_msk_connect"];
    EXACT.contains(&topic) || PREFIXES.iter().any(|prefix| topic.starts_with(prefix))
}

/// What the name of the topic begins with on which a write fence is tried before producers stop. There is no such topic.
pub const TRIAL_TOPIC: &str = "msk-kraft-write-fence-trial-";

/// Whether `group` belongs to MSK's own health checks.
pub fn is_internal_group(group: &str) -> bool {
    group.starts_with("amazon.msk.canary.group.broker-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clusters_own_are_internal() {
        assert!(is_internal_topic("__consumer_offsets") && is_internal_topic("__amazon_msk_canary_state"));
        assert!(is_internal_topic("__remote_log_metadata"));
        assert!(!is_internal_topic("__my_topic") && !is_internal_topic("orders"));
        assert!(is_internal_group("amazon.msk.canary.group.broker-1") && !is_internal_group("billing"));
    }
}
