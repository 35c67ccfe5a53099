//! The brokers' own performance tools, each of which does one half of a copy.

use std::io::Write;

use anyhow::Context;
use chrono::Utc;
use stack::process::{Process, Spec};
use stack::{Side, main_class, setup};

use crate::data::{DataSet, Random, value};
use crate::ground::Ground;
use crate::mirrormaker::JVM;
use crate::report::Figures;
use crate::topics::{self, Loaded};
use crate::usage::watch;

/// Different records that the producer tool takes its own from.
const PAYLOADS: usize = 2_000;

/// `kafka-producer-perf-test`: writes as many records as the data set has to the target, in batches of its size and codec.
///
/// # Errors
/// When the tool fails.
pub(crate) async fn producer_perf(ground: &Ground, set: &DataSet, loaded: Loaded) -> anyhow::Result<Figures> {
    topics::create(&ground.target, set).await?;
    let payloads = ground.stack.logs().join("payloads");
    let mut random = Random(1);
    let mut file = std::io::BufWriter::new(std::fs::File::create(&payloads)?);
    for _ in 0..PAYLOADS {
        file.write_all(&value(&mut random, set.value_bytes))?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    let mut args = vec!["--topic".to_owned(), set.name.clone(), "--throughput".to_owned(), "-1".to_owned()];
    args.extend(["--num-records".to_owned(), loaded.records.to_string()]);
    args.extend(["--payload-file".to_owned(), payloads.display().to_string()]);
    args.extend([
        "--producer-props".to_owned(),
        format!("bootstrap.servers={}", ground.stack.target_bootstrap()),
        format!("batch.size={}", set.batch_bytes),
        format!("compression.type={}", set.codec),
        "linger.ms=20".to_owned(),
        "buffer.memory=134217728".to_owned(),
        "max.request.size=4194304".to_owned(),
        "acks=all".to_owned(),
        // With it the tool's producer may lose its place in a partition, and waits two minutes for the end of its patience.
        "enable.idempotence=false".to_owned(),
    ]);
    let (figures, output) = run(ground, "producer-perf", "ProducerPerformance", args, loaded).await?;
    // `50000 records sent, 12345.6 records/sec (…)`, the last such line is the sum.
    let rate = output.lines().rev().find_map(|line| {
        let (head, _) = line.split_once(" records/sec")?;
        head.rsplit(' ').next()?.replace(',', "").parse::<f64>().ok()
    });
    let rate = rate.with_context(|| format!("no result: {output}"))?;
    let sent: i64 = topics::ends(&ground.target, set).await?.values().sum();
    Ok(Figures { seconds: loaded.records as f64 / rate, surplus: sent - loaded.records, ..figures })
}

/// `kafka-consumer-perf-test`: reads the data set from the source.
///
/// # Errors
/// When the tool fails.
pub(crate) async fn consumer_perf(ground: &Ground, set: &DataSet, loaded: Loaded) -> anyhow::Result<Figures> {
    let config = ground.stack.logs().join("consumer-perf.properties");
    std::fs::write(
        &config,
        "max.partition.fetch.bytes=16777216\nfetch.max.bytes=67108864\nmax.poll.records=5000\nauto.offset.reset=earliest\n",
    )?;
    let mut args = vec!["--bootstrap-server".to_owned(), ground.stack.source_bootstrap()];
    args.extend(["--topic".to_owned(), set.name.clone(), "--messages".to_owned(), loaded.records.to_string()]);
    args.extend(["--consumer.config".to_owned(), config.display().to_string(), "--hide-header".to_owned()]);
    let (figures, output) = run(ground, "consumer-perf", "ConsumerPerformance", args, loaded).await?;
    // start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, …
    let fields = output.lines().rev().find_map(|line| {
        let fields: Vec<&str> = line.split(", ").collect();
        Some((fields.get(4)?.parse::<i64>().ok()?, fields.get(7)?.parse::<f64>().ok()?))
    });
    let (read, fetch_ms) = fields.with_context(|| format!("no result: {output}"))?;
    Ok(Figures { seconds: fetch_ms / 1000.0, surplus: read - loaded.records, ..figures })
}

async fn run(
    ground: &Ground,
    name: &str,
    tool: &str,
    args: Vec<String>,
    loaded: Loaded,
) -> anyhow::Result<(Figures, String)> {
    let mut all: Vec<String> = ["-Xmx512m"].iter().chain(&JVM).map(|arg| (*arg).to_owned()).collect();
    let class = main_class(&setup::kafka_lib(setup::DEFAULT_VERSION), tool)?;
    all.extend(["-cp".to_owned(), ground.stack.java_classpath(Side::Source), class]);
    all.extend(args);
    let log = ground.stack.logs().join(format!("{name}-{}.log", Utc::now().format("%H%M%S")));
    let process = Process::spawn(Spec {
        name: name.to_owned(),
        program: "java".into(),
        args: all,
        env: Vec::new(),
        clean_env: false,
        log,
        dir: ground.stack.logs(),
    })?;
    let others = ground.others();
    others.add(name, process.pid());
    let from = Utc::now();
    let (status, usage) = watch(&ground.stack, &others, process.on_exit()).await;
    anyhow::ensure!(status.is_some_and(|status| status.success()), "{tool} failed. {}", process.tail());
    let figures = Figures {
        records: loaded.records,
        bytes: loaded.bytes,
        seconds: 0.0,
        startup_seconds: 0.0,
        surplus: 0,
        wrong_partitions: 0,
        cpu: usage.cpu(from, Utc::now()),
        copiers: usage.copiers(),
        peak_rss: usage.copier_peak_rss(),
        s3_requests: None,
        dynamodb_requests: None,
        burst: None,
    };
    Ok((figures, std::fs::read_to_string(process.log())?))
}
