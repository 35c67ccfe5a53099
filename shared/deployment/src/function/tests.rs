//! The tables against the sources: whoever calls something new has to say so here, and whoever stops too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex_lite::Regex;

use super::*;
use crate::role::Role;

/// Which actions a call of an AWS SDK needs. A call that is not here fails the tests: give it its actions.
const AWS: [(&str, &[&str]); 26] = [
    ("get_item", &["dynamodb:GetItem"]),
    ("query", &["dynamodb:Query"]),
    ("put_item", &["dynamodb:PutItem"]),
    ("update_item", &["dynamodb:UpdateItem"]),
    (
        "transact_write_items",
        &["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem"],
    ),
    // Only tests and the local stack create the table.
    ("create_table", &[]),
    ("head_bucket", &["s3:ListBucket"]),
    ("list_objects_v2", &["s3:ListBucket"]),
    ("get_object", &["s3:GetObject", "s3:ListBucket"]),
    ("put_object", &["s3:PutObject"]),
    ("delete_objects", &["s3:DeleteObject"]),
    ("get_object_lock_configuration", &["s3:GetBucketObjectLockConfiguration"]),
    ("get_bucket_versioning", &["s3:GetBucketVersioning"]),
    ("get_bucket_encryption", &["s3:GetEncryptionConfiguration"]),
    ("list_scram_secrets", &["kafka:ListScramSecrets"]),
    ("describe_cluster_v2", &["kafka:DescribeClusterV2"]),
    ("get_bootstrap_brokers", &["kafka:GetBootstrapBrokers"]),
    ("put_events", &["events:PutEvents"]),
    ("send_task_success", &["states:SendTaskSuccess"]),
    ("start_execution", &["states:StartExecution"]),
    ("describe_execution", &["states:DescribeExecution"]),
    ("list_executions", &["states:ListExecutions"]),
    ("get_secret_value", &["secretsmanager:GetSecretValue"]),
    ("create_secret", &["secretsmanager:CreateSecret", "secretsmanager:TagResource"]),
    ("put_secret_value", &["secretsmanager:PutSecretValue"]),
    ("delete_secret", &["secretsmanager:DeleteSecret"]),
];

/// More calls, of this program alone.
const AWS_OF_THE_CLI: [(&str, &[&str]); 3] = [
    ("stop_execution", &["states:StopExecution"]),
    ("get_parameter", &["ssm:GetParameter"]),
    ("invoke", &["lambda:InvokeFunction"]),
];

