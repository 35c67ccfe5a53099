//! The alarms: what should wake somebody up, and what it means when there is no data.

use serde::Serialize;

/// What an alarm is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scope {
    /// The deployment, once.
    Deployment,
    /// Each function.
    Function,
    /// Each cluster of both sides.
    Cluster,
}

/// A metric that an alarm or a row of the dashboard reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Reading {
    /// Name in the alarm's expression.
    pub(crate) id: &'static str,
    /// Namespace in CloudWatch.
    pub(crate) namespace: &'static str,
    /// Name in CloudWatch.
    pub(crate) metric: &'static str,
    /// Dimensions, with placeholders.
    #[serde(serialize_with = "as_map")]
    pub(crate) dimensions: &'static [(&'static str, &'static str)],
    /// Statistic over a period.
    pub(crate) statistic: &'static str,
}

fn as_map<S: serde::Serializer>(pairs: &&[(&str, &str)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().copied())
}

/// An alarm of CloudWatch.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Alarm {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// Where the documentation says what to do.
    pub(crate) runbook: &'static str,
    pub(crate) scope: Scope,
    pub(crate) metrics: &'static [Reading],
    /// Metric math over the metrics by their ids; without metrics a query of CloudWatch Metrics Insights.
    pub(crate) expression: Option<&'static str>,
    pub(crate) period_s: u32,
    pub(crate) evaluation_periods: u32,
    pub(crate) datapoints: u32,
    pub(crate) comparison: &'static str,
    pub(crate) threshold: f64,
    pub(crate) treat_missing_data: &'static str,
}

/// Any value above nothing, at once. Most alarms are like it: what is counted happens rarely, and no data means that it did not.
const ANY: Alarm = Alarm {
    name: "",
    description: "",
    runbook: "docs/TROUBLESHOOTING.md",
    scope: Scope::Deployment,
    metrics: &[],
    expression: None,
    period_s: 60,
    evaluation_periods: 1,
    datapoints: 1,
    comparison: "GreaterThanThreshold",
    threshold: 0.0,
    treat_missing_data: "notBreaching",
};

const OF_STATE_MACHINE: &[(&str, &str)] = &[("StateMachineArn", "{state_machine_arn}")];
const OF_FUNCTION: &[(&str, &str)] = &[("FunctionName", "{function}")];
const OF_DEPLOYMENT: &[(&str, &str)] = &[("deployment", "{name}")];

const fn of_state_machine(metric: &'static str) -> Reading {
    Reading { id: "m", namespace: "AWS/States", metric, dimensions: OF_STATE_MACHINE, statistic: "Sum" }
}

const fn of_function(metric: &'static str, statistic: &'static str) -> Reading {
    Reading { id: "m", namespace: "AWS/Lambda", metric, dimensions: OF_FUNCTION, statistic }
}

const fn of_tail(metric: &'static str) -> Reading {
    Reading {
        id: "running",
        namespace: "AWS/Lambda",
        metric,
        dimensions: &[("FunctionName", "{name}-tail-batch")],
        statistic: "Maximum",
    }
}

const fn own(id: &'static str, metric: telemetry::metrics::Metric, statistic: &'static str) -> Reading {
    Reading { id, namespace: telemetry::metrics::NAMESPACE, metric: metric.name, dimensions: OF_DEPLOYMENT, statistic }
}

const fn in_phase(
    id: &'static str,
    metric: telemetry::metrics::Metric,
    dimensions: &'static [(&'static str, &'static str)],
) -> Reading {
    Reading { dimensions, ..own(id, metric, "Maximum") }
}

