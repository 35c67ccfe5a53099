//! Every group of this wave, translated as of now, weighed, and judged against what the target's coordinators take.

use documents::cutover_plan::{GroupPlan, PlannedOffset};
use documents::rehearsal::{RehearsedGroup, Weight};
use kafka::{Cluster, CommitLimits, CoordinatorLimits, NewOffset, Stability};
use migration::{Result, scope};
use runtime::Run;
use topology::lockout;

use super::copy::CopyState;
use super::estimate::Stopwatch;
use super::findings::{Findings, code};
use crate::drain::Drained;
use crate::groups::{self, OnTarget};
use crate::live::Live;
use crate::live::target::group_offsets;
use crate::metadata;
use crate::translate;

/// Looks at the groups of both clusters.
pub(super) async fn look(
    run: &Run<'_>,
    source: &Cluster,
    target: &Cluster,
    state: &CopyState,
    findings: &mut Findings,
    watch: &mut Stopwatch,
) -> Result<(Vec<RehearsedGroup>, CoordinatorLimits)> {
    let limits = target.coordinator_limits().await?;
    if !limits.are_told() {
        findings.add(
            Weight::Info,
            code::LIMITS_UNKNOWN,
            "target",
            "not all limits of the target's group coordinators are known to this principal",
            "allow it DescribeConfigs on the cluster and on the topic __consumer_offsets",
        );
    }
    let ports = Live::before_rehearsal(run, source.clone(), target.clone());
    let read = groups::read(&ports, &run.config.cutover, &run.config.topology);
    let mut snapshot = watch.time("read groups", read).await?;
    let ids: Vec<_> = snapshot.wanted.keys().cloned().collect();
    let described =
        watch.time("describe groups on the target", async { Ok(target.describe_groups(&ids).await) }).await?;
    let (mut denied, mut free) = (Vec::new(), Vec::new());
    for (id, described) in described {
        match groups::judge(described) {
            Ok(OnTarget::Free) => free.push(id),
            Ok(OnTarget::Denied) => denied.push(id),
            Ok(OnTarget::Active) => {
                findings.add(
                    Weight::Warning,
                    code::GROUP_ACTIVE,
                    id.as_str(),
                    groups::ACTIVE,
                    "stop its members on the target",
                );
                if let Some(wanted) = snapshot.wanted.get_mut(&id) {
                    wanted.skipped = Some(groups::ACTIVE.to_owned());
                }
            }
            Err(error) if error.kind.is_retryable() => return Err(error),
            Err(error) => findings.block(
                code::GROUP_TYPE,
                id,
                error.message,
                "cure that on the target, or leave the group out by cutover.skip_groups",
            ),
        }
    }
    if let Some((problem, way_out)) = lockout::denied_groups(&denied) {
        findings.block(code::LOCKED_OUT, "target.auth", problem, way_out);
    }
    let progress = state.progress.iter().map(|progress| (progress.partition.clone(), progress.clone()));
    let progress: Drained = progress.collect();
    let plans = watch.time("translate offsets", translate::translate(&run.store, snapshot, &progress)).await?;
    let found = group_offsets(target, &free, Stability::Now);
    let found = watch.time("read groups on the target", found).await?;
    for plan in &plans {
        if let Some(problem) = found.get(&plan.group).and_then(|found| groups::ahead(plan, found)) {
            findings.block(code::GROUP_AHEAD, plan.group.as_str(), problem, groups::AHEAD_CURE);
        }
    }
    Ok((plans.iter().map(|plan| weigh(plan, &limits, findings)).collect(), limits))
}

/// Weighs a group's offsets, and names those that the coordinator would refuse.
fn weigh(plan: &GroupPlan, limits: &CoordinatorLimits, findings: &mut Findings) -> RehearsedGroup {
    let commits = limits.commits();
    name_metadata(plan, findings);
    name_sink(plan, findings);
    let mut group = RehearsedGroup { group: plan.group.clone(), skipped: plan.skipped.clone(), offsets: 0, bytes: 0 };
    for offset in &plan.offsets {
        let Some(target) = offset.target_offset else { continue };
        let new = NewOffset { partition: offset.partition.clone(), offset: target, metadata: offset.metadata.clone() };
        let bytes = CommitLimits::weight(&plan.group, &new);
        group.offsets += 1;
        group.bytes += bytes;
        if plan.skipped.is_some() || commits.allow(&plan.group, &new) && commits.allow_metadata(&new) {
            continue;
        }
        let (limit, value) = match commits.allow_metadata(&new) {
            false => ("offset.metadata.max.bytes", commits.metadata_bytes),
            true => ("max.message.bytes of __consumer_offsets", commits.batch_bytes),
        };
        findings.block(
            code::GROUP_REFUSED,
            plan.group.as_str(),
            format!(
                "the target would refuse its offset of {}: it has {} bytes of metadata ({bytes} in all), {limit} is {value}",
                offset.partition,
                offset.metadata.len()
            ),
            format!(
                "raise {limit} on the target, or leave out the group's metadata by cutover.drop_metadata_of or all of it by \
                 cutover.skip_groups"
            ),
        );
    }
    group
}

