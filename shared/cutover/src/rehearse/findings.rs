//! What a rehearsal finds, and the closed table of codes.

use documents::rehearsal::{Finding, Weight};

/// Codes of findings. Codes of refused settings are `topology`'s.
pub(crate) mod code {
    /// A batch of partitions is not copied by a running function.
    pub(crate) const TAIL_NOT_RUNNING: &str = "cutover.tail_not_running";
    /// A partition stopped.
    pub(crate) const PARTITION_STOPPED: &str = "cutover.partition_stopped";
    /// The lag is larger than what counts as drained.
    pub(crate) const LAG: &str = "cutover.lag";
    /// Records were deleted on the source before they were copied.
    pub(crate) const GAP: &str = "cutover.records_deleted";
    /// Records of the source are in partitions that are not copied.
    pub(crate) const NOT_COPIED: &str = "cutover.partition_not_copied";
    /// Partitions of the source that are not copied are empty so far.
    pub(crate) const EMPTY_NOT_COPIED: &str = "cutover.empty_partition_not_copied";
    /// A topic was deleted on the source.
    pub(crate) const TOPIC_DELETED: &str = "cutover.topic_deleted";
    /// A log of the source went backwards.
    pub(crate) const LOG_REWOUND: &str = "cutover.log_rewound";
    /// A transaction hangs.
    pub(crate) const HANGING_TRANSACTION: &str = "cutover.hanging_transaction";
    /// A transaction is open.
    pub(crate) const OPEN_TRANSACTION: &str = "cutover.open_transaction";
    /// A commit of a group is pending.
    pub(crate) const PENDING_COMMIT: &str = "cutover.pending_commit";
    /// Pending commits cannot be seen.
    pub(crate) const PENDING_UNSEEN: &str = "cutover.pending_commits_unseen";
    /// A partition takes no marker.
    pub(crate) const NO_MARKER: &str = "cutover.no_marker";
    /// The principal may not use the transactional id.
    pub(crate) const TRANSACTIONAL_ID: &str = "cutover.transactional_id";
    /// A log of the target is not what was copied to it.
    pub(crate) const TARGET_CHANGED: &str = "cutover.target_changed";
    /// Too few replicas of a target's partition are in sync.
    pub(crate) const TARGET_REPLICAS: &str = "cutover.target_under_min_isr";
    /// The target's coordinators would refuse an offset of a group.
    pub(crate) const GROUP_REFUSED: &str = "cutover.group_refused";
    /// What clients stored beside offsets may speak of offsets that differ on the target.
    pub(crate) const GROUP_METADATA: &str = "cutover.group_metadata";
    /// Keys of a compacted topic live on the target alone.
    pub(crate) const DELETED_KEYS: &str = "cutover.deleted_keys";
    /// Compacted partitions were not compared by key.
    pub(crate) const KEYS_NOT_COMPARED: &str = "cutover.keys_not_compared";
    /// Records of the target were not counted yet.
    pub(crate) const NOT_COUNTED: &str = "cutover.not_counted";
    /// Offsets of a sink connector's group differ on the target.
    pub(crate) const SINK_OFFSETS: &str = "cutover.sink_offsets";
    /// A group has members on the target.
    pub(crate) const GROUP_ACTIVE: &str = "cutover.group_active_on_target";
    /// A group is further on on the target than on the source.
    pub(crate) const GROUP_AHEAD: &str = "cutover.group_ahead_on_target";
    /// The freeze would take longer than it may.
    pub(crate) const FREEZE_TOO_LONG: &str = "cutover.freeze_too_long";
    /// A group of another type has the name on the target.
    pub(crate) const GROUP_TYPE: &str = "cutover.group_type";
    /// Limits of the target's coordinators are not known.
    pub(crate) const LIMITS_UNKNOWN: &str = "cutover.coordinator_limits_unknown";
    /// Something of the source is not brought over as it is.
    pub(crate) const NOT_BROUGHT_OVER: &str = "cutover.not_brought_over";
    /// The principal may not do on the target what is needed.
    pub(crate) const LOCKED_OUT: &str = "cutover.locked_out";
    /// The key of the evidence cannot be used.
    pub(crate) const SIGNING_KEY: &str = "cutover.signing_key";

    /// ACLs cannot keep anybody from writing to the source, or nothing would prove that they do.
    pub(crate) const WRITE_FENCE: &str = "cutover.write_fence";
    /// Brokers of the source have super users.
    pub(crate) const SUPER_USERS: &str = "cutover.write_fence_super_users";

    /// What comes and goes while producers work: that it is there now does not make a rehearsal another one.
    pub(crate) const PASSING: [&str; 6] = [LAG, GAP, OPEN_TRANSACTION, PENDING_COMMIT, NOT_COUNTED, KEYS_NOT_COMPARED];