/// Every alarm.
pub(crate) const ALARMS: &[Alarm] = &[
    Alarm {
        name: "migration-failed",
        description: "An execution failed; the migration waits in its phase, and resume goes on.",
        metrics: &[of_state_machine("ExecutionsFailed")],
        ..ANY
    },
    Alarm {
        name: "migration-timed-out",
        description: "An execution ran into a time limit of Step Functions.",
        metrics: &[of_state_machine("ExecutionsTimedOut")],
        ..ANY
    },
    Alarm {
        name: "migration-aborted",
        description: "An execution was stopped. Expected after rollback, and when an operator begins again.",
        metrics: &[of_state_machine("ExecutionsAborted")],
        ..ANY
    },
    Alarm {
        name: "executions-throttled",
        description: "Step Functions throttles state transitions: a quota of the account is too small.",
        metrics: &[of_state_machine("ExecutionThrottled")],
        ..ANY
    },
    Alarm {
        name: "partition-stopped",
        description: "A partition stopped and needs a person; the others go on.",
        runbook: "docs/TROUBLESHOOTING.md#a-partition-stopped",
        metrics: &[own("m", telemetry::metrics::PARTITIONS_STOPPED, "Maximum")],
        ..ANY
    },
    Alarm {
        name: "tail-stalled",
        description: "The copy is behind and functions run, but nothing was copied for 10 minutes.",
        runbook: "docs/TROUBLESHOOTING.md#the-lag-does-not-fall-deadline-in-tail",
        metrics: &[
            of_tail("ConcurrentExecutions"),
            own("lag", telemetry::metrics::MAX_PARTITION_LAG, "Maximum"),
            own("copied", telemetry::metrics::BYTES_COPIED, "Sum"),
        ],
        // Rounds without a record write no line: the last lag counts, as long as functions run.
        expression: Some("IF(FILL(running, 0) > 0 AND FILL(lag, REPEAT) > 0 AND FILL(copied, 0) < 1, 1, 0)"),
        period_s: 300,
        evaluation_periods: 2,
        datapoints: 2,
        ..ANY
    },
    Alarm {
        name: "lag-rising",
        description: "The largest lag of a partition has been rising for 30 minutes: the source is faster than the copy.",
        runbook: "docs/TROUBLESHOOTING.md#the-lag-does-not-fall-deadline-in-tail",
        metrics: &[own("lag", telemetry::metrics::MAX_PARTITION_LAG, "Maximum")],
        expression: Some("IF(RATE(FILL(lag, REPEAT)) > 0, 1, 0)"),
        period_s: 300,
        evaluation_periods: 6,
        datapoints: 6,
        ..ANY
    },
    Alarm {
        name: "retention-near",
        description: "The copy is behind by more than a third of what a log of the source still holds: its retention comes within twice the lag.",
        runbook: "docs/TROUBLESHOOTING.md#the-lag-does-not-fall-deadline-in-tail",
        metrics: &[own("m", telemetry::metrics::LAG_SHARE, "Maximum")],
        threshold: 33.0,
        period_s: 300,
        evaluation_periods: 3,
        datapoints: 3,
        ..ANY
    },
    Alarm {
        name: "late-records",
        description: "Records were written to the source behind the cutover's fence: a producer ignored the freeze.",
        metrics: &[own("m", telemetry::metrics::LATE_RECORDS, "Maximum")],
        ..ANY
    },
    Alarm {
        name: "late-commits",
        description: "Groups committed offsets on the source behind the cutover's snapshot: consumers still run there.",
        metrics: &[own("m", telemetry::metrics::LATE_COMMITS, "Maximum")],
        ..ANY
    },
    Alarm {
        name: "freeze-near-limit",
        description: "Producers were frozen for more than 80 % of cutover.max_producer_freeze.",
        metrics: &[own("m", telemetry::metrics::FREEZE_SHARE, "Maximum")],
        threshold: 80.0,
        ..ANY
    },
    Alarm {
        name: "client-switch-waits",
        description: "Producers have been frozen for 15 minutes: the clients are not switched yet, or nobody has said so.",
        runbook: "docs/RUNBOOK.md#5-switch-clients",
        metrics: &[in_phase(
            "m",
            telemetry::metrics::PHASE_AGE,
            &[("deployment", "{name}"), ("phase", "awaiting_client_switch")],
        )],
        threshold: 900.0,
        ..ANY
    },
    Alarm {
        name: "copy-silent",
        description: "A batch of the copy was not heard of for 20 minutes.",
        runbook: "docs/TROUBLESHOOTING.md#the-lag-does-not-fall-deadline-in-tail",
        metrics: &[own("m", telemetry::metrics::HEARTBEAT_AGE, "Maximum")],
        threshold: 1_200.0,
        ..ANY
    },
    Alarm {
        name: "pulse-missing",
        description: "The schedule that watches over migrations does not run: no other alarm of msk-kraft can be trusted.",
        runbook: "docs/DEPLOY.md",
        metrics: &[Reading {
            id: "m",
            namespace: "AWS/Events",
            metric: "Invocations",
            dimensions: &[("RuleName", "{name}-pulse")],
            statistic: "Sum",
        }],
        period_s: 300,
        evaluation_periods: 4,
        datapoints: 4,
        comparison: "LessThanThreshold",
        threshold: 1.0,
        treat_missing_data: "breaching",
        ..ANY
    },
    Alarm {
        name: "work-taken-over",
        description: "Invocations ended because others had taken their work over, again and again.",
        metrics: &[own("m", telemetry::metrics::FENCED, "Sum")],
        period_s: 300,
        evaluation_periods: 3,
        datapoints: 3,
        threshold: 5.0,
        ..ANY
    },
    Alarm {
        name: "validation-mismatch",
        description: "Validation found differences between target and source.",
        runbook: "docs/TROUBLESHOOTING.md#validation-failed",
        metrics: &[own("m", telemetry::metrics::VALIDATION_MISMATCHES, "Maximum")],
        ..ANY
    },
    Alarm {
        name: "function-errors",
        description: "Invocations of a function fail. The state machine repeats what may pass; the function's log says why.",
        scope: Scope::Function,
        metrics: &[of_function("Errors", "Sum")],
        period_s: 300,
        evaluation_periods: 3,
        datapoints: 3,
        ..ANY
    },
    Alarm {
        name: "function-throttles",
        description: "Lambda throttles a function: the account's concurrency is too small.",
        scope: Scope::Function,
        metrics: &[of_function("Throttles", "Sum")],
        ..ANY
    },
    Alarm {
        name: "function-near-timeout",
        description: "A function works until Lambda kills it: it should end a minute earlier by itself.",
        scope: Scope::Function,
        metrics: &[of_function("Duration", "p99")],
        threshold: 885_000.0,
        period_s: 300,
        ..ANY
    },
    Alarm {
        name: "cluster-cpu",
        description: "A broker is busy above 60 %: throttle the migration (msk-kraft throttle).",
        runbook: "docs/RUNBOOK.md",
        scope: Scope::Cluster,
        expression: Some(
            "SELECT MAX(CpuUser) FROM SCHEMA(\"AWS/Kafka\", \"Broker ID\", \"Cluster Name\") WHERE \"Cluster Name\" = '{cluster_name}'",
        ),
        period_s: 300,
        evaluation_periods: 2,
        datapoints: 2,
        threshold: 60.0,
        ..ANY
    },
    Alarm {
        name: "cluster-under-replicated",
        description: "Partitions of a cluster have too few replicas in sync.",
        runbook: "docs/RUNBOOK.md",
        scope: Scope::Cluster,
        expression: Some(
            "SELECT MAX(UnderReplicatedPartitions) FROM SCHEMA(\"AWS/Kafka\", \"Broker ID\", \"Cluster Name\") WHERE \"Cluster Name\" = '{cluster_name}'",
        ),
        period_s: 300,
        evaluation_periods: 3,
        datapoints: 3,
        ..ANY
    },
    Alarm {
        name: "cluster-iam-connections",
        description: "MSK refuses connections with IAM: too many at once, or too many a second.",
        runbook: "docs/RUNBOOK.md",
        scope: Scope::Cluster,
        expression: Some(
            "SELECT SUM(IAMTooManyConnections) FROM SCHEMA(\"AWS/Kafka\", \"Broker ID\", \"Cluster Name\") WHERE \"Cluster Name\" = '{cluster_name}'",
        ),
        ..ANY
    },
    Alarm {
        name: "cluster-produce-throttled",
        description: "A cluster throttles producers.",
        runbook: "docs/RUNBOOK.md",
        scope: Scope::Cluster,
        expression: Some(
            "SELECT MAX(ProduceThrottleTime) FROM SCHEMA(\"AWS/Kafka\", \"Broker ID\", \"Cluster Name\") WHERE \"Cluster Name\" = '{cluster_name}'",
        ),
        period_s: 300,
        evaluation_periods: 3,
        datapoints: 3,
        ..ANY
    },
];
