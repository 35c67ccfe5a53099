//! `make bench-freeze`: how long producers stand still, step by step, on clusters of several sizes.
//!
//! Each size is a whole migration on a stack of its own. What is measured is the product's own account of the freeze
//! (`cutover/report.json`), the most memory that the cutover function ever took, and how much of the freeze at least one request was
//! at what stands for AWS, which is slower than AWS by far.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Cell, CellAlignment, Table};
use documents::{CutoverReport, cutover_report, document};
use e2e::{Cli, config};
use futures::{StreamExt, TryStreamExt, stream};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, NewOffset, NewTopic, Settings, TopicPartition, all_ok};
use migration::config::MAX_PARTITIONS_PER_BATCH;
use procfs::process::Process;
use stack::{BrokerJvm, Options, SEGMENTS_BUCKET, Stack, layout};

/// Name of the stack and of the migration.
const NAME: &str = "bench-freeze";
/// The broker's heap in MiB: what 10,000 partitions want.
const BROKER_HEAP_MIB: u32 = 2048;
/// Records of each partition.
const RECORDS: i64 = 10;
/// Offsets of each group.
const OFFSETS: usize = 20;
/// Topics to create, and partitions to write to, in one request.
const AT_ONCE: usize = 50;
/// Groups that commit at the same time.
const LANES: usize = 8;
const PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Which sizes to measure.
#[derive(Debug, Args)]
pub(crate) struct FreezeArgs {
    /// Sizes, as partitions x groups
    #[arg(long, value_delimiter = ',', default_value = "306x50,3060x500,10000x1000")]
    sizes: Vec<Size>,
    /// Folder of the binaries of `msk-kraft` and its functions
    #[arg(long, default_value_os_t = layout::workspace().join("target/release"))]
    bin_dir: PathBuf,
}

/// A cluster's size.
#[derive(Debug, Clone, Copy)]
struct Size {
    partitions: usize,
    groups: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('x')
            .and_then(|(partitions, groups)| Some((partitions.parse().ok()?, groups.parse().ok()?)));
        match parts {
            Some((partitions, groups)) if partitions > 0 => Ok(Self { partitions, groups }),
            _ => Err(format!("{text:?} is not a size such as 306x50")),
        }
    }
}

impl Size {
    /// Partitions of a topic.
    const fn width(self) -> usize {
        if self.partitions.is_multiple_of(6) { 6 } else { 5 }
    }

    fn topics(self) -> impl Iterator<Item = NewTopic> {
        // Small indexes: a broker maps two of them for each partition.
        let configs = [("segment.index.bytes", "4096"), ("retention.ms", "-1")];
        let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        (0..self.partitions.div_ceil(self.width())).map(move |number| NewTopic {
            name: name(number).into(),
            partitions: i32::try_from(self.width()).unwrap_or(1),
            replication_factor: 1,
            configs: configs.clone().into(),
        })
    }

    fn partition(self, number: usize) -> TopicPartition {
        let number = number % self.partitions;
        TopicPartition::new(name(number / self.width()), i32::try_from(number % self.width()).unwrap_or(0))
    }
}

fn name(number: usize) -> String {
    format!("topic-{number:04}")
}

/// What was measured.
struct Measured {
    size: Size,
    report: CutoverReport,
    /// Peak memory of the cutover function, in bytes.
    memory: u64,
    /// Requests to what stands for AWS in the freeze, and the time in which at least one was under way.
    aws: (usize, Duration),
}

/// Measures each size and prints a table.
///
/// # Errors
/// When a migration does not come to its switch.
pub(crate) async fn run(args: &FreezeArgs) -> anyhow::Result<()> {
    let built = args.bin_dir.canonicalize();
    let bin_dir = built.with_context(|| format!("{} is not built", args.bin_dir.display()))?;
    let mut measured = Vec::new();
    let all = async {
        for size in &args.sizes {
            measured.push(measure(*size, &bin_dir).await?);
        }
        anyhow::Ok(())
    };
    let outcome = stack::unless_interrupted(all).await;
    println!("{}", table(&measured));
    outcome?.context("interrupted; everything was stopped")
}

async fn measure(size: Size, bin_dir: &Path) -> anyhow::Result<Measured> {
    let batches = size.partitions.div_ceil(MAX_PARTITIONS_PER_BATCH as usize);
    let options = Options {
        name: NAME.to_owned(),
        discard: true,
        quiet: true,
        broker_heap_mib: BROKER_HEAP_MIB,
        broker_jvm: BrokerJvm::Server,
        bin_dir: bin_dir.to_owned(),
        function_limit: batches + 8,
        ..Options::default()
    };
    let stack = Stack::start(options).await?;
    let outcome = migrate(size, bin_dir, &stack).await;
    stack.stop().await?;
    outcome
}

