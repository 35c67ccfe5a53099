//! Consumer groups: which of them are brought over, and where each stands on the source.

use std::collections::{BTreeMap, BTreeSet};

use documents::cutover_plan::GroupPlan;
use kafka::{Code, CommittedOffset, GroupDescription, GroupListing};
use migration::config::{Cutover, Topology};
use migration::{Error, Result, scope};

use crate::metadata;
use crate::ports::{GroupOffsets, PendingOffset, Ports, Source, Target};

/// Why a group is skipped that reads topics of other migrations alone.
pub const OTHER_WAVE: &str = "it has committed offsets only for topics outside topology.include and topology.exclude";

/// Why a group is skipped that has members on the target.
pub const ACTIVE: &str =
    "it has active members on the target; stop them, then commit its offsets by hand: they are in the plan";

/// What to do about a group that the target has further on.
pub(crate) const AHEAD_CURE: &str = "Delete its offsets on the target (kafka-consumer-groups.sh --delete-offsets), or leave the group out by cutover.skip_groups";

/// Why offsets of a group cannot be committed that this principal may not read.
const DENIED: &str = "the target denies Read on it to the principal of target.auth";

/// Every group of the source, as far as it can be said before offsets are translated.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Those that have offsets of this wave, by id.
    pub(crate) wanted: BTreeMap<String, Wanted>,
    /// Those of which nothing is brought over.
    pub(crate) skipped: Vec<GroupPlan>,
    /// What an open transaction is about to commit for topics of this wave.
    pub(crate) pending: BTreeSet<PendingOffset>,
}

/// The committed offsets of one group on the source.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Those of topics that this migration is about.
    pub(crate) offsets: Vec<CommittedOffset>,
    /// How many others there are.
    pub(crate) outside: usize,
    /// Why they are not committed all the same, if so.
    pub(crate) skipped: Option<String>,
}

/// Reads every group of the source. Offsets that an open transaction is about to change are listed, not waited for.
///
/// # Errors
/// When a cluster cannot be asked.
pub(crate) async fn read(ports: &impl Ports, limits: &Cutover, selection: &Topology) -> Result<Snapshot> {
    // Before anything else is asked for: a commit that was pending then is either named here or among the offsets.
    let pending = ports.source().pending_offsets().await?;
    let listed = ports.source().groups().await?;
    let mut snapshot = Snapshot::default();
    let mut ids = Vec::new();
    for group in listed {
        match reason_to_skip(&group, limits) {
            Some(reason) => snapshot.skipped.push(GroupPlan::skipped(group.id, reason)),
            None => ids.push(group.id),
        }
    }
    let offsets = ports.source().group_offsets(&ids).await?;
    for (id, GroupOffsets { offsets, pending }) in offsets {
        let offsets = offsets.into_iter().map(|offset| metadata::carried(limits, &id, offset)).collect();
        snapshot.add(id, GroupOffsets { offsets, pending }, selection);
    }
    let listed: BTreeSet<_> = ids.iter().map(String::as_str).collect();
    let skipped: BTreeSet<_> = snapshot.skipped.iter().map(|group| group.group.clone()).collect();
    snapshot.pending.extend(pending.into_iter().filter(|pending| {
        let of_wave = pending.partition.as_ref().is_none_or(|partition| selection.selects(&partition.topic));
        // A group whose first commit it is may not be listed yet.
        of_wave && (listed.contains(pending.group.as_str()) || !skipped.contains(&pending.group))
    }));
    Ok(snapshot)
}

impl Snapshot {
    fn add(&mut self, id: String, GroupOffsets { offsets, pending }: GroupOffsets, selection: &Topology) {
        let pending = pending.into_iter().filter(|partition| selection.selects(&partition.topic));
        self.pending.extend(pending.map(|partition| PendingOffset {
            group: id.clone(),
            partition: Some(partition),
            producer_id: -1,
        }));
        let (offsets, others): (Vec<_>, Vec<_>) =
            offsets.into_iter().partition(|offset| selection.selects(&offset.partition.topic));
        match (offsets.is_empty(), others.len()) {
            (true, 0) => self.skipped.push(GroupPlan::skipped(id, "it has no committed offsets")),
            (true, _) => self.skipped.push(GroupPlan::skipped(id, OTHER_WAVE)),
            (false, outside) => _ = self.wanted.insert(id, Wanted { offsets, outside, skipped: None }),
        }
    }

    /// What pending commits hold up, in words.
    pub(crate) fn pending_text(&self) -> Option<String> {
        let first = self.pending.first()?;
        let partition = first.partition.as_ref().map_or_else(String::new, |partition| format!(" for {partition}"));
        let more = crate::fence::and_more(self.pending.len(), "pending commit", "pending commits");
        Some(format!("the pending commit of group {}{partition}{more}", first.group))
    }
}