/// Which `kafka-cluster` actions a call of our Kafka client needs. A call that is not here fails the tests.
const KAFKA: [(&str, &[&str]); 61] = [
    // Metadata of brokers, which whoever is signed in gets.
    ("brokers", &[]),
    ("connect", &[]),
    ("leader", &[]),
    ("unreachable_brokers", &[]),
    ("leaders", &[]),
    ("refresh", &[]),
    ("with_retries", &[]),
    ("topics", &["DescribeTopic"]),
    ("list_offsets", &["DescribeTopic"]),
    ("topic_configs", &["DescribeTopicDynamicConfiguration"]),
    ("alter_topic_configs", &["AlterTopicDynamicConfiguration"]),
    ("broker_configs", &["DescribeClusterDynamicConfiguration"]),
    ("log_sizes", &["DescribeCluster"]),
    ("reassignments", &["DescribeCluster"]),
    // Whoever is connected may ask for it.
    ("served_versions", &[]),
    ("describe_acls", &["DescribeCluster"]),
    ("create_acls", &["AlterCluster"]),
    ("client_quotas", &["DescribeClusterDynamicConfiguration"]),
    ("alter_client_quotas", &["AlterClusterDynamicConfiguration"]),
    ("scram_users", &["DescribeCluster"]),
    ("check_topic_configs", &["AlterTopicDynamicConfiguration"]),
    ("would_create_topics", &["CreateTopic"]),
    ("create_topics", &["CreateTopic"]),
    ("delete_topics", &["DeleteTopic"]),
    ("topics_of_brokers", &["DescribeTopic"]),
    ("create_partitions", &["AlterTopic"]),
    ("init_producer_id", &["WriteDataIdempotently"]),
    ("fetch", &["ReadData"]),
    ("describe_producers", &["ReadData"]),
    ("produce", &["WriteData", "WriteDataIdempotently"]),
    ("produce_retrying", &["WriteData"]),
    ("ongoing_transactions", &["DescribeTransactionalId"]),
    ("check_client_quotas", &["AlterClusterDynamicConfiguration"]),
    ("hidden_topics", &["DescribeCluster", "DescribeTopic"]),
    ("transactions", &["DescribeTransactionalId"]),
    ("inherited_topic_configs", &["DescribeClusterDynamicConfiguration", "DescribeTopicDynamicConfiguration"]),
    ("fetch_retrying", &["ReadData"]),
    ("batch_at", &["ReadData"]),
    ("cluster_operations", &["DescribeCluster"]),
    ("topic_operations", &["DescribeTopic"]),
    ("group_operations", &["DescribeGroup"]),
    ("list_groups", &["DescribeGroup"]),
    ("describe_groups", &["DescribeGroup"]),
    ("committed_offsets", &["DescribeGroup"]),
    ("commit_offsets", &["AlterGroup", "ReadData"]),
    ("commit_offsets_within", &["AlterGroup", "ReadData"]),
    ("committed_offsets_now", &["DescribeGroup"]),
    ("committed_offsets_of", &["DescribeGroup"]),
    ("unstable_offsets", &["DescribeGroup"]),
    ("group_coordinator", &["DescribeGroup"]),
    ("coordinator_limits", &["DescribeClusterDynamicConfiguration", "DescribeTopicDynamicConfiguration"]),
    ("append_markers", &["AlterTransactionalId", "DescribeTransactionalId", "WriteData"]),
    ("check_transactional_id", &["AlterTransactionalId", "DescribeTransactionalId"]),
    ("written_since", &["ReadData"]),
    ("pending_offsets", &["ReadData"]),
    ("find_marker", &["ReadData"]),
    ("find_markers", &["ReadData"]),
    ("describe_transactions", &["DescribeTransactionalId"]),
    ("open_offset_transactions", &["DescribeTransactionalId", "ReadData"]),
    ("probe_write", &["WriteData"]),
    ("delete_acls", &["AlterCluster"]),
];

/// Modules of shared crates by the functions that use them.
const SHARED: [(&str, &[&str]); 46] = [
    ("shared/copy/src/engine.rs", &["seed-partition", "tail-batch"]),
    ("shared/copy/src/keys/compare.rs", &["tail-batch"]),
    ("shared/copy/src/keys/found.rs", &["tail-batch", "cutover"]),
    ("shared/copy/src/keys/review.rs", &["tail-batch"]),
    ("shared/copy/src/measure.rs", &["tail-batch"]),
    ("shared/copy/src/reader.rs", &["seed-partition", "tail-batch", "cutover"]),
    ("shared/copy/src/recount.rs", &["tail-batch", "validate"]),
    ("shared/copy/src/writer.rs", &["seed-partition", "tail-batch"]),
    ("shared/cutover/src/live/source.rs", &["cutover"]),
    ("shared/cutover/src/live/target.rs", &["cutover"]),
    ("shared/cutover/src/live/records.rs", &["cutover"]),
    ("shared/cutover/src/late/live.rs", &["cutover"]),
    ("shared/cutover/src/late/live/source.rs", &["cutover"]),
    ("shared/cutover/src/late/live/target.rs", &["cutover"]),
    ("shared/cutover/src/late/walk.rs", &["cutover"]),
    ("shared/cutover/src/rehearse/copy.rs", &["cutover"]),
    ("shared/cutover/src/rehearse/groups.rs", &["cutover"]),
    ("shared/cutover/src/rehearse/replicas.rs", &["cutover"]),
    ("shared/cutover/src/rehearse/transactions.rs", &["cutover"]),
    ("shared/cutover/src/watch.rs", &["cutover"]),
    ("shared/topology/src/create.rs", &["topology-copy", "tail-batch"]),
    ("shared/topology/src/manifest.rs", &["topology-copy", "tail-batch"]),
    ("shared/topology/src/pick_up.rs", &["tail-batch"]),
    ("shared/topology/src/defaults.rs", &["topology-copy", "cutover"]),
    ("shared/topology/src/held.rs", &["seed-partition", "tail-batch", "cutover"]),
    ("shared/topology/src/gone.rs", &["seed-partition", "tail-batch", "cutover"]),
    ("shared/topology/src/changes.rs", &["tail-batch", "cutover"]),
    ("shared/topology/src/transactions.rs", &["tail-batch", "cutover"]),
    ("shared/topology/src/latecomers.rs", &["cutover"]),
    ("shared/topology/src/target_state.rs", &["topology-copy", "cutover"]),
    ("shared/topology/src/restart/look.rs", &["topology-copy"]),
    ("shared/topology/src/restart/remove.rs", &["topology-copy"]),
    ("shared/topology/src/quotas.rs", &["topology-copy"]),
    ("shared/topology/src/lockout.rs", &["topology-copy", "cutover"]),
    ("shared/topology/src/inventory.rs", &["topology-copy", "tail-batch", "cutover", "validate"]),
    ("shared/topology/src/moving.rs", &["topology-copy", "tail-batch"]),
    ("shared/topology/src/known.rs", &["topology-copy", "cutover"]),
    ("shared/copy/src/ports.rs", &["seed-partition", "tail-batch"]),
    ("shared/topology/src/acl_copy.rs", &["topology-copy"]),
    ("shared/topology/src/final_configs.rs", &["topology-copy"]),
    ("shared/topology/src/settings/found.rs", &["cutover"]),
    ("shared/topology/src/settings/decide.rs", &["cutover"]),
    ("shared/topology/src/settings/decide/quotas.rs", &["cutover"]),
    ("shared/topology/src/settings/decide/configs.rs", &["cutover"]),
    ("shared/topology/src/settings/decide/acls.rs", &["cutover"]),
    ("shared/topology/src/settings/apply/port.rs", &["cutover"]),
];

