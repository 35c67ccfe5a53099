//! MirrorMaker 2 in dedicated mode, set up as its documentation and common practice advise for throughput.

use std::path::{Path, PathBuf};

use anyhow::Context;
use stack::Stack;
use stack::layout;
use stack::process::{Process, Spec};
use stack::progress::Progress;
use stack::setup;

use crate::data::DataSet;

/// Heap of `bin/connect-mirror-maker.sh`.
const HEAP: [&str; 2] = ["-Xms256M", "-Xmx2G"];

/// `KAFKA_JVM_PERFORMANCE_OPTS` of `bin/kafka-run-class.sh`.
pub(crate) const JVM: [&str; 6] = [
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];

/// Fetches the jars unless they are there.
///
/// # Errors
/// When Maven is missing or fails.
pub(crate) async fn jars(progress: &Progress) -> anyhow::Result<PathBuf> {
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("mirrormaker/pom.xml");
    setup::jars(&format!("mirrormaker-{}", setup::DEFAULT_VERSION), &pom, progress).await
}

/// The configuration for `set`: `mm2.properties` as `connect-mirror-maker.sh` takes it.
///
/// - Four tasks for a machine of two processors; one when there is one partition, as more have nothing to do.
/// - The consumer fetches 16 MB of a partition and 64 MB in all, and hands over 5,000 records at a time.
/// - The producer builds batches of the size and codec that the data has, waits up to 100 ms for them to fill, and has 128 MB
///   of room; idempotent and `acks=all`, as Connect sets it.
/// - Offset syncs, checkpoints and heartbeats are on, with their default intervals; ACLs are not copied, which is a request
///   of a minute.
pub(crate) fn properties(set: &DataSet, source: &str, target: &str) -> String {
    let tasks = set.partitions.min(4);
    let batch = set.batch_bytes.max(64_000);
    let codec = set.codec;
    let topic = &set.name;
    format!(
        "clusters=source,target
source.bootstrap.servers={source}
target.bootstrap.servers={target}
source->target.enabled=true
target->source.enabled=false
source->target.topics={topic}
source->target.groups=.*
replication.policy.class=org.apache.kafka.connect.mirror.IdentityReplicationPolicy
tasks.max={tasks}
replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
offset-syncs.topic.replication.factor=1
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
sync.topic.acls.enabled=false
source.consumer.fetch.min.bytes=65536
source.consumer.fetch.max.wait.ms=100
source.consumer.fetch.max.bytes=67108864
source.consumer.max.partition.fetch.bytes=16777216
source.consumer.max.poll.records=5000
source.consumer.receive.buffer.bytes=1048576
target.producer.batch.size={batch}
target.producer.linger.ms=100
target.producer.compression.type={codec}
target.producer.buffer.memory=134217728
target.producer.max.request.size=4194304
target.producer.send.buffer.bytes=1048576
"
    )
}

/// Starts it.
///
/// # Errors
/// When the process cannot be started.
pub(crate) fn start(stack: &Stack, jars: &Path, properties: &str) -> anyhow::Result<Process> {
    let file = stack.logs().join("mm2.properties");
    std::fs::write(&file, properties).with_context(|| format!("writing {}", file.display()))?;
    let log4j = layout::crate_dir().join("kafka/log4j.properties");
    let mut args: Vec<String> = HEAP.iter().chain(&JVM).map(|arg| (*arg).to_owned()).collect();
    args.push(format!("-Dlog4j.configuration=file:{}", log4j.display()));
    args.extend(["-cp".to_owned(), format!("{}/*", jars.display())]);
    args.extend(["org.apache.kafka.connect.mirror.MirrorMaker".to_owned(), file.display().to_string()]);
    args.extend(["--clusters".to_owned(), "target".to_owned()]);
    Process::spawn(Spec {
        name: "mirrormaker".to_owned(),
        program: "java".into(),
        args,
        env: Vec::new(),
        clean_env: false,
        log: stack.logs().join("mirrormaker.log"),
        dir: stack.logs(),
    })
}
