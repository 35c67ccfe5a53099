//! One Kafka cluster: its processes from format to stop.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use futures::future::try_join_all;
use tokio::process::Command;

use super::{
    Side,
    auth::{self, AuthFiles, Listener},
    config::{self, BrokerConfig, BrokerPorts, Metadata, ZOOKEEPER_SESSION_MS},
    link::Link,
    probe,
    tools::{self, ToolOutput, main_class},
};
use crate::{
    layout::{Layout, crate_dir},
    options::BrokerJvm,
    ports::Ports,
    process::{self, Process, Spec},
    progress::Progress,
    setup,
};

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_GRACE: Duration = Duration::from_secs(20);
const TOOL_LIMIT: Duration = Duration::from_secs(120);
/// A JVM that lives for seconds: no second compiler, no parallel collector.
const QUICK_START: [&str; 3] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"];
/// `KAFKA_JVM_PERFORMANCE_OPTS` of `bin/kafka-run-class.sh`.
const SERVER: [&str; 7] = [
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];
/// Any fixed value does: nothing else ever joins these clusters.
const CLUSTER_ID: &str = "bXNrLWtyYWZ0LWxvY2FsMQ";

/// Which cluster to start.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// Source (ZooKeeper mode) or target (KRaft).
    pub side: Side,
    /// Kafka version, one of the pinned ones.
    pub version: String,
    /// Number of brokers, 1 or 3.
    pub brokers: usize,
    /// `-Xmx` of a broker in MiB.
    pub heap_mib: u32,
    /// Whether clients reach the brokers through links.
    pub linked: bool,
    /// What listeners need that want to know who a client is; without it there are none.
    pub auth: Option<AuthFiles>,
    /// Further lines of `server.properties`.
    pub config: Vec<(String, String)>,
    /// What the JVMs of the brokers are made for.
    pub jvm: BrokerJvm,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    spec: ClusterSpec,
    java: PathBuf,
    layout: Layout,
    zookeeper_port: u16,
    zookeeper: Mutex<Option<Process>>,
    ports: Vec<BrokerPorts>,
    links: Mutex<Vec<Arc<Link>>>,
    controller_ports: Vec<u16>,
    brokers: Mutex<Vec<Option<Process>>>,
}

impl Cluster {
    /// Chooses ports; nothing runs yet.
    ///
    /// # Errors
    /// When ports are taken.
    pub fn plan(spec: ClusterSpec, java: &Path, layout: &Layout, ports: &mut Ports) -> anyhow::Result<Self> {
        let side = spec.side.name();
        let mut each = |what: &str| -> anyhow::Result<Vec<u16>> {
            (1..=spec.brokers).map(|id| ports.get(&format!("{side}-{id}{what}"))).collect()
        };
        let advertised = each("")?;
        let (clients, brokers) = match spec.linked {
            true => (each("-behind-link")?, each("-brokers")?.into_iter().map(Some).collect()),
            false => (advertised.clone(), vec![None; spec.brokers]),
        };
        let mut auth = vec![None; spec.brokers];
        if spec.auth.is_some() {
            let ports = Listener::ALL.map(|listener| each(&format!("-{}", listener.name().to_lowercase())));
            let [scram, mtls, tls, iam] = ports;
            let (scram, mtls, tls, iam) = (scram?, mtls?, tls?, iam?);
            auth = (0..spec.brokers).map(|index| Some([scram[index], mtls[index], tls[index], iam[index]])).collect();
        }
        let controllers = if spec.side == Side::Target { each("-controller")? } else { Vec::new() };
        let each_broker = advertised.into_iter().zip(clients).zip(brokers).zip(auth);
        let broker_ports = each_broker
            .map(|(((advertised, clients), brokers), auth)| BrokerPorts { advertised, clients, brokers, auth })
            .collect();
        let zookeeper_port = if spec.side == Side::Source { ports.get("zookeeper")? } else { 0 };
        Ok(Self {
            java: java.to_owned(),
            layout: layout.clone(),
            zookeeper_port,
            zookeeper: Mutex::new(None),
            ports: broker_ports,
            links: Mutex::default(),
            controller_ports: controllers,
            brokers: Mutex::new((0..spec.brokers).map(|_| None).collect()),
            spec,
        })
    }