const BOTH: &[&str] = &["source", "target"];

/// Files that call a cluster `cluster`, with the sides that it may be.
const EITHER_SIDE: [(&str, &[&str]); 17] = [
    ("shared/copy/src/keys/compare.rs", BOTH),
    ("shared/cutover/src/live/source.rs", &["source"]),
    ("shared/cutover/src/live/target.rs", &["target"]),
    ("shared/cutover/src/live/records.rs", &["source"]),
    ("shared/cutover/src/late/live/source.rs", &["source"]),
    ("shared/cutover/src/late/live/target.rs", &["target"]),
    ("shared/cutover/src/late/walk.rs", BOTH),
    ("functions/precheck/src/gather.rs", BOTH),
    ("functions/precheck/src/gather/brokers.rs", BOTH),
    ("functions/precheck/src/gather/permitted.rs", BOTH),
    ("functions/precheck/src/gather/source.rs", &["source"]),
    ("functions/precheck/src/gather/target.rs", &["target"]),
    ("functions/precheck/src/plan.rs", &["source"]),
    ("functions/validate/src/work.rs", BOTH),
    ("functions/validate/src/presence.rs", BOTH),
    ("functions/validate/src/partition/lookup.rs", BOTH),
    ("shared/topology/src/inventory.rs", BOTH),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The files below `folder`, or the one file, each with its code without unit tests.
fn files(folder: &str) -> Vec<(String, String)> {
    fn collect(path: &Path, files: &mut Vec<(String, String)>) {
        if path.is_dir() {
            let mut paths: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            paths
                .iter()
                .filter(|path| !path.ends_with("tests.rs") && !path.ends_with("tests"))
                .for_each(|path| collect(path, files));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(path).unwrap();
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            files.push((name, text.split("#[cfg(test)]").next().unwrap().to_owned()));
        }
    }
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    found
}

/// The code below `folder`, or of the one file.
fn code(folder: &str) -> String {
    files(folder).into_iter().map(|(_, code)| code).collect()
}

/// Calls on something of the same name that is no client of AWS, or that ask nothing of AWS.
const OTHERS: [&str; 5] = ["clone", "collect", "iter", "recv", "token"];

/// Calls of AWS SDK clients in `code`.
fn aws_calls(code: &str) -> BTreeSet<String> {
    let call = r"(?:client|s3|sfn|dynamodb|lambda|kms|sts|iam|(?:msk|secrets)\((?:[^()]|\([^()]*\))*\))\s*\.\s*([a-z][a-z0-9_]*)\(\)";
    let found = Regex::new(call).unwrap().captures_iter(code).map(|call| call[1].to_owned()).collect::<BTreeSet<_>>();
    found.into_iter().filter(|call| !OTHERS.contains(&call.as_str())).collect()
}

fn needed(calls: &BTreeSet<String>) -> BTreeSet<&'static str> {
    let known: BTreeMap<_, _> = AWS.into_iter().chain(AWS_OF_THE_CLI).collect();
    let actions =
        |call: &String| *known.get(call.as_str()).unwrap_or_else(|| panic!("which IAM actions does {call} need?"));
    calls.iter().flat_map(|call| actions(call).iter().copied()).collect()
}

