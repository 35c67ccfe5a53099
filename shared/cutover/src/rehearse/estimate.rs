//! How long the freeze is expected to last, by step, from how long the same questions took in the rehearsal.

use std::time::Duration;

use documents::Settings;
use documents::rehearsal::{ExpectedStep, RehearsedGroup};
use migration::Result;
use migration::config::WriteFence;
use runtime::Run;
use tokio::time::Instant;

use super::copy::CopyState;

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