    /// Starts everything and waits until every broker knows all the others.
    ///
    /// # Errors
    /// When a process ends early or is not ready in time; with the end of its log.
    pub async fn start(&self, progress: &Progress) -> anyhow::Result<()> {
        let what = match self.spec.side {
            Side::Source => "ZooKeeper",
            Side::Target => "KRaft",
        };
        let step = progress.step(&format!("{} (Kafka {}, {what})", self.spec.side.name(), self.spec.version));
        self.open_links().await?;
        match self.spec.side {
            Side::Source => self.start_zookeeper().await?,
            Side::Target => try_join_all((1..=self.spec.brokers).map(|id| self.format(id))).await.map(drop)?,
        }
        // Raft needs a majority to become ready: all of them start before any is waited for.
        for id in 1..=self.spec.brokers {
            self.spawn_broker(id)?;
        }
        try_join_all((1..=self.spec.brokers).map(|id| self.broker_ready(id, self.spec.brokers))).await?;
        if self.spec.auth.is_some() {
            let args = auth::add_user(&self.bootstrap());
            self.tool("ConfigCommand", &args.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        }
        step.done();
        Ok(())
    }

    /// Which side this is.
    pub fn side(&self) -> Side {
        self.spec.side
    }

    /// Kafka version.
    pub fn version(&self) -> &str {
        &self.spec.version
    }

    /// Number of brokers.
    pub fn size(&self) -> usize {
        self.spec.brokers
    }

    /// `127.0.0.1:<port>` of every broker, separated by commas.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.ports.iter().map(|ports| format!("127.0.0.1:{}", ports.advertised)).collect();
        addresses.join(",")
    }

    /// The same for one of the listeners that want to know who a client is; nothing when the stack was started without them.
    pub fn bootstrap_of(&self, listener: Listener) -> Option<String> {
        let index = Listener::ALL.into_iter().position(|known| known == listener)?;
        let addresses: Option<Vec<_>> =
            self.ports.iter().map(|ports| Some(format!("127.0.0.1:{}", ports.auth?[index]))).collect();
        Some(addresses?.join(","))
    }

    /// Connect string of the source's ZooKeeper; `None` for the target.
    pub fn zookeeper_connect(&self) -> Option<String> {
        (self.spec.side == Side::Source).then(|| format!("127.0.0.1:{}", self.zookeeper_port))
    }

    /// The log directory of every broker, in the order of their ids.
    pub fn log_dirs(&self) -> Vec<PathBuf> {
        (1..=self.spec.brokers).map(|id| self.log_dir(id)).collect()
    }

