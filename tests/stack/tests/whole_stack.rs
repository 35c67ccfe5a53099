//! One start of the whole stack, and everything a migration needs from it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::{path::Path, time::Duration};

use aws_credential_types::Credentials;
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};
use stack::{Options, SEGMENTS_BUCKET, Side, Stack};

const NAME: &str = "test-whole-stack";
const INVOKE: &str = "arn:aws:states:::lambda:invoke";
const INSTANCES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn everything_a_migration_needs_is_there() {
    let examples = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples");
    let stack = Stack::start(Options {
        name: NAME.to_owned(),
        discard: true,
        quiet: true,
        functions: vec!["echo".to_owned()],
        bin_dir: examples,
        function_limit: INSTANCES,
        function_timeout: Duration::from_secs(15),
        state_machine: "/nonexistent".into(),
        ..Options::default()
    })
    .await
    .unwrap();

    both_clusters_answer_kafkas_own_tools(&stack).await;
    msk_describes_both_clusters(&stack).await;
    a_broker_comes_back_after_being_killed(&stack).await;
    a_killed_instance_is_retried_while_a_token_and_a_map_are_served(&stack).await;
    one_instance_too_many_is_throttled(&stack).await;
    errors_of_functions_have_their_names(&stack).await;

    stack.stop().await.unwrap();
    let left = common::processes_of(&common::home(NAME));
    assert!(left.is_empty(), "still running: {left:#?}");
}

async fn both_clusters_answer_kafkas_own_tools(stack: &Stack) {
    for side in [Side::Source, Side::Target] {
        let server = stack.cluster(side).bootstrap();
        let topic = ["--bootstrap-server", &server, "--topic", "orders"];
        let create = [topic.as_slice(), &["--create", "--partitions", "3"]].concat();
        stack.kafka_tool(side, "kafka.admin.TopicCommand", &create).await.unwrap();
        let offsets = stack.kafka_tool(side, "GetOffsetShell", &topic).await.unwrap();
        assert_eq!(offsets.lines().collect::<Vec<_>>(), ["orders:0:0", "orders:1:0", "orders:2:0"]);
        assert!(stack.cluster(side).log_dirs()[0].join("orders-0").is_dir());
    }
}

async fn msk_describes_both_clusters(stack: &Stack) {
    let config = aws_sdk_kafka::Config::builder()
        .behavior_version(aws_sdk_kafka::config::BehaviorVersion::latest())
        .region(aws_sdk_kafka::config::Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(stack.endpoint())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let msk = aws_sdk_kafka::Client::from_conf(config);
    for (side, version) in [(Side::Source, "3.9.x"), (Side::Target, "3.9.x.kraft")] {
        let arn = stack.cluster_arn(side);
        let described = msk.describe_cluster_v2().cluster_arn(arn).send().await.unwrap();
        let cluster = described.cluster_info.unwrap();
        assert_eq!(cluster.state.unwrap().as_str(), "ACTIVE");
        let provisioned = cluster.provisioned.unwrap();
        let software = provisioned.current_broker_software_info.unwrap();
        assert_eq!(software.kafka_version.as_deref(), Some(version));
        assert_eq!(provisioned.number_of_broker_nodes, Some(1));
        assert_eq!(provisioned.zookeeper_connect_string.is_some(), side == Side::Source);
        let brokers = msk.get_bootstrap_brokers().cluster_arn(arn).send().await.unwrap();
        assert_eq!(brokers.bootstrap_broker_string, Some(stack.cluster(side).bootstrap()));
        let nodes = msk.list_nodes().cluster_arn(arn).send().await.unwrap();
        assert_eq!(nodes.node_info_list().len(), 1);
    }
    let unknown = stack.cluster_arn(Side::Source).replace("local-zk", "other");
    let error = msk.describe_cluster_v2().cluster_arn(unknown).send().await.unwrap_err().into_service_error();
    assert!(error.is_not_found_exception(), "{error:?}");
}

async fn a_broker_comes_back_after_being_killed(stack: &Stack) {
    let source = stack.cluster(Side::Source);
    source.kill_broker(1).unwrap();
    source.restart_broker(1).await.unwrap();
    let list = ["--bootstrap-server", &source.bootstrap(), "--list"];
    assert!(stack.kafka_tool(Side::Source, "TopicCommand", &list).await.unwrap().contains("orders"));
}

async fn a_killed_instance_is_retried_while_a_token_and_a_map_are_served(stack: &Stack) {
    let dir = tempfile::tempdir().unwrap();
    let manifest: Vec<Value> = (0..5).map(|batch| json!({"batch": batch})).collect();
    let body = serde_json::to_vec(&manifest).unwrap().into();
    let s3 = common::s3(&stack.endpoint());
    s3.put_object().bucket(SEGMENTS_BUCKET).key("m/batches.json").body(body).send().await.unwrap();
    let machine = stack.create_state_machine("whole", &machine(dir.path())).await.unwrap();
    let sfn = sfn(stack);
    let run = sfn.start_execution().state_machine_arn(machine).name("run-1").input("{}").send().await.unwrap();

    let token = until(|| std::fs::read_to_string(dir.path().join("token")).ok().filter(|t| !t.is_empty())).await;
    until(|| dir.path().join("hung").exists().then_some(())).await;
    stack.kill_function_instance("echo").unwrap();
    sfn.send_task_success().task_token(token).output(r#"{"decision":"go"}"#).send().await.unwrap();

    let output = finished(&sfn, &run.execution_arn).await.unwrap();
    assert_eq!(output["branches"][1]["decision"], "go");
    assert_eq!(output["branches"][0]["function"], "echo");
    assert_eq!(output["batches"], json!([0, 1, 2, 3, 4]));
}

/// A killed task beside a token, then a Distributed Map over a manifest.
fn machine(dir: &Path) -> Value {
    let hang = json!({"op": "hang-once", "file": dir.join("hung")});
    let store = json!({"op": "store", "file": dir.join("token"), "text.$": "$$.Task.Token"});
    let task = |event: Value| json!({"FunctionName": "${EchoFunctionArn}", "Payload": event});
    json!({"StartAt": "Both", "States": {
        "Both": {"Type": "Parallel", "ResultPath": "$.branches", "Next": "Batches", "Branches": [
            {"StartAt": "Work", "States": {"Work": {
                "Type": "Task", "Resource": INVOKE, "Parameters": task(hang), "OutputPath": "$.Payload", "End": true,
                "Retry": [{"ErrorEquals": ["Runtime.ExitError"], "IntervalSeconds": 1, "MaxAttempts": 2}],
            }}},
            {"StartAt": "Gate", "States": {"Gate": {
                "Type": "Task", "Resource": format!("{INVOKE}.waitForTaskToken"), "Parameters": task(store),
                "TimeoutSeconds": 60, "End": true,
            }}},
        ]},
        "Batches": {
            "Type": "Map", "MaxConcurrency": 2, "ResultPath": "$.batches", "End": true,
            "ItemReader": {
                "Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"},
                "Parameters": {"Bucket": "${SegmentsBucket}", "Key": "m/batches.json"},
            },
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "One", "States": {"One": {
                    "Type": "Task", "Resource": INVOKE, "End": true,
                    "Parameters": task(json!({"op": "sleep", "ms": 50, "batch.$": "$.batch"})),
                    "OutputPath": "$.Payload.event.batch",
                }},
            },
        },
    }})
}

