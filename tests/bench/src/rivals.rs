//! The other copiers: the bare relay and MirrorMaker 2. Both are watched from outside, in the same way.

use std::path::Path;

use chrono::Utc;
use stack::process::Process;

use crate::copying;
use crate::data::DataSet;
use crate::ground::{Ground, end, self_process};
use crate::mirrormaker;
use crate::report::Figures;
use crate::topics::{self, Loaded};
use crate::usage::watch;

/// Has the bare relay copy.
///
/// # Errors
/// When it ends, or the copy takes too long.
pub(crate) async fn relay(ground: &Ground, set: &DataSet, loaded: Loaded, lanes: u8) -> anyhow::Result<Figures> {
    topics::create(&ground.target, set).await?;
    // It repeats nothing, so every partition has to be led before it starts.
    topics::ends(&ground.target, set).await?;
    let (source, target) = (ground.stack.source_bootstrap(), ground.stack.target_bootstrap());
    let lanes = lanes.to_string();
    let args = ["relay", "--source", &source, "--target", &target, "--topic", &set.name, "--lanes", &lanes];
    let process = self_process("relay", &args, &stack::MEMORY_ENV, &ground.stack)?;
    copy("relay", ground, set, loaded, process).await
}

/// Has MirrorMaker 2 copy. Its long start is told apart: the copy counts from the first record that arrives.
///
/// # Errors
/// When it ends, or the copy takes too long.
pub(crate) async fn mirrormaker(
    ground: &Ground,
    set: &DataSet,
    loaded: Loaded,
    jars: &Path,
    properties: &str,
) -> anyhow::Result<Figures> {
    let process = mirrormaker::start(&ground.stack, jars, properties)?;
    copy("mirrormaker", ground, set, loaded, process).await
}

async fn copy(name: &str, ground: &Ground, set: &DataSet, loaded: Loaded, process: Process) -> anyhow::Result<Figures> {
    let others = ground.others();
    others.add(name, process.pid());
    let source = topics::ends(&ground.source, set).await?;
    let began = Utc::now();
    let (span, usage) = watch(&ground.stack, &others, async {
        let ended = process.on_exit();
        tokio::select! {
            span = copying::finished(ground, set, &source) => span.map_err(|error| error.context(process.tail())),
            _ = ended => Err(anyhow::anyhow!("{name} ended. {}", process.tail())),
        }
    })
    .await;
    let span = span?;
    // The relay has no start to speak of; what it does before the first record is part of the copy.
    let from = if name == "relay" { began } else { span.first };
    let (surplus, wrong_partitions) = copying::difference(ground, set).await?;
    let burst = copying::burst(ground, set).await?;
    end(process).await?;
    Ok(Figures {
        records: loaded.records,
        bytes: loaded.bytes,
        seconds: (span.last - from).as_seconds_f64(),
        startup_seconds: (from - began).as_seconds_f64(),
        surplus,
        wrong_partitions,
        cpu: usage.cpu(from, span.last),
        copiers: usage.copiers(),
        peak_rss: usage.copier_peak_rss(),
        s3_requests: None,
        dynamodb_requests: None,
        burst,
    })
}