fn granted(grants: &[Grant]) -> BTreeSet<&'static str> {
    grants.iter().flat_map(|grant| grant.actions.iter().copied()).collect()
}

#[test]
fn every_aws_call_of_the_functions_is_granted_to_those_that_make_it() {
    for function in &FUNCTIONS {
        let needed = needed(&aws_calls(&code(&format!("functions/{}/src", function.name))));
        let granted = granted(function.grants);
        assert!(needed.is_subset(&granted), "{} needs {needed:?} and has {granted:?}", function.name);
    }
}

#[test]
fn whoever_calls_the_webhook_may_read_its_url() {
    for function in &FUNCTIONS {
        let calls = code(&format!("functions/{}/src", function.name)).contains("secrets::webhook(");
        assert_eq!(calls, function.grants.contains(&crate::grant::READ_WEBHOOK), "{}", function.name);
    }
}

#[test]
fn every_aws_call_of_the_shared_crates_is_granted_to_some_role() {
    let needed = needed(&aws_calls(&code("shared")));
    let roles = FUNCTIONS.iter().map(|function| function.grants).chain([Role::Operator.grants()]);
    let granted: BTreeSet<_> = roles.flat_map(granted).collect();
    assert!(needed.len() > 8, "the scan finds calls: {needed:?}");
    assert!(needed.is_subset(&granted), "{:?} are not granted", needed.difference(&granted));
}

#[test]
fn nothing_is_granted_that_nobody_calls() {
    let called: BTreeSet<_> =
        ["shared", "functions"].into_iter().flat_map(|folder| needed(&aws_calls(&code(folder)))).collect();
    // Follow from other calls: of S3 with a key, of PutObject with a retention, and of any for a cluster with a role.
    let implied = ["kms:GenerateDataKey", "kms:Decrypt", "s3:PutObjectRetention", "sts:AssumeRole"];
    for action in FUNCTIONS.iter().flat_map(|function| granted(function.grants)) {
        assert!(called.contains(action) || implied.contains(&action), "nobody calls {action}");
    }
}

#[test]
fn what_the_operators_program_calls_is_granted_to_the_operator() {
    let own = needed(&aws_calls(&code("cli/src")));
    let of_the_policy = [
        "lambda:InvokeFunction",
        "states:StartExecution",
        "states:ListExecutions",
        "states:DescribeExecution",
        "states:StopExecution",
        "ssm:GetParameter",
    ];
    let granted: BTreeSet<_> = granted(Role::Operator.grants()).into_iter().chain(of_the_policy).collect();
    assert!(own.contains("states:StopExecution") && own.is_subset(&granted), "{own:?}");
}

/// What our Kafka client can be asked that needs a permission.
fn methods() -> BTreeSet<String> {
    let method = Regex::new(r"pub async fn ([a-z_]+)").unwrap();
    let client = code("shared/kafka/src");
    // Of the copy's port to it.
    let methods = method.captures_iter(&client).map(|method| method[1].to_owned()).chain(["batch_at".to_owned()]);
    let is_free = |method: &String| KAFKA.iter().any(|(known, actions)| known == method && actions.is_empty());
    methods.filter(|method| !is_free(method)).collect()
}

/// Calls of our Kafka client in the file `path`, with the side they go to.
fn kafka_calls(path: &str, code: &str, methods: &BTreeSet<String>) -> Vec<(&'static str, String)> {
    let call = Regex::new(r"\b(source|target|cluster)\s*\.\s*([a-z_]+)\(").unwrap();
    let mut calls = Vec::new();
    for found in call.captures_iter(code).filter(|found| methods.contains(&found[2])) {
        let sides = match &found[1] {
            "source" => &BOTH[..1],
            "target" => &BOTH[1..],
            _ => {
                let sides = EITHER_SIDE.iter().find(|(file, _)| *file == path);
                sides.unwrap_or_else(|| panic!("which side is the cluster of {path} that is asked {}?", &found[2])).1
            }
        };
        calls.extend(sides.iter().map(|side| (*side, found[2].to_owned())));
    }
    calls
}