/// Marks the groups that have members on the target: the broker would refuse to commit for them.
///
/// # Errors
/// Blocked, by name, when offsets of a group may not be committed on the target, or cannot be for its type there; otherwise
/// when the target cannot be asked.
pub(crate) async fn mark_active(ports: &impl Ports, snapshot: &mut Snapshot) -> Result<()> {
    let ids: Vec<_> = snapshot.wanted.keys().cloned().collect();
    for (id, described) in ports.target().describe_groups(&ids).await {
        let Some(wanted) = snapshot.wanted.get_mut(&id) else { continue };
        match judge(described) {
            Ok(OnTarget::Free) => {}
            Ok(OnTarget::Active) => wanted.skipped = Some(ACTIVE.to_owned()),
            Ok(OnTarget::Denied) => return Err(not_committable(&id, Error::blocked(DENIED))),
            Err(error) => return Err(not_committable(&id, error)),
        }
    }
    Ok(())
}

fn not_committable(group: &str, error: Error) -> Error {
    let message = format!(
        "group {group} cannot be committed on the target: {}. Cure that, or leave the group out by cutover.skip_groups, then \
         resume",
        error.message
    );
    Error { message, ..error }
}

/// Refuses groups that the target has further on than planned: before the switch nobody but another client can have
/// committed there, and what lies between would never be read.
///
/// # Errors
/// Blocked, by name; otherwise when the target cannot be asked.
pub(crate) async fn refuse_ahead(ports: &impl Ports, plans: &[GroupPlan]) -> Result<()> {
    let ids: Vec<_> = plans.iter().filter(|plan| plan.skipped.is_none()).map(|plan| plan.group.clone()).collect();
    let found = ports.target().group_offsets(&ids).await?;
    let ahead = |plan: &GroupPlan| Some((plan.group.clone(), ahead(plan, found.get(&plan.group)?)?));
    match plans.iter().find_map(ahead) {
        None => Ok(()),
        Some((group, problem)) => {
            Err(Error::blocked(format_args!("group {group}: {problem}. {AHEAD_CURE}, then resume")))
        }
    }
}

/// What the target has `found` further on than `plan` says, if anything.
pub(crate) fn ahead(plan: &GroupPlan, found: &[CommittedOffset]) -> Option<String> {
    let found: BTreeMap<_, _> = found.iter().map(|offset| (&offset.partition, offset.offset)).collect();
    let mut ahead = plan.offsets.iter().filter(|_| plan.skipped.is_none()).filter_map(|offset| {
        let (wanted, found) = (offset.target_offset?, *found.get(&offset.partition)?);
        (found > wanted).then_some((&offset.partition, found, wanted))
    });
    let (partition, found, wanted) = ahead.next()?;
    let more = crate::fence::and_more(1 + ahead.count(), "partition", "partitions");
    Some(format!(
        "offset {found} of {partition}{more} is committed for it on the target, beyond {wanted}, where it stands on the source: a \
         client has read there before the switch, and the group would never read what lies between"
    ))
}

/// How a group stands on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnTarget {
    /// Offsets can be committed for it.
    Free,
    /// It has members.
    Active,
    /// This principal may not commit for it.
    Denied,
}

/// Judges a group as the target describes it.
///
/// # Errors
/// Blocked when offsets cannot be committed for it whatever its members do.
pub(crate) fn judge(described: kafka::Result<GroupDescription>) -> Result<OnTarget> {
    let group = match described {
        Ok(group) => group,
        Err(error) if error.code() == Some(Code::GroupIdNotFound) => return Ok(OnTarget::Free),
        Err(error) if error.code() == Some(Code::GroupAuthorizationFailed) => return Ok(OnTarget::Denied),
        Err(error) => return Err(error.into()),
    };
    if let Some(kind) = group.group_type.as_ref().filter(|kind| !kind.takes_offsets()) {
        return Err(Error::blocked(format_args!(
            "the target has a {kind} group of this name, which keeps no such offsets"
        )));
    }
    if group.operations.is_some_and(|known| !known.contain(kafka::AclOperation::Read)) {
        return Ok(OnTarget::Denied);
    }
    Ok(if group.state.is_active() { OnTarget::Active } else { OnTarget::Free })
}

/// Why a group's offsets are not a consumer's, or not wanted.
pub(crate) fn reason_to_skip(group: &GroupListing, limits: &Cutover) -> Option<String> {
    if scope::is_internal_group(&group.id) {
        return Some("it belongs to MSK".to_owned());
    }
    if let Some(pattern) = limits.skip_groups.iter().find(|pattern| pattern.matches(&group.id)) {
        return Some(format!("cutover.skip_groups leaves it out ({})", pattern.as_str()));
    }
    // Groups that only ever committed have no protocol type.
    let known = group.protocol_type.is_empty() || group.protocol_type == "consumer";
    (!known).then(|| format!("its protocol type is {}, which keeps its state elsewhere", group.protocol_type))
}

