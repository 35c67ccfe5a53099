//! Configuration files of ZooKeeper and the brokers.
//!
//! Topics are not created by mistake, ACLs are on but let everybody in (so that they can be copied), internal topics
//! are small, and the cleaner looks twice a second, so that a test sees a compacted topic within seconds.

use std::{fmt::Write, path::Path};

use super::Side;
use super::auth::{self, AuthFiles, Listener};

/// How long ZooKeeper remembers a broker that was killed; a restart has to wait for that.
pub(super) const ZOOKEEPER_SESSION_MS: u64 = 4_000;

/// One broker of a cluster.
pub(super) struct BrokerConfig<'a> {
    /// Broker id, from 1 as on MSK.
    pub(super) id: usize,
    /// Where it listens.
    pub(super) ports: BrokerPorts,
    /// Where its log segments go.
    pub(super) log_dir: &'a Path,
    /// Brokers in the cluster.
    pub(super) brokers: usize,
    /// What is behind it.
    pub(super) metadata: Metadata<'a>,
    /// Listeners that want to know who a client is.
    pub(super) auth: Option<&'a AuthFiles>,
    /// Further lines.
    pub(super) more: &'a [(String, String)],
}

/// The ports of a broker.
#[derive(Debug, Clone, Copy)]
pub(super) struct BrokerPorts {
    /// The one that clients are told.
    pub(super) advertised: u16,
    /// The one it listens on for clients, behind a link perhaps.
    pub(super) clients: u16,
    /// The one for other brokers, where clients have a link.
    pub(super) brokers: Option<u16>,
    /// Those of [`Listener::ALL`], where there are such listeners.
    pub(super) auth: Option<[u16; 4]>,
}

/// Where a cluster keeps its metadata.
pub(super) enum Metadata<'a> {
    /// In the ZooKeeper on this port.
    ZooKeeper(u16),
    /// In the brokers themselves: the controller port of every node, in the order of their ids.
    Raft(&'a [u16]),
}

impl Metadata<'_> {
    fn side(&self) -> Side {
        match self {
            Self::ZooKeeper(_) => Side::Source,
            Self::Raft(_) => Side::Target,
        }
    }
}

