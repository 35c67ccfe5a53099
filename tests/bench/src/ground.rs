//! What every contender runs on: the stack with brokers made for throughput, and the S3 stand-in in a process of its own.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use kafka::{Cluster, Settings};
use stack::process::{Process, Spec};
use stack::{BrokerJvm, Options, Stack};

use crate::data::DataSet;
use crate::s3::{self, CONTROL_PATH};
use crate::topics::{self, Loaded};
use crate::usage::Others;

/// Name of the stack.
const NAME: &str = "bench";

/// Heap of a broker in MiB, that of `bin/kafka-server-start.sh`.
const BROKER_HEAP_MIB: u32 = 1024;

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_GRACE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// The running ground.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Brokers, functions, moto.
    pub(crate) stack: Stack,
    /// The source.
    pub(crate) source: Cluster,
    /// The target.
    pub(crate) target: Cluster,
    s3: Process,
    s3_port: u16,
}

impl Ground {
    /// Starts everything; the functions' binaries are in `functions`.
    ///
    /// # Errors
    /// When a part does not come up.
    pub(crate) async fn start(functions: &Path) -> anyhow::Result<Self> {
        let s3_port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let options = Options {
            name: NAME.to_owned(),
            discard: true,
            broker_heap_mib: BROKER_HEAP_MIB,
            broker_jvm: BrokerJvm::Server,
            s3_port: Some(s3_port),
            bin_dir: functions.to_owned(),
            function_limit: 64,
            ..Options::default()
        };
        let stack = Stack::start(options).await?;
        let source = Cluster::connect(Settings::parse(&stack.source_bootstrap())).await?;
        let target = Cluster::connect(Settings::parse(&stack.target_bootstrap())).await?;
        let s3 = self_process("s3", &["s3", "--port", &s3_port.to_string()], &[s3::MEMORY], &stack)?;
        s3.ready(START_LIMIT, || async move { tokio::net::TcpStream::connect(("127.0.0.1", s3_port)).await.is_ok() })
            .await?;
        Ok(Self { stack, source, target, s3, s3_port })
    }

    /// Makes the target, S3 and the functions as new.
    ///
    /// # Errors
    /// When topics cannot be deleted or the S3 stand-in does not answer.
    pub(crate) async fn clear_target(&self) -> anyhow::Result<()> {
        topics::wipe(&self.target).await?;
        self.stack.retire_idle_instances();
        http(self.s3_port, "DELETE", CONTROL_PATH).await?;
        Ok(())
    }

    /// Makes the source as new, with `set` on it and nothing else.
    ///
    /// # Errors
    /// When topics cannot be deleted, created or filled.
    pub(crate) async fn fill_source(&self, set: &DataSet) -> anyhow::Result<Loaded> {
        topics::wipe(&self.source).await?;
        topics::create(&self.source, set).await?;
        topics::load(&self.source, set, set.total_bytes).await
    }

    /// Processes beside those of the stack.
    pub(crate) fn others(&self) -> Others {
        let others = Others::default();
        others.add("s3", self.s3.pid());
        others
    }

    /// Names and ids of the brokers' processes.
    pub(crate) fn brokers(&self) -> impl Iterator<Item = (String, u32)> {
        let is_broker = |(name, _): &(String, u32)| name.starts_with("source-") || name.starts_with("target-");
        self.stack.processes().into_iter().filter(is_broker)
    }

    /// Requests to S3 since the target was cleared.
    ///
    /// # Errors
    /// When the stand-in does not answer.
    pub(crate) async fn s3_requests(&self) -> anyhow::Result<u64> {
        let counts = http(self.s3_port, "GET", CONTROL_PATH).await?;
        let counts: std::collections::BTreeMap<String, u64> =
            serde_json::from_str(&counts).with_context(|| format!("not counts: {counts}"))?;
        Ok(counts.values().sum())
    }

    /// Requests to DynamoDB since the stack started.
    pub(crate) fn dynamodb_requests(&self) -> u64 {
        let requests = self.stack.aws_requests();
        requests.iter().filter(|(operation, _)| operation.starts_with("DynamoDB_")).map(|(_, count)| count).sum()
    }

    /// Waits until no instance of `function` works.
    ///
    /// # Errors
    /// When one works on for a minute.
    pub(crate) async fn idle(&self, function: &str) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.stack.busy_instances(function) > 0 {
            anyhow::ensure!(Instant::now() < until, "{function} does not end");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Stops everything and deletes the data.
    ///
    /// # Errors
    /// Those of [`Stack::stop`].
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop(self.s3);
        self.stack.stop().await
    }
}

/// Starts this program with other arguments, and `env` on top of its own.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn self_process(name: &str, args: &[&str], env: &[(&str, &str)], stack: &Stack) -> anyhow::Result<Process> {
    Process::spawn(Spec {
        name: name.to_owned(),
        program: std::env::current_exe()?,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        clean_env: false,
        log: stack.logs().join(format!("{name}.log")),
        dir: stack.logs(),
    })
}

/// Ends a process in good order.
pub(crate) async fn end(process: Process) -> anyhow::Result<()> {
    Ok(tokio::task::spawn_blocking(move || process.terminate(STOP_GRACE)).await?)
}

async fn http(port: u16, method: &str, path: &str) -> anyhow::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    Ok(body.to_owned())
}
