//! Measuring step by step.

use std::path::Path;

use crate::caps::Caps;
use crate::data::DataSet;
use crate::ground::Ground;
use crate::plan::Step;
use crate::report::{Contender, Figures, Measurement, Report};
use crate::topics::Loaded;
use crate::{RunArgs, mirrormaker, ours, rivals, tables, tools};

/// Seconds that the brokers' compilers may take in a second of a copy that is measured.
const COMPILED: f64 = 0.05;

/// Measures the steps of `plan` on a ground of its own, and tells each copy as soon as it is done.
///
/// # Errors
/// When the ground does not come up or a data set cannot be loaded. A copy that fails is part of the report.
pub(crate) async fn all(args: &RunArgs, plan: &[Step], jars: &Path, report: &mut Report) -> anyhow::Result<()> {
    // Dropped behind the ground, when the brokers have ended.
    let mut caps = None;
    let ground = Ground::start(&args.tuning.bin_dir).await?;
    for step in plan {
        if let (Some(percent), None) = (step.broker_percent, &caps) {
            match slow_down(&ground, percent) {
                Ok(set) => caps = Some(set),
                Err(error) => {
                    report.without_slow_brokers = Some(format!("{error:#}"));
                    break;
                }
            }
        }
        measure(args, &ground, step, jars, report).await?;
    }
    ground.stop().await
}

/// Limits each broker to `percent` of a processor.
fn slow_down(ground: &Ground, percent: u32) -> anyhow::Result<Caps> {
    let mut caps = Caps::default();
    for (name, pid) in ground.brokers() {
        caps.add(&name, pid, percent)?;
    }
    Ok(caps)
}

async fn measure(args: &RunArgs, ground: &Ground, step: &Step, jars: &Path, report: &mut Report) -> anyhow::Result<()> {
    let set = &step.set;
    let mut loaded = None;
    warm(args, ground, step, &mut loaded).await?;
    for contender in &step.contenders {
        let outcome = match prepared(ground, set, &mut loaded).await {
            Ok(loaded) => copy(args, ground, set, loaded, *contender, jars, report).await,
            Err(error) => Err(error),
        };
        let copy = Measurement {
            set: set.clone(),
            contender: *contender,
            broker_percent: step.broker_percent,
            failure: outcome.as_ref().err().map(|error| format!("{error:#}")),
            figures: outcome.ok(),
        };
        println!("{}", tables::line(&copy));
        report.copies.push(copy);
        report.save()?;
    }
    Ok(())
}

/// Has the relay copy until the brokers' code is compiled: whoever came first would pay for it.
async fn warm(args: &RunArgs, ground: &Ground, step: &Step, loaded: &mut Option<Loaded>) -> anyhow::Result<()> {
    for _ in 0..step.warming {
        let warming = prepared(ground, &step.set, loaded).await?;
        let figures = rivals::relay(ground, &step.set, warming, args.relay_lanes).await?;
        if figures.cpu.compilers < COMPILED * figures.seconds {
            break;
        }
    }
    Ok(())
}

/// An empty target, and a source that holds `set`.
async fn prepared(ground: &Ground, set: &DataSet, loaded: &mut Option<Loaded>) -> anyhow::Result<Loaded> {
    ground.clear_target().await?;
    match loaded {
        Some(loaded) if set.burst_bytes == 0 => Ok(*loaded),
        // What a burst added is not for the next.
        _ => Ok(*loaded.insert(ground.fill_source(set).await?)),
    }
}

async fn copy(
    args: &RunArgs,
    ground: &Ground,
    set: &DataSet,
    loaded: Loaded,
    contender: Contender,
    jars: &Path,
    report: &mut Report,
) -> anyhow::Result<Figures> {
    match contender {
        Contender::Ours => ours::run(ground, set, loaded, &args.tuning).await,
        Contender::Relay => rivals::relay(ground, set, loaded, args.relay_lanes).await,
        Contender::ProducerPerf => tools::producer_perf(ground, set, loaded).await,
        Contender::ConsumerPerf => tools::consumer_perf(ground, set, loaded).await,
        Contender::Mirrormaker => {
            let servers = [ground.stack.source_bootstrap(), ground.stack.target_bootstrap()];
            let properties = mirrormaker::properties(set, &servers[0], &servers[1]);
            report.mirrormaker.push(properties.clone());
            rivals::mirrormaker(ground, set, loaded, jars, &properties).await
        }
    }
}