/// The `server.properties` of a broker.
pub(super) fn server_properties(broker: &BrokerConfig<'_>) -> String {
    let mut text = common(broker);
    let id = broker.id;
    let mut listeners = Listeners::of(broker.ports);
    // Writing to a String cannot fail.
    let _ = match &broker.metadata {
        Metadata::ZooKeeper(port) => write!(
            text,
            "broker.id={id}\nzookeeper.connect=127.0.0.1:{port}\nzookeeper.session.timeout.ms={ZOOKEEPER_SESSION_MS}\n"
        ),
        Metadata::Raft(ports) => {
            listeners.add_controller(ports.get(id - 1).copied().unwrap_or_default());
            let voters = ports.iter().enumerate().map(|(index, port)| format!("{}@127.0.0.1:{port}", index + 1));
            write!(
                text,
                "process.roles=broker,controller\nnode.id={id}\ncontroller.listener.names=CONTROLLER\n\
                 controller.quorum.voters={}\n",
                voters.collect::<Vec<_>>().join(",")
            )
        }
    };
    text += &listeners.lines();
    if let Some(files) = broker.auth {
        text += &auth::properties(files);
    }
    for (name, value) in broker.more {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

/// The listeners of a broker by name.
struct Listeners {
    listening: Vec<(&'static str, u16)>,
    advertised: Vec<(&'static str, u16)>,
    /// The one between brokers.
    inner: &'static str,
}

impl Listeners {
    fn of(ports: BrokerPorts) -> Self {
        let brokers = ports.brokers.map(|port| ("BROKERS", port));
        let names = Listener::ALL.map(Listener::name);
        let auth = || ports.auth.into_iter().flat_map(|ports| names.into_iter().zip(ports));
        Self {
            listening: std::iter::once(("PLAINTEXT", ports.clients)).chain(brokers).chain(auth()).collect(),
            advertised: std::iter::once(("PLAINTEXT", ports.advertised)).chain(brokers).chain(auth()).collect(),
            inner: brokers.map_or("PLAINTEXT", |(name, _)| name),
        }
    }

    fn add_controller(&mut self, port: u16) {
        self.listening.push(("CONTROLLER", port));
    }

    fn lines(&self) -> String {
        let addresses = |listeners: &[(&str, u16)]| {
            listeners.iter().map(|(name, port)| format!("{name}://127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
        };
        let protocol =
            |name: &str| Listener::ALL.into_iter().find(|known| known.name() == name).map(Listener::protocol);
        let protocols =
            self.listening.iter().map(|(name, _)| format!("{name}:{}", protocol(name).unwrap_or("PLAINTEXT")));
        format!(
            "listeners={}\nadvertised.listeners={}\nlistener.security.protocol.map={}\n\
             inter.broker.listener.name={}\n",
            addresses(&self.listening),
            addresses(&self.advertised),
            protocols.collect::<Vec<_>>().join(","),
            self.inner,
        )
    }
}

/// What both kinds of brokers have. Index files are mapped whole; the kernel reads ahead in each new one, and of the 10 MB that
/// they have by default that costs a new partition more than its first records.
fn common(broker: &BrokerConfig<'_>) -> String {
    let replicas = broker.brokers.min(3);
    let in_sync = if replicas > 1 { 2 } else { 1 };
    let authorizer = match broker.metadata.side() {
        Side::Source => "kafka.security.authorizer.AclAuthorizer",
        Side::Target => "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    };
    let more_users = broker.auth.map(|_| auth::super_users()).unwrap_or_default();
    format!(
        "log.dirs={dir}\n\
         authorizer.class.name={authorizer}\nsuper.users=User:ANONYMOUS{more_users}\nallow.everyone.if.no.acl.found=true\n\
         auto.create.topics.enable=false\ndefault.replication.factor={replicas}\nmin.insync.replicas={in_sync}\n\
         offsets.topic.num.partitions=8\noffsets.topic.replication.factor={replicas}\n\
         transaction.state.log.num.partitions=4\ntransaction.state.log.replication.factor={replicas}\n\
         transaction.state.log.min.isr={in_sync}\n\
         group.initial.rebalance.delay.ms=0\n\
         message.max.bytes=4194304\nreplica.fetch.max.bytes=4194304\n\
         log.cleaner.backoff.ms=500\nlog.cleaner.dedupe.buffer.size=8388608\nlog.retention.check.interval.ms=1000\n\
         log.initial.task.delay.ms=500\nlog.segment.delete.delay.ms=1000\n\
         num.network.threads=2\nnum.io.threads=4\n\
         log.index.size.max.bytes=1048576\n",
        dir = broker.log_dir.display(),
    )
}

/// The configuration of a lone ZooKeeper.
pub(super) fn zookeeper_properties(port: u16, dir: &Path) -> String {
    format!(
        "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=1000\nmaxClientCnxns=0\n\
         admin.enableServer=false\n",
        dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(metadata: Metadata<'_>, brokers: usize, ports: BrokerPorts) -> String {
        let more = [("log.cleaner.threads".to_owned(), "2".to_owned())];
        server_properties(&BrokerConfig {
            id: 2,
            ports,
            log_dir: Path::new("/d"),
            brokers,
            metadata,
            auth: None,
            more: &more,
        })
    }

    const DIRECT: BrokerPorts = BrokerPorts { advertised: 9092, clients: 9092, brokers: None, auth: None };

    #[test]
    fn a_source_broker_is_bound_to_zookeeper() {
        let text = broker(Metadata::ZooKeeper(2181), 1, DIRECT);
        assert!(text.contains("zookeeper.connect=127.0.0.1:2181\n") && text.contains("broker.id=2\n"));
        assert!(text.contains("AclAuthorizer") && !text.contains("process.roles"));
        assert!(text.contains("transaction.state.log.min.isr=1\n") && text.ends_with("log.cleaner.threads=2\n"));
    }

    #[test]
    fn a_target_broker_votes_with_all_controllers() {
        let text = broker(Metadata::Raft(&[1, 2, 3]), 3, DIRECT);
        assert!(text.contains("controller.quorum.voters=1@127.0.0.1:1,2@127.0.0.1:2,3@127.0.0.1:3\n"));
        assert!(text.contains("CONTROLLER://127.0.0.1:2\n") && !text.contains("zookeeper"));
        assert!(text.contains("offsets.topic.replication.factor=3\n") && text.contains("min.insync.replicas=2\n"));
    }

    #[test]
    fn clients_are_told_the_link_and_brokers_are_not() {
        let linked = BrokerPorts { advertised: 1, clients: 2, brokers: Some(3), auth: Some([4, 5, 6, 7]) };
        let text = broker(Metadata::Raft(&[7, 8]), 2, linked);
        assert!(text.contains("\nlisteners=PLAINTEXT://127.0.0.1:2,BROKERS://127.0.0.1:3,SCRAM://127.0.0.1:4,"));
        assert!(text.contains(",IAM://127.0.0.1:7,CONTROLLER://127.0.0.1:8\n"));
        assert!(
            text.contains("\nadvertised.listeners=PLAINTEXT://127.0.0.1:1,BROKERS://127.0.0.1:3,SCRAM://127.0.0.1:4,")
        );
        assert!(text.contains("BROKERS:PLAINTEXT,SCRAM:SASL_SSL,MTLS:SSL,TLS:SSL,IAM:SASL_SSL,CONTROLLER:PLAINTEXT\n"));
        assert!(text.contains("\ninter.broker.listener.name=BROKERS\n"));
    }
}