/// One line when the group needs a person's attention.
pub fn warning(group: &GroupPlan) -> Option<String> {
    let skipped_by_others = |reason: &String| reason == OTHER_WAVE;
    if let Some(reason) = &group.skipped {
        // One that belongs to another wave is of no concern here.
        return (!skipped_by_others(reason)).then(|| format!("group {}: {reason}", group.group));
    }
    let noted: Vec<_> = group.offsets.iter().filter(|offset| offset.note.is_some()).collect();
    let noted = noted.first().map(|first| {
        let count = noted.len();
        let noun = if count == 1 { "offset" } else { "offsets" };
        let note = first.note.as_deref().unwrap_or_default();
        format!("{count} {noun} with a note, first {} at {}: {note}", first.partition, first.source_offset)
    });
    let outside = (group.outside > 0).then(|| {
        format!(
            "{} of its offsets are of topics that are not in this migration; its members have to go on reading those on \
             the source",
            group.outside
        )
    });
    let warnings: Vec<_> = noted.into_iter().chain(outside).collect();
    (!warnings.is_empty()).then(|| format!("group {}: {}", group.group, warnings.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{GroupState, TopicPartition};

    fn committed(topic: &str) -> CommittedOffset {
        CommittedOffset {
            partition: TopicPartition::new(topic, 0),
            offset: 1,
            leader_epoch: None,
            metadata: String::new(),
        }
    }

    fn wave() -> Topology {
        Topology { include: vec!["orders".parse().unwrap()], ..Topology::default() }
    }

    fn snapshot(topics: &[&str], pending: &[&str]) -> Snapshot {
        let offsets = topics.iter().map(|topic| committed(topic)).collect();
        let pending = pending.iter().map(|topic| TopicPartition::new(*topic, 0)).collect();
        let mut snapshot = Snapshot::default();
        snapshot.add("g".to_owned(), GroupOffsets { offsets, pending }, &wave());
        snapshot
    }

    #[test]
    fn a_group_that_is_ahead_on_the_target_is_named_and_one_that_is_not_is_none() {
        let offset = |topic: &str, target_offset| documents::cutover_plan::PlannedOffset {
            partition: TopicPartition::new(topic, 0),
            source_offset: 7,
            target_offset,
            metadata: String::new(),
            note: None,
        };
        let offsets = vec![offset("orders", Some(0)), offset("users", Some(1)), offset("other", None)];
        let plan = GroupPlan { group: "g".to_owned(), skipped: None, offsets, outside: 0 };
        assert_eq!(ahead(&plan, &[committed("users"), committed("other")]), None, "where it stands, or none of ours");
        let problem = ahead(&plan, &[committed("orders")]).unwrap();
        assert!(problem.starts_with("offset 1 of orders/0 is committed for it on the target, beyond 0"), "{problem}");
        let skipped = GroupPlan { skipped: Some("why".to_owned()), ..plan };
        assert_eq!(ahead(&skipped, &[committed("orders")]), None);
    }

    #[test]
    fn a_group_is_committed_for_the_topics_of_the_wave_alone() {
        let both = snapshot(&["orders", "users"], &[]);
        assert_eq!((both.wanted["g"].offsets.len(), both.wanted["g"].outside), (1, 1));
        let other = snapshot(&["users"], &[]);
        assert_eq!(other.skipped[0].skipped.as_deref(), Some(OTHER_WAVE));
        assert_eq!(warning(&other.skipped[0]), None);
        let none = snapshot(&[], &[]);
        assert_eq!(warning(&none.skipped[0]).unwrap(), "group g: it has no committed offsets");
        let group = GroupPlan { group: "g".to_owned(), skipped: None, offsets: Vec::new(), outside: 2 };
        assert!(warning(&group).unwrap().contains("2 of its offsets are of topics that are not in this migration"));
    }

    #[test]
    fn only_pending_commits_of_the_wave_hold_it_up() {
        assert_eq!(snapshot(&["orders"], &["users"]).pending_text(), None);
        let text = snapshot(&["orders"], &["orders"]).pending_text().unwrap();
        assert_eq!(text, "the pending commit of group g for orders/0");
    }

    #[test]
    fn groups_that_are_not_consumers_or_not_wanted_are_skipped_with_the_reason() {
        let limits = Cutover { skip_groups: vec!["tmp-.*".parse().unwrap()], ..Cutover::default() };
        let reason = |id: &str, protocol: &str| {
            let (id, protocol_type) = (id.to_owned(), protocol.to_owned());
            reason_to_skip(&GroupListing { id, protocol_type, state: GroupState::Empty, group_type: None }, &limits)
        };
        assert_eq!(reason("billing", "consumer"), None);
        assert_eq!(reason("billing", ""), None);
        assert!(reason("connect", "connect").unwrap().contains("protocol type is connect"));
        assert_eq!(reason("tmp-1", "consumer").unwrap(), "cutover.skip_groups leaves it out (tmp-.*)");
        assert!(reason("amazon.msk.canary.group.broker-1", "consumer").is_some());
    }
}