async fn one_instance_too_many_is_throttled(stack: &Stack) {
    let nap = json!({"Type": "Task", "Resource": INVOKE, "End": true, "Parameters": {
        "FunctionName": "${EchoFunctionArn}", "Payload": {"op": "sleep", "ms": 2000},
    }});
    let branch = json!({"StartAt": "Nap", "States": {"Nap": nap}});
    let branches = vec![branch; INSTANCES + 1];
    let machine = json!({"StartAt": "All", "States": {"All": {"Type": "Parallel", "Branches": branches, "End": true}}});
    assert_eq!(outcome(stack, "throttled", &machine).await.unwrap_err(), "Lambda.TooManyRequestsException");
    let idle = || (stack.busy_instances("echo") == 0).then_some(());
    until(idle).await;
}

async fn errors_of_functions_have_their_names(stack: &Stack) {
    let failing = async |name: &str, event: Value| {
        let machine = json!({"StartAt": "One", "States": {"One": {
            "Type": "Task", "Resource": INVOKE, "End": true,
            "Parameters": {"FunctionName": "${EchoFunctionArn}:live", "Payload": event},
        }}});
        outcome(stack, name, &machine).await.unwrap_err()
    };
    let errors = tokio::join!(
        failing("reported", json!({"op": "fail", "type": "FENCED"})),
        failing("exits", json!({"op": "exit"})),
        failing("sleeps", json!({"op": "sleep", "ms": 3_600_000})),
    );
    assert_eq!(errors, ("FENCED".to_owned(), "Runtime.ExitError".to_owned(), "Sandbox.Timedout".to_owned()));
}

async fn outcome(stack: &Stack, name: &str, machine: &Value) -> Result<Value, String> {
    let arn = stack.create_state_machine(name, machine).await.unwrap();
    let sfn = sfn(stack);
    let run = sfn.start_execution().state_machine_arn(arn).name("run-1").input("{}").send().await.unwrap();
    finished(&sfn, &run.execution_arn).await
}

fn sfn(stack: &Stack) -> aws_sdk_sfn::Client {
    let config = aws_sdk_sfn::Config::builder()
        .behavior_version(aws_sdk_sfn::config::BehaviorVersion::latest())
        .region(aws_sdk_sfn::config::Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(stack.endpoint())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_sfn::Client::from_conf(config)
}

/// The output of an execution, or the name of its error.
async fn finished(sfn: &aws_sdk_sfn::Client, execution: &str) -> Result<Value, String> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let now = sfn.describe_execution().execution_arn(execution).send().await.unwrap();
        match now.status {
            ExecutionStatus::Running => {}
            ExecutionStatus::Succeeded => return Ok(serde_json::from_str(&now.output.unwrap()).unwrap()),
            _ => return Err(now.error.unwrap_or_default()),
        }
        assert!(tokio::time::Instant::now() < deadline, "the execution did not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "nothing happened");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