    /// The link between clients and broker `id`.
    ///
    /// # Errors
    /// When there is no such broker, or the stack was started without links.
    pub fn link(&self, id: usize) -> anyhow::Result<Arc<Link>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.get(id.wrapping_sub(1)).cloned().with_context(|| format!("{} has no link", self.broker_name(id)))
    }

    /// The class path of this version's jars, as `java -cp` takes it.
    pub fn classpath(&self) -> String {
        setup::kafka_classpath(&self.spec.version)
    }

    /// Runs one of Kafka's tools against this cluster; see [`main_class`] for the names.
    ///
    /// # Errors
    /// When there is no such tool, it fails, or it runs for more than two minutes.
    pub async fn tool(&self, tool: &str, args: &[&str]) -> anyhow::Result<ToolOutput> {
        tools::run(self.tool_command(tool, args)?, tool, TOOL_LIMIT).await
    }

    /// The command [`Cluster::tool`] would run, for callers that feed it or watch it.
    ///
    /// # Errors
    /// When there is no such tool.
    pub fn tool_command(&self, tool: &str, args: &[&str]) -> anyhow::Result<Command> {
        let class = main_class(&setup::kafka_lib(&self.spec.version), tool)?;
        let mut command = Command::new(&self.java);
        command.args(["-Xmx256m"]).args(QUICK_START).args(logging("log4j-tools.properties", "warn"));
        command.arg("-cp").arg(self.classpath()).arg(class).args(args);
        Ok(command)
    }

    /// Kills a broker with SIGKILL, as a machine that dies.
    ///
    /// # Errors
    /// When there is no such broker or it does not run.
    pub fn kill_broker(&self, id: usize) -> anyhow::Result<()> {
        let slot = self.lock().get_mut(id.wrapping_sub(1)).and_then(Option::take);
        let process = slot.with_context(|| format!("{} does not run", self.broker_name(id)))?;
        process.kill();
        Ok(())
    }

    /// Stops a broker in good order.
    ///
    /// # Errors
    /// When there is no such broker or it does not run.
    pub async fn stop_broker(&self, id: usize) -> anyhow::Result<()> {
        let slot = self.lock().get_mut(id.wrapping_sub(1)).and_then(Option::take);
        let process = slot.with_context(|| format!("{} does not run", self.broker_name(id)))?;
        tokio::task::spawn_blocking(move || process.terminate(STOP_GRACE)).await?;
        Ok(())
    }

    /// Starts a broker that was killed or stopped, on its old port and data.
    ///
    /// # Errors
    /// When there is no such broker, it still runs, or it does not become ready.
    pub async fn restart_broker(&self, id: usize) -> anyhow::Result<()> {
        let free = self.lock().get(id.wrapping_sub(1)).is_some_and(Option::is_none);
        anyhow::ensure!(free, "{} is not a stopped broker", self.broker_name(id));
        self.spawn_broker(id)?;
        let running = self.lock().iter().flatten().count();
        self.broker_ready(id, running).await
    }

    /// Names and ids of the processes that run.
    pub(crate) fn processes(&self) -> Vec<(String, u32)> {
        let zookeeper = self.zookeeper.lock().unwrap_or_else(PoisonError::into_inner);
        let brokers = self.lock();
        let running = zookeeper.iter().chain(brokers.iter().flatten());
        running.map(|process| (process.name().to_owned(), process.pid())).collect()
    }

    /// Stops brokers, then ZooKeeper. `at_once` kills them instead, for data nobody wants. Blocks the thread.
    pub fn stop(&self, at_once: bool) {
        let brokers: Vec<Process> = self.lock().iter_mut().filter_map(Option::take).collect();
        let zookeeper = self.zookeeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if at_once {
            brokers.iter().chain(&zookeeper).for_each(Process::kill);
        } else {
            process::terminate_all(&brokers, STOP_GRACE);
            process::terminate_all(&zookeeper, STOP_GRACE);
        }
    }

    async fn open_links(&self) -> anyhow::Result<()> {
        for ports in self.ports.iter().filter(|_| self.spec.linked) {
            let link = Link::open(ports.advertised, ports.clients).await?;
            self.links.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(link));
        }
        Ok(())
    }

    async fn start_zookeeper(&self) -> anyhow::Result<()> {
        let (port, data) = (self.zookeeper_port, self.layout.data().join("zookeeper"));
        std::fs::create_dir_all(&data)?;
        let conf = self.layout.conf().join("zookeeper.properties");
        std::fs::write(&conf, config::zookeeper_properties(port, &data))?;
        let class = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
        let process = Process::spawn(self.java("zookeeper", 128, class, &[&conf.display().to_string()]))?;
        process.ready(START_LIMIT, || probe::zookeeper_serves(port)).await?;
        *self.zookeeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }

    async fn format(&self, id: usize) -> anyhow::Result<()> {
        let conf = self.write_config(id)?;
        if self.log_dir(id).join("meta.properties").exists() {
            return Ok(());
        }
        self.tool("StorageTool", &["format", "-t", CLUSTER_ID, "-c", &conf.display().to_string()])
            .await
            .with_context(|| format!("formatting the storage of {}", self.broker_name(id)))?;
        Ok(())
    }

    fn spawn_broker(&self, id: usize) -> anyhow::Result<()> {
        let conf = self.write_config(id)?.display().to_string();
        let process = Process::spawn(self.java(&self.broker_name(id), self.spec.heap_mib, "kafka.Kafka", &[&conf]))?;
        self.lock()[id - 1] = Some(process);
        Ok(())
    }

    /// Waits until broker `id` serves and knows of `wanted` brokers.
    async fn broker_ready(&self, id: usize, wanted: usize) -> anyhow::Result<()> {
        let index = id - 1;
        for attempt in 1.. {
            let process = self.lock()[index].take().context("the broker was stopped while it started")?;
            let outcome = process.ready(START_LIMIT, || self.sees(index, wanted)).await;
            let old_session = process.exited().is_some() && process.tail().contains("NodeExists");
            self.lock()[index] = Some(process);
            if outcome.is_ok() || attempt == 3 || !old_session {
                return outcome;
            }
            // ZooKeeper still holds the registration of this broker's killed predecessor.
            tokio::time::sleep(Duration::from_millis(ZOOKEEPER_SESSION_MS)).await;
            self.spawn_broker(id)?;
        }
        Ok(())
    }

    async fn sees(&self, index: usize, wanted: usize) -> bool {
        let seen = probe::brokers_seen_by(self.ports[index].clients).await.and_then(|seen| usize::try_from(seen).ok());
        seen.is_some_and(|seen| seen >= wanted)
    }

    fn write_config(&self, id: usize) -> anyhow::Result<PathBuf> {
        let metadata = match self.spec.side {
            Side::Source => Metadata::ZooKeeper(self.zookeeper_port),
            Side::Target => Metadata::Raft(&self.controller_ports),
        };
        let log_dir = self.log_dir(id);
        std::fs::create_dir_all(&log_dir)?;
        let ports = self.ports[id - 1];
        let broker = BrokerConfig {
            id,
            ports,
            log_dir: &log_dir,
            brokers: self.spec.brokers,
            metadata,
            auth: self.spec.auth.as_ref(),
            more: &self.spec.config,
        };
        let path = self.layout.conf().join(format!("{}.properties", self.broker_name(id)));
        std::fs::write(&path, config::server_properties(&broker))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    fn java(&self, name: &str, heap_mib: u32, class: &str, args: &[&str]) -> Spec {
        let mut all = vec![format!("-Xmx{heap_mib}m")];
        match self.spec.jvm {
            BrokerJvm::QuickStart => all.extend(QUICK_START.map(str::to_owned)),
            BrokerJvm::Server => all.extend(SERVER.map(str::to_owned)),
        }
        all.extend(logging("log4j.properties", "info"));
        let own = self.spec.auth.iter().map(|files| format!(":{}", files.classes.display()));
        all.extend(["-cp".to_owned(), self.classpath() + &own.collect::<String>(), class.to_owned()]);
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        Spec {
            name: name.to_owned(),
            program: self.java.clone(),
            args: all,
            env: Vec::new(),
            clean_env: false,
            log: self.layout.logs().join(format!("{name}.log")),
            dir: self.layout.home().to_owned(),
        }
    }

    fn broker_name(&self, id: usize) -> String {
        format!("{}-{id}", self.spec.side.name())
    }

    fn log_dir(&self, id: usize) -> PathBuf {
        self.layout.data().join(self.broker_name(id))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Process>>> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop(false);
    }
}

/// Both backends are told: reload4j serves Kafka up to 3.9, slf4j-simple 4.x.
fn logging(file: &str, level: &str) -> [String; 4] {
    [
        format!("-Dlog4j.configuration=file:{}", crate_dir().join("kafka").join(file).display()),
        format!("-Dorg.slf4j.simpleLogger.defaultLogLevel={level}"),
        "-Dorg.slf4j.simpleLogger.showDateTime=true".to_owned(),
        "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients=warn".to_owned(),
    ]
}
