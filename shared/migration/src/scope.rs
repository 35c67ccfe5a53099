//! What belongs to a migration, and what Kafka and MSK keep for themselves.

/// Whether `topic` is kept by the cluster itself and exists on every cluster anew: offsets, transactions, where the segments of
/// tiered storage are (KIP-405), and what MSK writes to watch its brokers.
pub fn is_internal_topic(topic: &str) -> bool {
    const EXACT: [&str; 4] =
        ["__consumer_offsets", "__transaction_state", "__share_group_state", "__remote_log_metadata"];
    EXACT.contains(&topic) || topic.starts_with("__amazon_msk_canary")
}

/// What names of MSK Connect's topics begin with: a connector's state, which its workers create for themselves on whatever
/// cluster they run (<https://docs.aws.amazon.com/msk/latest/developerguide/msk-connect-manage-connector-offsets.html>).
pub const MSK_CONNECT: &str = "__amazon_msk_connect";

/// What the names of consumer groups of Kafka Connect's sink connectors begin with (`SinkUtils.consumerGroupId` of Kafka Connect).
pub const CONNECT_SINK: &str = "connect-";

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
        assert!(!is_internal_topic("__amazon_msk_connect_offsets_dbz_123-4"), "a connector's, not the cluster's");
        assert!(is_internal_group("amazon.msk.canary.group.broker-1") && !is_internal_group("billing"));
    }
}
