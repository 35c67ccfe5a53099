//! What a stack has whatever stands for AWS: Kafka on both sides, the freeze webhook, and its files.

use std::{path::PathBuf, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    certificates::Certificates,
    front::{MskCluster, SOURCE_ARN, TARGET_ARN},
    java,
    kafka::{AuthFiles, Cluster, ClusterSpec, Listener, Side},
    layout::Layout,
    options::Options,
    ports::Ports,
    progress::Progress,
    setup::{self, Tools},
    webhook::Webhook,
};

/// Both clusters, the webhook and the files of a stack. Dropping it stops every process.
#[derive(Debug)]
pub struct Ground {
    layout: Layout,
    certificates: Option<Certificates>,
    source: Arc<Cluster>,
    target: Arc<Cluster>,
    webhook: Webhook,
    webhook_port: u16,
    webhook_task: JoinHandle<()>,
    at_once: bool,
}

impl Ground {
    /// Checks `options`, fetches what is missing and prepares the folders.
    ///
    /// # Errors
    /// When the options name what there is not, or the machine lacks a program.
    pub(crate) async fn prepare(options: &Options, progress: &Progress) -> anyhow::Result<(Layout, Tools)> {
        anyhow::ensure!(matches!(options.brokers, 1 | 3), "1 or 3 brokers a side, not {}", options.brokers);
        check_sides(options)?;
        let layout = Layout::new(&options.name)?;
        let tools = setup::ensure(&[&options.source_version, &options.target_version], progress).await?;
        layout.prepare(options.keep)?;
        Ok((layout, tools))
    }

    /// Everything before its first process; the webhook serves already.
    ///
    /// # Errors
    /// When ports or files are missing.
    pub(crate) async fn plan(
        options: &Options,
        layout: &Layout,
        tools: &Tools,
        ports: &mut Ports,
    ) -> anyhow::Result<Self> {
        let certificates = match options.auth_listeners {
            true => Some(Certificates::make(&layout.conf().join("tls"))?),
            false => None,
        };
        let auth = auth_files(certificates.as_ref(), [&options.source_version, &options.target_version]).await?;
        let mut cluster = |side, version: &str, auth: Option<AuthFiles>| {
            let spec = ClusterSpec {
                side,
                version: version.to_owned(),
                brokers: options.brokers,
                heap_mib: options.broker_heap_mib,
                jvm: options.broker_jvm,
                linked: options.linked,
                auth,
                config: if side == Side::Target { options.target_config.clone() } else { Vec::new() },
            };
            Cluster::plan(spec, &tools.java, layout, ports).map(Arc::new)
        };
        let [source_auth, target_auth] = auth;
        let source = cluster(Side::Source, &options.source_version, source_auth)?;
        let target = cluster(Side::Target, &options.target_version, target_auth)?;
        let webhook_port = ports.get("webhook")?;
        let webhook = Webhook::new(&layout.webhook(), options.freeze_ack_limit)?;
        let listener = TcpListener::bind(("127.0.0.1", webhook_port)).await?;
        let webhook_task = tokio::spawn(webhook.clone().serve(listener));
        let (layout, at_once) = (layout.clone(), options.discard);
        Ok(Self { layout, certificates, source, target, webhook, webhook_port, webhook_task, at_once })
    }

    /// Starts both clusters.
    ///
    /// # Errors
    /// When a process does not come up, with the end of its log.
    pub(crate) async fn start(&self, progress: &Progress) -> anyhow::Result<()> {
        tokio::try_join!(self.source.start(progress), self.target.start(progress))?;
        Ok(())
    }

    /// Stops the clusters and the webhook. Blocks the thread, needs no runtime.
    pub(crate) fn shut_down(&self) {
        self.webhook_task.abort();
        std::thread::scope(|scope| {
            scope.spawn(|| self.source.stop(self.at_once));
            scope.spawn(|| self.target.stop(self.at_once));
        });
        if self.at_once {
            // Only the space is at stake; the next start of this name removes what is left.
            let _ = std::fs::remove_dir_all(self.layout.data());
        }
    }

