//! Whole migrations by the app that the CDK deploys, into a stand-in for AWS that enforces IAM: the operator and each function
//! have their own role, and nothing more than it says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use e2e::deployment::finish;
use e2e::rights::{self, removal, simulated, usage};
use e2e::{Deployment, Live, SignIn, live, rehearsal};
use serde_json::{Value, json};
use stack::{DEPLOYMENT, Notices, Options};

/// How long a notice may be under way.
const PATIENCE: Duration = Duration::from_secs(60);

fn options(name: &str) -> Options {
    Options { name: name.to_owned(), discard: true, quiet: true, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deployed_app_migrates_under_its_own_roles() {
    let deployment = Deployment::start(options("e2e-deployed")).await.unwrap();
    let notices = deployment.stack.notices().await.unwrap();
    with_live_clients(&deployment).await;
    with_credentials(&deployment).await;
    begun_again_and_given_up(&deployment).await;
    rights_are_what_is_used(&deployment).await;
    a_missing_right_is_named(&deployment).await;
    people_are_told(&deployment, &notices).await;
    upgraded_with_a_migration_in_flight(&deployment).await;
    uninstalled_with_the_evidence_kept(&deployment).await;
    deployment.stack.stop().await.unwrap();
}

async fn with_live_clients(deployment: &Deployment) {
    let topics: Vec<_> = live::TOPICS.split(',').collect();
    deployment.java.load_topics(5, "0.1", &topics).await.unwrap();
    let cli = deployment.operator("live", None, SignIn::Plaintext).unwrap();
    let live = Live::start(&deployment.stack, &deployment.java).await.unwrap();
    for verb in ["plan", "precheck"] {
        cli.ask(verb, &[]).await.unwrap().ok().unwrap();
    }
    cli.run("execute", &[]).await.unwrap().ok().unwrap();
    rehearsal::cut_over(&cli, &live).await.unwrap();
    let logs = live.dir().to_owned();
    live.finish().await.unwrap();
    let ignored = ["--live-on-target", "--ignore-groups", live::GROUP];
    let (verdict, equal) = deployment.java.judge(&ignored).await.unwrap();
    assert!(equal, "{verdict:#}");
    let (account, complete) = deployment.java.check_live(&logs).await.unwrap();
    assert!(complete, "{account:#}");
    let bundle = deployment.evidence("live").await.unwrap();
    assert_eq!(bundle["validation"]["overall"].as_str().unwrap().split('_').next(), Some("PASSED"));
}

async fn with_credentials(deployment: &Deployment) {
    deployment.fill("scram", 2, 20).await.unwrap();
    let cli = deployment.operator("scram", Some("scram"), SignIn::Scram).unwrap();
    for verb in ["plan", "precheck"] {
        cli.ask(verb, &[]).await.unwrap().ok().unwrap();
    }
    cli.run("execute", &[]).await.unwrap().ok().unwrap();
    finish(&cli).await.unwrap();
    deployment.arrived("scram").await.unwrap();
    deployment.evidence("scram").await.unwrap();
}

/// The verbs that a migration which goes well has no use for.
async fn begun_again_and_given_up(deployment: &Deployment) {
    deployment.fill("given-up", 1, 5).await.unwrap();
    let cli = deployment.operator("given-up", Some("given-up"), SignIn::Scram).unwrap();
    cli.run("execute", &[]).await.unwrap().ok().unwrap();
    cli.run("throttle", &["--bytes-per-second", "100MB"]).await.unwrap().ok().unwrap();
    cli.run("execute", &["--force-restart", "--yes"]).await.unwrap().ok().unwrap();
    cli.run("rollback", &["--yes"]).await.unwrap().ok().unwrap();
}

/// What the migrations before used, and all that they used, is granted.
async fn rights_are_what_is_used(deployment: &Deployment) {
    let granted = rights::statements(deployment).await.unwrap();
    let decisions = deployment.stack.decisions().since(0).unwrap();
    let findings = usage::compare(&deployment.stack, &granted, &decisions);
    assert!(findings.none(), "{findings:#?}");
    assert_eq!(simulated::wrong(deployment).await.unwrap(), Vec::<String>::new());
}

/// A few of the statements; `make test-rights` takes each.
const SAMPLE: [&str; 3] = ["OperatorAskTheFunctions", "SeedPartitionWriteTheBackup", "GateReadTheWebhook"];

async fn a_missing_right_is_named(deployment: &Deployment) {
    let granted = rights::statements(deployment).await.unwrap();
    for (number, sid) in SAMPLE.into_iter().enumerate() {
        let statement = granted.iter().find(|statement| statement.sid == sid).unwrap();
        let id = format!("without-{number}");
        removal::migrate_without(deployment, statement, &id).await.unwrap();
    }
}

/// What is under way ends well on the versions that it began with, and what begins later has the newer ones.
async fn upgraded_with_a_migration_in_flight(deployment: &Deployment) {
    let operator = async |id: &str| {
        deployment.fill(id, 2, 20).await.unwrap();
        let cli = deployment.operator(id, Some(id), SignIn::Scram).unwrap();
        cli.run("execute", &[]).await.unwrap().ok().unwrap();
        cli
    };
    let before = operator("before").await;
    deployment.stack.upgrade("environment:\n  TRIED: an upgrade").await.unwrap();
    let upgraded = deployment.stack.invocations().mark().unwrap();
    finish(&before).await.unwrap();
    let after = operator("after").await;
    finish(&after).await.unwrap();
    for (id, version) in [("before", "1"), ("after", "2")] {
        deployment.arrived(id).await.unwrap();
        let invoked = deployment.stack.invocations().since(upgraded).unwrap();
        let invoked: Vec<_> = invoked.iter().filter(|call| call.execution == format!("{id}-1")).collect();
        for name in ["tail-batch", "cutover", "validate", "evidence", "gate"] {
            let function = format!("{DEPLOYMENT}-{name}");
            assert!(invoked.iter().any(|call| call.function == function), "{id} did not call {name}: {invoked:#?}");
        }
        assert!(invoked.iter().all(|call| call.version == version), "{id} called others than {version}: {invoked:#?}");
    }
}

async fn uninstalled_with_the_evidence_kept(deployment: &Deployment) {
    let kept = deployment.evidence("live").await.unwrap();
    deployment.stack.uninstall().await.unwrap();
    assert_eq!(deployment.evidence("live").await.unwrap(), kept);
    let table = json!({"TableName": deployment.stack.found("table").unwrap()});
    let table = deployment.stack.root().json("dynamodb", "DynamoDB_20120810.DescribeTable", &table).await.unwrap();
    assert_eq!(table["Table"]["TableStatus"], "ACTIVE");
}

/// The deployment's topic tells of executions, and of an alarm: its metric is put by hand, since the stand-in reads none out of
/// the functions' logs.
async fn people_are_told(deployment: &Deployment, notices: &Notices) {
    let root = deployment.stack.root();
    let call = async |action: &str, body: Value| {
        root.json("monitoring", &format!("GraniteServiceVersion20100801.{action}"), &body).await.unwrap()
    };
    let name = format!("{DEPLOYMENT}-partition-stopped");
    let described = call("DescribeAlarms", json!({"AlarmNames": [name]})).await;
    let alarm = &described["MetricAlarms"][0];
    assert!(alarm["StateValue"].is_string() && alarm["StateValue"] != "ALARM", "{described:#}");
    let (metric, dimensions) = (&alarm["MetricName"], &alarm["Dimensions"]);
    let data = json!([{"MetricName": metric, "Dimensions": dimensions, "Value": 1}]);
    call("PutMetricData", json!({"Namespace": alarm["Namespace"], "MetricData": data})).await;
    let mut told = Vec::new();
    let until = Instant::now() + PATIENCE;
    let missing = |told: &[String]| {
        let parts = ["execution live-1 is SUCCEEDED".to_owned(), format!("ALARM: \"{name}\"")];
        parts.into_iter().find(|part| !told.iter().any(|notice| notice.contains(part)))
    };
    while let Some(part) = missing(&told) {
        assert!(Instant::now() < until, "nobody was told {part}: {told:#?}");
        told.extend(notices.new_ones().await.unwrap());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
