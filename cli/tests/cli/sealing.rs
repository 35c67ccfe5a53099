//! Secrets of a run that does not come to be.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use migration::Phase;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::{Bench, credentials};

fn secrets(bench: &Bench) -> aws_sdk_secretsmanager::Client {
    aws_sdk_secretsmanager::Client::from_conf(
        aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(bench.endpoint())
            .credentials_provider(credentials())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build(),
    )
}

/// Names of the stored trust stores.
async fn stored(bench: &Bench) -> Vec<String> {
    let listed = secrets(bench).list_secrets().send().await.unwrap();
    let names = listed.secret_list.unwrap_or_default().into_iter().filter_map(|secret| secret.name);
    names.filter(|name| name.ends_with("/source")).collect()
}

/// A migration that does not exist yet, with a trust store of this machine.
async fn with_trust_store() -> Option<Bench> {
    let bench = Bench::new(Phase::Planned).await?;
    let store = bench.dir().join("authority.pem");
    std::fs::write(&store, "-----BEGIN CERTIFICATE-----").unwrap();
    let auth = format!("{{mode: tls, truststore: {}}}", store.display());
    let text = std::fs::read_to_string(bench.dir().join("m.yaml")).unwrap();
    std::fs::write(bench.dir().join("m.yaml"), text.replacen("{mode: plaintext}", &auth, 1)).unwrap();
    Some(bench)
}

/// In one test: the stand-in's secrets are those of all tests.
#[tokio::test]
async fn no_secret_is_left_when_nothing_comes_of_it() {
    let Some(mut bench) = with_trust_store().await else { return };
    let machine = "arn:aws:states:us-east-1:123456789012:stateMachine:nothing";
    bench.set_env("MSK_KRAFT_STATE_MACHINE_ARN", machine.to_owned());
    bench.answer("report", json!({"findings": []}));
    bench
        .run(&["execute", "--config", "CONFIG", "--migration-id", "never-1"])
        .await
        .exits(1)
        .says("start the execution");
    assert_eq!(stored(&bench).await, Vec::<String>::new());

    // A function that does not answer.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    bench.set_env("AWS_ENDPOINT_URL_LAMBDA", format!("http://{}", silent.local_addr().unwrap()));
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        assert_eq!(interrupted(&bench, signal).await, Some(code), "{signal}");
        assert_eq!(stored(&bench).await, Vec::<String>::new(), "{signal}");
    }
}

/// Starts a precheck, and sends it `signal` once its secret is stored. Returns its exit code.
async fn interrupted(bench: &Bench, signal: &str) -> Option<i32> {
    // Whoever runs the tests may have them ignore the end of a terminal (`nohup`), which children inherit.
    let mut command = Command::new("env");
    command
        .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_msk-kraft"), "precheck", "--config"])
        .arg(bench.dir().join(Path::new("m.yaml")))
        .kill_on_drop(true);
    command.envs(bench.env().iter().map(|(name, value)| (name, value))).stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let asked = async {
        while stored(bench).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked).await.expect("no secret was stored");
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", signal, &pid]).status().await.unwrap().success());
    child.wait().await.unwrap().code()
}