    /// All of them, with what each means.
    pub(super) const ALL: [(&str, &str); 32] = [
        (TAIL_NOT_RUNNING, "No running function copies a batch of partitions: the drain would wait for it in vain."),
        (PARTITION_STOPPED, "A partition stopped and is not copied any further."),
        (LAG, "The copy lags by more than cutover.drain_max_partition_lag: the freeze would last longer."),
        (
            GAP,
            "The source deleted records before they were copied; the copy went on behind them, as the configuration says.",
        ),
        (NOT_COPIED, "Topics or partitions that appeared on the source hold records and are not copied."),
        (
            EMPTY_NOT_COPIED,
            "Topics or partitions that appeared on the source are empty so far, and are not brought over.",
        ),
        (TOPIC_DELETED, "A topic of the wave was deleted on the source."),
        (LOG_REWOUND, "A log of the source ends or begins below what was copied."),
        (HANGING_TRANSACTION, "A transaction hangs and holds the copy up."),
        (OPEN_TRANSACTION, "A transaction is open. The cutover waits for its end, within max_producer_freeze."),
        (PENDING_COMMIT, "A commit of a consumer group is not decided yet."),
        (PENDING_UNSEEN, "The source does not let this principal see commits that open transactions hold."),
        (NO_MARKER, "A topic takes no marker; the end of its logs is the proof there."),
        (TRANSACTIONAL_ID, "The source does not let this principal use the transactional id of the markers."),
        (TARGET_CHANGED, "Another client wrote to a log of the target, or records were lost or deleted there."),
        (
            TARGET_REPLICAS,
            "The target takes no records or commits: fewer replicas than min.insync.replicas are in sync.",
        ),
        (GROUP_REFUSED, "The target's coordinators would refuse an offset of a group."),
        (
            GROUP_METADATA,
            "What a group's clients stored beside its offsets may speak of offsets, which differ on the target.",
        ),
        (DELETED_KEYS, "Keys of a compacted topic live on the target alone: their deletion was not copied."),
        (KEYS_NOT_COMPARED, "Compacted partitions were not compared by key yet."),
        (NOT_COUNTED, "Copied records of the target were not counted yet; finalize counts them."),
        (
            SINK_OFFSETS,
            "Offsets of a sink connector's group differ on the target, which the sink may use as versions or names.",
        ),
        (GROUP_ACTIVE, "A group has members on the target already: its offsets are not committed."),
        (
            GROUP_AHEAD,
            "The target has offsets of a group that are further on than the source's: it would skip records.",
        ),
        (FREEZE_TOO_LONG, "The freeze is expected to last longer than cutover.max_producer_freeze."),
        (GROUP_TYPE, "The target has a group of this name whose type keeps no such offsets."),
        (LIMITS_UNKNOWN, "The target does not describe what its coordinators take."),
        (NOT_BROUGHT_OVER, "A config, quota or ACL of the source is not brought over as it is."),
        (LOCKED_OUT, "The target does not let this principal do what the cutover needs."),
        (SIGNING_KEY, "The evidence could not be signed."),
        (WRITE_FENCE, "The source's ACLs cannot hold the write fence, or nothing would prove that they do."),
        (SUPER_USERS, "Brokers of the source have super users, whom a write fence does not hold."),
    ];
}

/// Every code with what it means, for documentation.
pub fn table() -> &'static [(&'static str, &'static str)] {
    &code::ALL
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds something that stands in the way.
    pub(crate) fn block(
        &mut self,
        code: impl Into<String>,
        subject: impl Into<String>,
        message: impl Into<String>,
        way_out: impl Into<String>,
    ) {
        self.add(Weight::Blocker, code, subject, message, way_out);
    }

    /// Adds something.
    pub(crate) fn add(
        &mut self,
        weight: Weight,
        code: impl Into<String>,
        subject: impl Into<String>,
        message: impl Into<String>,
        way_out: impl Into<String>,
    ) {
        let (code, subject) = (code.into(), subject.into());
        self.0.push(Finding { weight, code, subject, message: message.into(), way_out: way_out.into() });
    }

    /// Adds a finding of another crate.
    pub(crate) fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// All of them, what stands in the way first.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blockers_come_first_and_codes_are_told_apart() {
        let mut findings = Findings::default();
        findings.add(Weight::Info, code::LIMITS_UNKNOWN, "", "i", "");
        findings.block(code::GROUP_TYPE, "g", "b", "");
        findings.block(code::GROUP_TYPE, "g", "b", "");
        let weights: Vec<_> = findings.sorted().into_iter().map(|finding| finding.weight).collect();
        assert_eq!(weights, [Weight::Blocker, Weight::Info]);
        let mut codes: Vec<_> = table().iter().map(|(code, _)| *code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), table().len());
        assert!(codes.iter().all(|code| code.starts_with("cutover.")));
        assert!(documents::rehearsal::CURED_BY_TAIL.iter().all(|code| codes.contains(code)));
    }
}