async fn migrate(size: Size, bin_dir: &Path, stack: &Stack) -> anyhow::Result<Measured> {
    let begun = Instant::now();
    let source = Cluster::connect(Settings::parse(&stack.source_bootstrap())).await?;
    fill(&source, size).await?;
    println!("{} partitions, {} groups: loaded in {:.0?}", size.partitions, size.groups, begun.elapsed());
    let begun = Instant::now();
    let cli = cli(stack, bin_dir)?;
    cli.run("execute", &[]).await?.ok()?;
    println!("  copied, at drain_ready after {:.0?}", begun.elapsed());
    let begun = Instant::now();
    cli.run("cutover", &[]).await?.ok()?;
    let key = format!("zk-to-kraft/{NAME}/{}", cutover_report::KEY);
    let report: CutoverReport = document::decode(&stack.get_object(SEGMENTS_BUCKET, &key).await?)?;
    println!("  cut over in {:.1?}, of which producers were frozen {} ms", begun.elapsed(), report.freeze_ms);
    let frozen_at = report.frozen_at.context("the report does not say since when producers were frozen")?;
    let aws = stack.aws_between(frozen_at, report.ready_at);
    Ok(Measured { size, memory: memory(stack)?, aws, report })
}

/// Creates the topics, writes to every partition and commits for every group.
async fn fill(source: &Cluster, size: Size) -> anyhow::Result<()> {
    for some in size.topics().collect::<Vec<_>>().chunks(AT_ONCE) {
        all_ok(source.create_topics(some).await)?;
    }
    let timestamp = chrono::Utc::now().timestamp_millis();
    let record = |offset: i64| {
        let value = Some(Bytes::from(format!("record {offset}")));
        Record { offset, timestamp, key: None, value, headers: Vec::new() }
    };
    let batch = encode(&(0..RECORDS).map(record).collect::<Vec<_>>(), Codec::None, Stamp::NONE, 0)?;
    let partitions: Vec<_> = (0..size.partitions).map(|number| (size.partition(number), batch.to_produce())).collect();
    for some in partitions.chunks(AT_ONCE) {
        all_ok(source.produce_retrying(some, PRODUCE_TIMEOUT).await)?;
    }
    let commits = (0..size.groups).map(|group| async move {
        let offset = |number: usize| NewOffset {
            partition: size.partition(group * OFFSETS + number),
            offset: RECORDS / 2,
            metadata: String::new(),
        };
        let offsets: Vec<_> = (0..OFFSETS.min(size.partitions)).map(offset).collect();
        all_ok(source.commit_offsets(&format!("group-{group:04}"), &offsets).await).map(drop)
    });
    Ok(stream::iter(commits.collect::<Vec<_>>()).buffer_unordered(LANES).try_collect().await?)
}

fn cli(stack: &Stack, bin_dir: &Path) -> anyhow::Result<Cli> {
    let dir = stack.logs().join("rehearsal");
    // Nothing is ever stored as evidence here; the limit is not what is measured.
    let yaml = config::yaml(stack)
        .replace("      retention: 1d\n", "")
        .replace("max_producer_freeze: 60s", "max_producer_freeze: 5m");
    let yaml = yaml + &format!("    seed:\n      partitions_per_batch: {MAX_PARTITIONS_PER_BATCH}\n");
    let yaml = config::write(&dir, "migration.yaml", &yaml)?;
    Ok(Cli::new(stack, &yaml, NAME, &dir.join("journal")).built_as(&bin_dir.join("msk-kraft")))
}

/// Most memory that an instance of the cutover function ever took, in bytes.
fn memory(stack: &Stack) -> anyhow::Result<u64> {
    let mut most = 0;
    for (_, pid) in stack.processes().iter().filter(|(name, _)| name.starts_with("cutover")) {
        let status = Process::new(i32::try_from(*pid)?)?.status()?;
        most = most.max(status.vmhwm.unwrap_or(0) * 1024);
    }
    anyhow::ensure!(most > 0, "no cutover function runs");
    Ok(most)
}

/// A column for each size, a line for each step.
fn table(measured: &[Measured]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut row = |title: &str, value: &dyn Fn(&Measured) -> String| {
        let cells = measured.iter().map(|measured| right(value(measured)));
        table.add_row(std::iter::once(Cell::new(title)).chain(cells));
    };
    let ms = |duration: Duration| format!("{} ms", duration.as_millis());
    row("partitions / groups", &|m| format!("{} / {}", m.size.partitions, m.size.groups));
    let names = measured.iter().flat_map(|measured| &measured.report.steps).map(|step| step.step.as_str());
    let mut steps: Vec<&str> = Vec::new();
    for name in names {
        if !steps.contains(&name) {
            steps.push(name);
        }
    }
    for step in steps {
        row(step, &|m| {
            let took = m.report.steps.iter().find(|time| time.step == step);
            took.map_or_else(|| "-".to_owned(), |time| format!("{} ms", time.ms))
        });
    }
    row("frozen until READY_FOR_CLIENT_SWITCH", &|m| format!("{} ms", m.report.freeze_ms));
    row("  requests to the stand-in for AWS", &|m| m.aws.0.to_string());
    row("  time in which one was under way", &|m| ms(m.aws.1));
    row("  without that time", &|m| ms(Duration::from_millis(m.report.freeze_ms).saturating_sub(m.aws.1)));
    row("offsets committed", &|m| m.report.offsets_committed.to_string());
    row("memory of the cutover function", &|m| format!("{} MiB", m.memory >> 20));
    table
}