/// The `kafka-cluster` actions that the calls of `function` need, with their side and one of the calls.
fn needed_of_kafka(function: &Function) -> BTreeMap<(&'static str, String), String> {
    let actions: BTreeMap<_, _> = KAFKA.into_iter().collect();
    let methods = methods();
    let shared = SHARED.iter().filter(|(_, users)| users.contains(&function.name)).flat_map(|(path, _)| files(path));
    let mut needed = BTreeMap::new();
    for (path, code) in files(&format!("functions/{}/src", function.name)).into_iter().chain(shared) {
        for (side, call) in kafka_calls(&path, &code, &methods) {
            let known =
                actions.get(call.as_str()).unwrap_or_else(|| panic!("which actions does {call} of {path} need?"));
            needed.extend(known.iter().map(|action| ((side, format!("kafka-cluster:{action}")), call.clone())));
        }
    }
    needed
}

#[test]
fn every_kafka_call_is_granted_on_its_side() {
    let mut seen = BTreeSet::new();
    for function in &FUNCTIONS {
        for ((side, action), call) in needed_of_kafka(function) {
            let granted = if side == "source" { function.source } else { function.target };
            assert!(
                granted.actions().any(|granted| granted == action),
                "{} calls {call} of the {side} without {action}",
                function.name
            );
            seen.insert(call);
        }
    }
    assert!(seen.len() >= 12, "the scan finds calls: {seen:?}");
}

#[test]
fn no_action_on_a_cluster_is_granted_that_no_call_needs() {
    for function in &FUNCTIONS {
        let needed = needed_of_kafka(function);
        for (side, granted) in [("source", function.source), ("target", function.target)] {
            // Every call begins with it.
            for action in granted.actions().filter(|action| *action != "kafka-cluster:Connect") {
                let key = (side, action.to_owned());
                assert!(needed.contains_key(&key), "{} has {action} on the {side} and calls nothing", function.name);
            }
        }
    }
}

#[test]
fn every_shared_module_that_asks_a_cluster_has_its_users() {
    let methods = methods();
    for (path, code) in ["shared/topology/src", "shared/copy/src", "shared/runtime/src"].into_iter().flat_map(files) {
        let known = SHARED.iter().any(|(file, _)| *file == path);
        assert!(known || kafka_calls(&path, &code, &methods).is_empty(), "which functions use {path}?");
    }
}

#[test]
fn whoever_signs_in_connects_and_only_the_cutover_writes_to_the_source() {
    for function in &FUNCTIONS {
        let connects = function.network == Network::Brokers;
        assert_eq!(connects, function.source.cluster.contains(&"kafka-cluster:Connect"), "{}", function.name);
        assert_eq!(connects, function.target.cluster.contains(&"kafka-cluster:Connect"), "{}", function.name);
        let changes = ["Write", "Alter", "Create", "Delete"];
        let writes = function.source.actions().any(|action| changes.iter().any(|change| action.contains(change)));
        assert_eq!(writes, function.name == "cutover", "{}", function.name);
        assert!(function.target.transactional_ids.is_empty(), "{}", function.name);
    }
}

#[test]
fn actions_are_about_their_type_of_resource() {
    let kind = |action: &str| match action.trim_start_matches("kafka-cluster:") {
        "Connect" | "WriteDataIdempotently" => 0,
        action if action.contains("Cluster") => 0,
        action if action.ends_with("Group") => 2,
        action if action.ends_with("TransactionalId") => 3,
        _ => 1,
    };
    for operations in FUNCTIONS.iter().flat_map(|function| [function.source, function.target]) {
        let Operations { cluster, topics, groups, transactional_ids } = operations;
        for (number, actions) in [cluster, topics, groups, transactional_ids].into_iter().enumerate() {
            assert!(actions.iter().all(|action| kind(action) == number), "{actions:?}");
        }
    }
}
