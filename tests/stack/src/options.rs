//! What kind of stack to start.

use std::{path::PathBuf, time::Duration};

use crate::{layout::workspace, setup::DEFAULT_VERSION};

/// The functions of a migration; each is a binary of the same name.
pub const FUNCTIONS: [&str; 8] =
    ["precheck", "topology-copy", "seed-partition", "tail-batch", "cutover", "validate", "evidence", "gate"];

/// Environment in which a function keeps the memory that it frees, for the next answers of brokers (`mallopt(3)`): Lambda
/// charges for a function's memory whether the function has given it back or not, and new pages cost more than copying into them.
pub const MEMORY_ENV: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "33554432"), ("MALLOC_TRIM_THRESHOLD_", "1073741824")];

/// What the JVM of a broker is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerJvm {
    /// A start within seconds: one compiler, one collector thread. Good for tests.
    QuickStart,
    /// Throughput: the flags of Kafka's own start script. Good for measurements.
    Server,
}

/// Options of [`crate::Stack::start`]; the default is one broker a side, everything new, all output shown.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the stack; stacks of different names run side by side.
    pub name: String,
    /// Kafka version of the source.
    pub source_version: String,
    /// Kafka version of the target.
    pub target_version: String,
    /// Brokers per side, 1 or 3.
    pub brokers: usize,
    /// `-Xmx` of each broker in MiB.
    pub broker_heap_mib: u32,
    /// Whether clients reach each broker through a [`crate::Link`], which can be disturbed. Brokers among themselves do not.
    pub linked: bool,
    /// Whether brokers have listeners beside the plaintext one that want to know who a client is, see [`crate::Listener`].
    pub auth_listeners: bool,
    /// Lines of the target's `server.properties` on top of the stack's own.
    pub target_config: Vec<(String, String)>,
    /// What the brokers' JVMs are made for.
    pub broker_jvm: BrokerJvm,
    /// Go on with the data of the last stack of this name.
    pub keep: bool,
    /// Nobody will want the data: at the end kill the processes and delete the data, leave the logs.
    pub discard: bool,
    /// Show no progress.
    pub quiet: bool,
    /// Names of the functions.
    pub functions: Vec<String>,
    /// Folder of the functions' binaries.
    pub bin_dir: PathBuf,
    /// Concurrent instances per function.
    pub function_limit: usize,
    /// Time limit of an invocation.
    pub function_timeout: Duration,
    /// Environment for the functions on top of the stack's own.
    pub function_env: Vec<(String, String)>,
    /// Port of this machine on which something other than moto stands for S3; it has to hold both buckets already.
    pub s3_port: Option<u16>,
    /// The state machine's definition; without that file none is created.
    pub state_machine: PathBuf,
    /// How long the freeze webhook waits for its producers.
    pub freeze_ack_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "local".to_owned(),
            source_version: DEFAULT_VERSION.to_owned(),
            target_version: DEFAULT_VERSION.to_owned(),
            brokers: 1,
            broker_heap_mib: 512,
            linked: false,
            auth_listeners: false,
            target_config: Vec::new(),
            broker_jvm: BrokerJvm::QuickStart,
            keep: false,
            discard: false,
            quiet: false,
            functions: FUNCTIONS.map(str::to_owned).into(),
            bin_dir: workspace().join("target/debug"),
            function_limit: 8,
            function_timeout: Duration::from_secs(900),
            function_env: Vec::new(),
            s3_port: None,
            state_machine: workspace().join("statemachine/migration.asl.json"),
            freeze_ack_limit: Duration::from_secs(30),
        }
    }
}