/// Names a group beside whose offsets something is stored that may speak of offsets.
fn name_metadata(plan: &GroupPlan, findings: &mut Findings) {
    let noted = |offset: &&PlannedOffset| offset.note.as_deref() == Some(metadata::SHIFTED);
    let mut shifted = plan.offsets.iter().filter(|_| plan.skipped.is_none()).filter(noted);
    let Some(first) = shifted.next() else { return };
    let more = crate::fence::and_more(1 + shifted.count(), "partition", "partitions");
    findings.add(
        Weight::Warning,
        code::GROUP_METADATA,
        plan.group.as_str(),
        format!(
            "its clients store {} bytes beside its offset of {}{more}; if they speak of offsets (as the parallel consumer's map of \
             what was processed does), these are other records on the target",
            first.metadata.len(),
            first.partition
        ),
        "leave the metadata out with cutover.drop_metadata_of, and see what the client does without it; or stop the client with \
         nothing processed beyond its committed offsets",
    );
}

/// Names a sink connector whose offsets become others: some write them down outside Kafka.
fn name_sink(plan: &GroupPlan, findings: &mut Findings) {
    if plan.skipped.is_some() || !plan.group.starts_with(scope::CONNECT_SINK) {
        return;
    }
    let moved = |offset: &&PlannedOffset| offset.target_offset.is_some_and(|target| target != offset.source_offset);
    let mut moved = plan.offsets.iter().filter(moved);
    let Some((first, target)) = moved.next().and_then(|offset| Some((offset, offset.target_offset?))) else { return };
    let more = crate::fence::and_more(1 + moved.count(), "partition", "partitions");
    findings.add(
        Weight::Warning,
        code::SINK_OFFSETS,
        plan.group.as_str(),
        format!(
            "the group of a sink connector goes on at other offsets on the target: {} in place of {} of {}{more}; a sink that uses \
             offsets as versions or in the names of files takes new records for old ones, or writes over what is there",
            target, first.source_offset, first.partition
        ),
        "let the connector write to another index, prefix or table from the switch on, or use keys instead of offsets",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::TopicPartition;

    #[test]
    fn what_a_coordinator_would_refuse_is_named_with_the_limit() {
        let offset = |metadata: usize| PlannedOffset {
            partition: TopicPartition::new("t", 0),
            source_offset: 1,
            target_offset: Some(1),
            metadata: "x".repeat(metadata),
            note: None,
        };
        let plan = |metadata| GroupPlan {
            group: "g".to_owned(),
            skipped: None,
            offsets: vec![offset(metadata), offset(0)],
            outside: 0,
        };
        let limits = |metadata, batch| CoordinatorLimits {
            metadata_bytes: Some(metadata),
            batch_bytes: Some(batch),
            members: None,
        };
        let found = |plan: &GroupPlan, limits| {
            let mut findings = Findings::default();
            let group = weigh(plan, &limits, &mut findings);
            (group.offsets, findings.sorted().into_iter().map(|finding| finding.message).collect::<Vec<_>>())
        };
        assert_eq!(found(&plan(500), limits(4096, 1 << 20)), (2, Vec::new()));
        let (_, messages) = found(&plan(500), limits(64, 1 << 20));
        assert!(messages[0].contains("offset.metadata.max.bytes is 64") && messages.len() == 1, "{messages:?}");
        let (_, messages) = found(&plan(500), limits(4096, 300));
        assert!(messages[0].contains("max.message.bytes of __consumer_offsets is 300"), "{messages:?}");
        let mut shifted = plan(5);
        shifted.offsets[0].note = Some(metadata::SHIFTED.to_owned());
        let (_, messages) = found(&shifted, limits(4096, 1 << 20));
        assert!(messages.len() == 1 && messages[0].contains("5 bytes beside its offset of t/0;"), "{messages:?}");
        let mut sink = GroupPlan { group: "connect-to-s3".to_owned(), ..plan(0) };
        assert!(found(&sink, limits(4096, 1 << 20)).1.is_empty(), "nothing moves");
        sink.offsets[0].source_offset = 7;
        let (_, messages) = found(&sink, limits(4096, 1 << 20));
        assert!(messages.len() == 1 && messages[0].contains(": 1 in place of 7 of t/0;"), "{messages:?}");
        let mut skipped = plan(500);
        skipped.skipped = Some("why".to_owned());
        assert!(found(&skipped, limits(64, 1 << 20)).1.is_empty());
    }
}
