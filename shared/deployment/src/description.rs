//! `infra/description.json`: this crate, for programs that are not written in Rust.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use telemetry::metrics;

use crate::alarm::{ALARMS, Alarm};
use crate::dashboard::{GRAPHS, Graph};
use crate::function::{FUNCTIONS, Function};
use crate::grant::Grant;
use crate::names::QUALIFIER;
use crate::notice;
use crate::parameter::Parameter;
use crate::policy::sid;
use crate::query::{QUERIES, Query};
use crate::resource::Resource;
use crate::role::{ASKED_FUNCTIONS, Role};

/// Version of the file's shape.
const SCHEMA: u32 = 1;

/// Ports of MSK's listeners inside of a VPC and over multi-VPC connectivity, by the way to sign in
/// (<https://docs.aws.amazon.com/msk/latest/developerguide/port-info.html>).
const BROKER_PORTS: [(&str, &[u16]); 5] = [
    ("plaintext", &[9092]),
    ("tls", &[9094]),
    ("mtls", &[9094, 14002]),
    ("scram-sha-512", &[9096, 14001]),
    ("iam", &[9098, 14001]),
];

/// The file.
#[derive(Debug, Serialize)]
pub struct Description {
    schema: u32,
    qualifier: &'static str,
    parameter: String,
    functions: Vec<DescribedFunction>,
    asked_functions: [&'static str; 7],
    state_machine: Value,
    roles: BTreeMap<&'static str, Value>,
    resources: BTreeMap<&'static str, &'static str>,
    broker_ports: BTreeMap<&'static str, &'static [u16]>,
    metrics: Value,
    pulse: Value,
    alarms: &'static [Alarm],
    dashboard: &'static [Graph],
    queries: &'static [Query],
}

#[derive(Debug, Serialize)]
struct DescribedFunction {
    name: &'static str,
    description: &'static str,
    memory_mb: u32,
    timeout_s: u32,
    ephemeral_mb: u32,
    network: &'static str,
    environment: Value,
    statements: Vec<DescribedStatement>,
}

#[derive(Debug, Serialize)]
struct DescribedStatement {
    sid: String,
    actions: &'static [&'static str],
    resources: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
}

/// The description, as it stands in the repository.
pub fn description() -> Description {
    let role =
        |role: Role| (role.name(), json!({"statements": statements(role.name(), role.grants().iter().copied())}));
    Description {
        schema: SCHEMA,
        qualifier: QUALIFIER,
        parameter: Parameter::path("{name}"),
        functions: FUNCTIONS.iter().map(function).collect(),
        asked_functions: ASKED_FUNCTIONS,
        state_machine: state_machine(),
        roles: [Role::Operator, Role::Auditor].map(role).into(),
        resources: Resource::ALL.iter().map(|resource| (resource.symbol(), resource.meaning())).collect(),
        broker_ports: BROKER_PORTS.into(),
        metrics: json!({
            "namespace": metrics::NAMESPACE,
            "list": metrics::ALL.iter().map(|metric| {
                json!({"name": metric.name, "unit": metric.unit, "help": metric.help})
            }).collect::<Vec<_>>(),
        }),
        pulse: json!({
            "function": "gate",
            "input": {"op": "pulse"},
            "minutes": 1,
            "event_source": notice::SOURCE,
            "phase_changed": notice::PHASE_CHANGED,
            "waits": notice::WAITS,
        }),
        alarms: ALARMS,
        dashboard: GRAPHS,
        queries: QUERIES,
    }
}

fn function(function: &Function) -> DescribedFunction {
    DescribedFunction {
        name: function.name,
        description: function.description,
        memory_mb: function.memory_mb,
        timeout_s: Function::TIMEOUT_S,
        ephemeral_mb: Function::EPHEMERAL_MB,
        network: function.network.name(),
        environment: environment(function),
        statements: statements(function.name, function.all_grants()),
    }
}

/// Variables of a function; `{package}` stands for a summary of the packages' manifest, which goes into the evidence.
fn environment(function: &Function) -> Value {
    let mut variables = json!({"MSK_KRAFT_DEPLOYMENT": "{name}", "MSK_KRAFT_TABLE": "{table}", "RUST_LOG": "info"});
    match function.name {
        "evidence" => variables["MSK_KRAFT_PACKAGE"] = json!("{package}"),
        // glibc keeps what they free for the next answers of brokers: 13 to 22 % less processor time (docs/PERFORMANCE.md).
        "seed-partition" | "tail-batch" => {
            variables["MALLOC_ARENA_MAX"] = json!("1");
            variables["MALLOC_MMAP_THRESHOLD_"] = json!("33554432");
            variables["MALLOC_TRIM_THRESHOLD_"] = json!("1073741824");
        }
        _ => {}
    }
    variables
}

fn state_machine() -> Value {
    let role = Role::StateMachine;
    let substitution = |function: &Function| {
        let words = function.name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
        (format!("{}FunctionArn", words.collect::<String>()), function.name)
    };
    json!({
        "substitutions": FUNCTIONS.iter().map(substitution).collect::<BTreeMap<_, _>>(),
        "statements": statements(role.name(), role.grants().iter().copied()),
    })
}

fn statements(role: &str, grants: impl IntoIterator<Item = Grant>) -> Vec<DescribedStatement> {
    let statement = |grant: Grant| DescribedStatement {
        sid: sid(role, &grant),
        actions: grant.actions,
        resources: grant.on.symbol(),
        condition: grant.condition.name(),
    };
    grants.into_iter().map(statement).collect()
}