    /// Names and ids of the clusters' processes.
    pub(crate) fn cluster_processes(&self) -> Vec<(String, u32)> {
        [&self.source, &self.target].into_iter().flat_map(|cluster| cluster.processes()).collect()
    }

    /// Both clusters as MSK shows them.
    pub(crate) fn as_msk(&self) -> [MskCluster; 2] {
        [as_msk(&self.source), as_msk(&self.target)]
    }

    /// The folders.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Bootstrap servers of the source.
    pub fn source_bootstrap(&self) -> String {
        self.source.bootstrap()
    }

    /// Bootstrap servers of the target.
    pub fn target_bootstrap(&self) -> String {
        self.target.bootstrap()
    }

    /// One of the clusters: its tools, log directories, and ways to kill and restart its brokers.
    pub fn cluster(&self, side: Side) -> &Cluster {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// The certificates of brokers and clients; none without [`Options::auth_listeners`].
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// ARN of the source's or the target's stand-in at MSK.
    pub fn cluster_arn(&self, side: Side) -> &'static str {
        match side {
            Side::Source => SOURCE_ARN,
            Side::Target => TARGET_ARN,
        }
    }

    /// The freeze webhook's URL.
    pub fn webhook_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.webhook_port)
    }

    /// The freeze webhook itself: its folder, history and producers.
    pub fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// Folder of all log files.
    pub fn logs(&self) -> PathBuf {
        self.layout.logs()
    }

    /// Runs one of Kafka's own tools with the jars of a side.
    ///
    /// # Errors
    /// As [`Cluster::tool`].
    pub async fn kafka_tool(&self, side: Side, tool: &str, args: &[&str]) -> anyhow::Result<String> {
        Ok(self.cluster(side).tool(tool, args).await?.stdout)
    }

    /// Class path of a side's jars.
    pub fn java_classpath(&self, side: Side) -> String {
        self.cluster(side).classpath()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// What the brokers of both sides, of these versions, need for listeners that want to know who a client is.
async fn auth_files(
    certificates: Option<&Certificates>,
    versions: [&str; 2],
) -> anyhow::Result<[Option<AuthFiles>; 2]> {
    let Some(certificates) = certificates else { return Ok([None, None]) };
    let files = async |version: &str| {
        let libs = format!("{}/*", setup::kafka_lib(version).display());
        let classes = java::compile("broker", &libs).await?;
        anyhow::Ok(Some(AuthFiles { certificates: certificates.clone(), classes }))
    };
    Ok([files(versions[0]).await?, files(versions[1]).await?])
}

fn check_sides(options: &Options) -> anyhow::Result<()> {
    let (source, target) = (&options.source_version, &options.target_version);
    let (sources, targets) = (setup::SOURCE_VERSIONS, setup::TARGET_VERSIONS);
    anyhow::ensure!(sources.contains(&source.as_str()), "Kafka {source} cannot be the source: {}", sources.join(", "));
    anyhow::ensure!(targets.contains(&target.as_str()), "Kafka {target} cannot be the target: {}", targets.join(", "));
    Ok(())
}

fn as_msk(cluster: &Cluster) -> MskCluster {
    let arn = match cluster.side() {
        Side::Source => SOURCE_ARN,
        Side::Target => TARGET_ARN,
    };
    MskCluster {
        side: cluster.side(),
        arn: arn.to_owned(),
        version: cluster.version().to_owned(),
        bootstrap: cluster.bootstrap(),
        bootstrap_scram: cluster.bootstrap_of(Listener::Scram),
        // MSK has one listener for TLS; it wants certificates where clients have to have some.
        bootstrap_tls: cluster.bootstrap_of(Listener::Mtls),
        bootstrap_iam: cluster.bootstrap_of(Listener::Iam),
        zookeeper: cluster.zookeeper_connect(),
        brokers: cluster.size(),
    }
}
