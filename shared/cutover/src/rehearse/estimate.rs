//! How long the freeze is expected to last, by step, from how long the same questions took in the rehearsal.

use std::time::Duration;

use documents::Settings;
use documents::rehearsal::{ExpectedStep, RehearsedGroup};
use migration::Result;
use migration::config::WriteFence;
use runtime::Run;
use tokio::time::Instant;

use super::copy::CopyState;
use super::findings::{Findings, code};

/// What the tail takes to copy the last records once nothing arrives: a round and a checkpoint.
const DRAIN: Duration = Duration::from_millis(500);
/// What one commit takes with reading it back, and how many are under way at once.
const COMMIT: Duration = Duration::from_millis(10);
const AT_ONCE: usize = 16;
/// What one change of configs takes until brokers show it.
const SETTING: Duration = Duration::from_millis(2);
/// What the rules of one topic take: brokers in ZooKeeper mode write one topic's after the other.
const RULES: Duration = Duration::from_millis(8);

/// How long what took.
#[derive(Debug, Default)]
pub(super) struct Stopwatch(Vec<(&'static str, Duration)>);

impl Stopwatch {
    /// Runs `work` and notes its time under the step of the cutover that does the same.
    ///
    /// # Errors
    /// Those of `work`.
    pub(super) async fn time<T>(&mut self, step: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let outcome = work.await;
        self.0.push((step, began.elapsed()));
        outcome
    }

    fn of(&self, step: &str) -> Duration {
        self.0.iter().filter(|(name, _)| *name == step).map(|(_, took)| *took).sum()
    }
}

/// Steps behind the point of no return, which ends what `cutover.max_producer_freeze` bounds.
const BEHIND_THE_MARK: [&str; 2] = ["commit and read back", "configs, quotas and ACLs"];

/// Refuses a freeze that would be given up for its length.
pub(super) fn judge(expected: &[ExpectedStep], limit: Duration, findings: &mut Findings) {
    let before = expected.iter().filter(|step| !BEHIND_THE_MARK.contains(&step.step.as_str()));
    let before = Duration::from_millis(before.map(|step| step.ms).sum());
    if before <= limit {
        return;
    }
    findings.block(
        code::FREEZE_TOO_LONG,
        "cutover.max_producer_freeze",
        format!("the cutover is expected to take {before:.1?} to its point of no return, and producers are let go after {limit:.0?}"),
        "raise it, or migrate in waves (topology.include)",
    );
}

/// The steps of the freeze in their order. What was measured in the rehearsal is said as measured; commits and settings are counted
/// and taken at what one usually takes.
pub(super) fn expected(
    run: &Run<'_>,
    watch: &Stopwatch,
    state: &CopyState,
    groups: &[RehearsedGroup],
    settings: &Settings,
) -> Vec<ExpectedStep> {
    let commits = groups.iter().filter(|group| group.skipped.is_none() && group.offsets > 0).count();
    let rounds = u32::try_from(commits.div_ceil(AT_ONCE)).unwrap_or(u32::MAX);
    let topics = u32::try_from(state.topics().len()).unwrap_or(u32::MAX);
    let to_set = settings.configs.len() + settings.quotas.len() + settings.acls.len();
    let to_set = u32::try_from(to_set).unwrap_or(u32::MAX);
    let window = Duration::from(run.config.cutover.fence_window).max(Duration::from_millis(300));
    let per_partition = Duration::from_micros(100) * u32::try_from(state.names.len()).unwrap_or(u32::MAX);
    let fence = match run.config.cutover.write_fence {
        WriteFence::None => Duration::ZERO,
        WriteFence::Acl => watch.of("set the write fence").min(Duration::from_secs(2)) + RULES * topics,
    };
    let steps = [
        ("set the write fence", fence),
        ("prove the fence", watch.of("prove the fence").min(Duration::from_secs(2))),
        ("place sentinels", Duration::from_millis(50) + per_partition),
        ("drain", DRAIN + per_partition),
        ("read groups", watch.of("read groups") + watch.of("describe groups on the target")),
        ("translate offsets", watch.of("translate offsets")),
        ("read groups on the target", watch.of("read groups on the target")),
        ("prove the fence again", window),
        ("commit and read back", COMMIT * rounds),
        ("configs, quotas and ACLs", SETTING * to_set),
    ];
    let step = |(step, took): (&str, Duration)| ExpectedStep {
        step: step.to_owned(),
        ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    };
    let takes_time = |(name, took): &(&str, Duration)| *name != "set the write fence" || !took.is_zero();
    steps.into_iter().filter(takes_time).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_that_would_be_given_up_is_refused_before_it_begins() {
        let step = |step: &str, ms| ExpectedStep { step: step.to_owned(), ms };
        let steps = [step("set the write fence", 80_000), step("drain", 500), step("commit and read back", 90_000)];
        let found = |limit| {
            let mut findings = Findings::default();
            judge(&steps, Duration::from_secs(limit), &mut findings);
            findings.sorted().into_iter().map(|finding| finding.message).collect::<Vec<_>>()
        };
        assert_eq!(found(90), Vec::<String>::new(), "what lies behind the mark is not bounded by it");
        assert!(found(60)[0].contains("expected to take 80.5s"), "{:?}", found(60));
    }
}
