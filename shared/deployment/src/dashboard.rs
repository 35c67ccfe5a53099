//! The dashboard: rows of graphs, in the order in which a migration night asks for them.

use serde::Serialize;
use telemetry::metrics::{self, Metric};

/// A graph.
#[derive(Debug, Serialize)]
pub(crate) struct Graph {
    pub(crate) title: &'static str,
    pub(crate) namespace: &'static str,
    /// Name and statistic of each line.
    pub(crate) metrics: &'static [(&'static str, &'static str)],
    /// Which dimension the lines have.
    pub(crate) of: Of,
}

/// Whose metrics a graph shows.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Of {
    /// Those of the deployment, dimension `deployment`.
    Deployment,
    /// Those of the state machine, dimension `StateMachineArn`.
    StateMachine,
    /// Those of each function, dimension `FunctionName`.
    Functions,
    /// Those of each cluster, as a search over dimension `Cluster Name`.
    Clusters,
}

const fn own(title: &'static str, metrics: &'static [(&'static str, &'static str)]) -> Graph {
    Graph { title, namespace: metrics::NAMESPACE, metrics, of: Of::Deployment }
}

const fn name(metric: Metric) -> &'static str {
    metric.name
}

/// Every graph.
pub(crate) const GRAPHS: &[Graph] = &[
    Graph {
        title: "Executions",
        namespace: "AWS/States",
        metrics: &[
            ("ExecutionsStarted", "Sum"),
            ("ExecutionsSucceeded", "Sum"),
            ("ExecutionsFailed", "Sum"),
            ("ExecutionsAborted", "Sum"),
        ],
        of: Of::StateMachine,
    },
    own("Lag of the worst partition, in offsets", &[(name(metrics::MAX_PARTITION_LAG), "Maximum")]),
    own("Bytes copied", &[(name(metrics::BYTES_COPIED), "Sum")]),
    own("Records copied", &[(name(metrics::RECORDS_COPIED), "Sum"), (name(metrics::BATCHES_REENCODED), "Sum")]),
    own("Partitions stopped", &[(name(metrics::PARTITIONS_STOPPED), "Maximum")]),
    own("Producer freeze", &[(name(metrics::FREEZE_MILLIS), "Maximum")]),
    own("Oldest sign of life of the copy, in seconds", &[(name(metrics::HEARTBEAT_AGE), "Maximum")]),
    own("Time in the phase, in seconds", &[(name(metrics::PHASE_AGE), "Maximum")]),
    own("Behind the fence", &[(name(metrics::LATE_RECORDS), "Maximum"), (name(metrics::LATE_COMMITS), "Maximum")]),
    own("Differences found by validation", &[(name(metrics::VALIDATION_MISMATCHES), "Maximum")]),
    Graph {
        title: "Functions running at once",
        namespace: "AWS/Lambda",
        metrics: &[("ConcurrentExecutions", "Maximum")],
        of: Of::Functions,
    },
    Graph {
        title: "Errors and throttles of functions",
        namespace: "AWS/Lambda",
        metrics: &[("Errors", "Sum"), ("Throttles", "Sum")],
        of: Of::Functions,
    },
    Graph {
        title: "CPU of brokers, in percent",
        namespace: "AWS/Kafka",
        metrics: &[("CpuUser", "Maximum")],
        of: Of::Clusters,
    },
    Graph {
        title: "Under-replicated partitions",
        namespace: "AWS/Kafka",
        metrics: &[("UnderReplicatedPartitions", "Maximum")],
        of: Of::Clusters,
    },
];
