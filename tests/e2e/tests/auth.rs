//! Whole migrations between clusters that want to know who signs in: every mode on either side, old and new versions.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use e2e::{Cli, Rehearsal, config};
use serde_json::{Value, json};
use stack::{Certificates, Listener, Options, REGION, SCRAM_PASSWORD, SCRAM_USER, STORE_PASSWORD, Side, Stack};

/// Topics with headers, compression and transactions, that are small.
const TOPICS: [&str; 2] = ["orders", "payments"];

fn options(name: &str, source: &str, target: &str) -> Options {
    Options {
        name: name.to_owned(),
        source_version: source.to_owned(),
        target_version: target.to_owned(),
        auth_listeners: true,
        discard: true,
        quiet: true,
        ..Options::default()
    }
}

/// The lines under `auth:` of one side, indented as in the file.
fn auth(lines: &[String]) -> String {
    lines.iter().map(|line| format!("        {line}\n")).collect::<String>().trim_end().to_owned()
}

fn scram_by_variable(certificates: &Certificates) -> String {
    auth(&[
        "mode: scram-sha-512".to_owned(),
        format!("username: {SCRAM_USER}"),
        "password: ${KAFKA_PASSWORD}".to_owned(),
        format!("truststore: {}", certificates.authority().display()),
    ])
}

fn mtls_pkcs12(certificates: &Certificates) -> String {
    auth(&[
        "mode: mtls".to_owned(),
        format!("keystore: {}", certificates.client_p12().display()),
        "keystore_password: ${STORE_PASSWORD}".to_owned(),
        format!("truststore: {}", certificates.authority_p12().display()),
        "truststore_password: ${STORE_PASSWORD}".to_owned(),
    ])
}

/// The same key in the stores that Java made before version 9.
fn mtls_jks(certificates: &Certificates, dir: &Path) -> String {
    let convert = |from: &Path, name: &str| {
        let to = dir.join(name);
        let mut keytool = Command::new("keytool");
        keytool.args(["-importkeystore", "-noprompt", "-srckeystore"]).arg(from).arg("-destkeystore").arg(&to);
        keytool.args(["-srcstorepass", STORE_PASSWORD, "-deststorepass", STORE_PASSWORD, "-deststoretype", "JKS"]);
        let output = keytool.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        to
    };
    auth(&[
        "mode: mtls".to_owned(),
        format!("keystore: {}", convert(&certificates.client_p12(), "client.jks").display()),
        "keystore_password: ${STORE_PASSWORD}".to_owned(),
        // A trust store of JKS is read without its password.
        format!("truststore: {}", convert(&certificates.authority_p12(), "authority.jks").display()),
    ])
}

async fn scram_by_secret(stack: &Stack) -> String {
    let user = json!({"username": SCRAM_USER, "password": SCRAM_PASSWORD}).to_string();
    let created = secrets(stack).create_secret().name("AmazonMSK_migrator").secret_string(user).send().await.unwrap();
    auth(&[
        "mode: scram-sha-512".to_owned(),
        format!("secret_arn: {}", created.arn.unwrap()),
        format!("truststore: {}", stack.certificates().unwrap().authority().display()),
    ])
}

fn iam(certificates: &Certificates) -> String {
    auth(&["mode: iam".to_owned(), format!("truststore: {}", certificates.authority().display())])
}

fn tls(certificates: &Certificates) -> String {
    auth(&["mode: tls".to_owned(), format!("truststore: {}", certificates.authority().display())])
}

fn secrets(stack: &Stack) -> aws_sdk_secretsmanager::Client {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(Credentials::new("test", "test", None, None, "e2e"))
        .endpoint_url(stack.endpoint())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_secretsmanager::Client::from_conf(config)
}

async fn names_of_secrets(stack: &Stack) -> Vec<String> {
    let listed = secrets(stack).list_secrets().send().await.unwrap();
    let mut names: Vec<_> = listed.secret_list().iter().filter_map(|secret| secret.name.clone()).collect();
    names.sort();
    names
}

/// What the operator's file and secrets hold and nothing else may.
const CREDENTIALS: [&str; 4] = [SCRAM_PASSWORD, STORE_PASSWORD, HOOK_TOKEN, ROTATED];
/// Password and token of the freeze webhook, which takes everybody.
const HOOK_TOKEN: &str = "hook-hunter2";
/// A password that the brokers never learn of.
const ROTATED: &str = "rotated-hunter2";

/// What AWS keeps of runs outside of Secrets Manager, by what it is: inputs and histories of executions, the journal, and
/// the functions' logs.
async fn kept_outside_of_secrets(stack: &Stack) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    let machine = json!({"stateMachineArn": stack.state_machine_arn()});
    let listed = stack.aws_json("AWSStepFunctions.ListExecutions", &machine).await.unwrap();
    for execution in listed["executions"].as_array().unwrap() {
        let arn = execution["executionArn"].as_str().unwrap();
        let described =
            stack.aws_json("AWSStepFunctions.DescribeExecution", &json!({"executionArn": arn})).await.unwrap();
        kept.push((format!("the input of {arn}"), described.to_string()));
        let asked = json!({"executionArn": arn, "includeExecutionData": true});
        let history = all_pages(stack, "AWSStepFunctions.GetExecutionHistory", asked, ("nextToken", "nextToken")).await;
        kept.push((format!("the history of {arn}"), history));
    }
    let tokens = ("LastEvaluatedKey", "ExclusiveStartKey");
    let scan = json!({"TableName": stack::TABLE});
    kept.push(("the journal".to_owned(), all_pages(stack, "DynamoDB_20120810.Scan", scan, tokens).await));
    for entry in std::fs::read_dir(stack.logs()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if stack::FUNCTIONS.iter().any(|function| name.starts_with(function)) {
            kept.push((name, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()));
        }
    }
    kept
}

/// The text of every page of an answer. `tokens` are the names of the next page's token in the answer and in the question.
async fn all_pages(stack: &Stack, target: &str, mut asked: Value, tokens: (&str, &str)) -> String {
    let mut text = String::new();
    loop {
        let page = stack.aws_json(target, &asked).await.unwrap();
        text.push_str(&page.to_string());
        if page[tokens.0].is_null() {
            return text;
        }
        asked[tokens.1] = page[tokens.0].clone();
    }
}

/// Fails where a credential is kept outside of Secrets Manager.
async fn no_credentials_outside_of_secrets(stack: &Stack, id: &str, sealed: usize) {
    let kept = kept_outside_of_secrets(stack).await;
    let of = |what: &str| kept.iter().filter(|(name, _)| name.starts_with(what)).collect::<Vec<_>>();
    // Else there would be nothing to find.
    assert!(of("the input of").iter().all(|(_, text)| text.matches("run_secret_arn").count() >= sealed));
    assert!(of("the history of").iter().any(|(_, text)| text.contains("run_secret_arn")), "histories hold no data");
    assert!(of("the journal")[0].1.contains(id) && !of("gate").is_empty() && !of("cutover").is_empty());
    for (name, text) in &kept {
        let found: Vec<_> = CREDENTIALS.into_iter().filter(|credential| text.contains(credential)).collect();
        assert_eq!(found, Vec::<&str>::new(), "{name}");
    }
}

/// The configuration of the stack with other ways to sign in. MSK's API tells the listener, but for TLS alone.
fn yaml(stack: &Stack, source: &str, target: &str) -> String {
    let plaintext = "      auth:\n        mode: plaintext";
    let side = |side: Side, auth: &str| {
        let servers = match auth.contains("mode: tls") {
            true => format!("      bootstrap_servers: {}\n", stack.cluster(side).bootstrap_of(Listener::Tls).unwrap()),
            false => String::new(),
        };
        format!("{servers}      auth:\n{auth}")
    };
    let webhook = stack.webhook_url();
    let with_credentials = webhook.replacen("://", "://hook:${HOOK_TOKEN}@", 1) + "?token=${HOOK_TOKEN}";
    let yaml = config::yaml(stack).replacen(&webhook, &with_credentials, 1);
    let yaml = yaml.replacen(plaintext, &side(Side::Source, source), 1);
    yaml.replacen(plaintext, &side(Side::Target, target), 1)
}

/// Migrates as `yaml` says and judges the result. `sealed` are the sides for which the run has a secret meanwhile, `kept` the
/// operator's own secrets, which are rotated on the way without the brokers' knowledge. Returns the CLI for asking about it.
async fn migrate(rehearsal: &Rehearsal, id: &str, yaml: &str, sealed: &[&str], kept: &[&str]) -> Cli {
    let path = config::write(&rehearsal.dir, "signed-in.yaml", yaml).unwrap();
    let cli = rehearsal.cli.clone().with(&path, id);
    let cli = cli.with_env("KAFKA_PASSWORD", SCRAM_PASSWORD).with_env("STORE_PASSWORD", STORE_PASSWORD);
    let cli = cli.with_env("HOOK_TOKEN", HOOK_TOKEN);
    rehearsal.java.load_topics(5, "0.1", &TOPICS).await.unwrap();

    cli.ask("precheck", &[]).await.unwrap().ok().unwrap();
    assert_eq!(names_of_secrets(&rehearsal.stack).await, kept, "precheck left a secret behind");
    cli.run("execute", &[]).await.unwrap().ok().unwrap();
    let parts = sealed.iter().chain(&["webhook"]);
    let mut expected: Vec<_> = parts.map(|part| format!("msk-kraft/{id}/{part}")).collect();
    expected.extend(kept.iter().map(|name| (*name).to_owned()));
    expected.sort();
    assert_eq!(names_of_secrets(&rehearsal.stack).await, expected);
    for name in kept {
        let rotated = json!({"username": SCRAM_USER, "password": ROTATED}).to_string();
        secrets(&rehearsal.stack).put_secret_value().secret_id(*name).secret_string(rotated).send().await.unwrap();
    }
    for verb in ["cutover", "cutover-ack", "finalize"] {
        cli.run(verb, &[]).await.unwrap().ok().unwrap();
    }
    assert_eq!(names_of_secrets(&rehearsal.stack).await, kept, "the run's secrets outlive it");

    let (verdict, equal) = rehearsal.java.judge(&[]).await.unwrap();
    assert!(equal, "{verdict:#}");
    let bundle = e2e::evidence::verify(&rehearsal.stack, id, &rehearsal.dir.join("evidence")).await.unwrap();
    assert_eq!(bundle["validation"]["overall"].as_str().unwrap().split('_').next(), Some("PASSED"));
    let text = bundle.to_string();
    assert!(!CREDENTIALS.iter().any(|credential| text.contains(credential)), "the evidence holds a credential");
    assert_eq!(text.matches("run_secret_arn").count(), sealed.len());
    no_credentials_outside_of_secrets(&rehearsal.stack, id, sealed.len()).await;
    cli
}

#[tokio::test(flavor = "multi_thread")]
async fn from_scram_to_client_certificates() {
    let rehearsal = Rehearsal::start(options("e2e-auth-1", "2.8.2", "3.9.1"), "unused").await.unwrap();
    let certificates = rehearsal.stack.certificates().unwrap();
    let yaml = yaml(&rehearsal.stack, &scram_by_variable(certificates), &mtls_pkcs12(certificates));
    migrate(&rehearsal, "scram-to-mtls", &yaml, &["source", "target"], &[]).await;
    rehearsal.stack.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn from_client_certificates_to_scram() {
    let rehearsal = Rehearsal::start(options("e2e-auth-2", "3.9.1", "4.3.1"), "unused").await.unwrap();
    std::fs::create_dir_all(&rehearsal.dir).unwrap();
    let jks = mtls_jks(rehearsal.stack.certificates().unwrap(), &rehearsal.dir);
    let yaml = yaml(&rehearsal.stack, &jks, &scram_by_secret(&rehearsal.stack).await);
    migrate(&rehearsal, "mtls-to-scram", &yaml, &["source", "target"], &["AmazonMSK_migrator"]).await;
    rehearsal.stack.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn from_iam_to_tls() {
    let rehearsal = Rehearsal::start(options("e2e-auth-3", "3.9.1", "4.3.1"), "unused").await.unwrap();
    let certificates = rehearsal.stack.certificates().unwrap();
    let yaml = yaml(&rehearsal.stack, &iam(certificates), &tls(certificates));
    migrate(&rehearsal, "iam-to-tls", &yaml, &["source", "target"], &[]).await;
    rehearsal.stack.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn from_tls_to_iam() {
    let rehearsal = Rehearsal::start(options("e2e-auth-4", "2.8.2", "4.3.1"), "unused").await.unwrap();
    let certificates = rehearsal.stack.certificates().unwrap();
    let yaml = yaml(&rehearsal.stack, &tls(certificates), &iam(certificates));
    let cli = migrate(&rehearsal, "tls-to-iam", &yaml, &["source", "target"], &[]).await;
    the_access_map_says_what_the_acls_say(&cli).await;
    rehearsal.stack.stop().await.unwrap();
}

/// MSK does not apply ACLs to clients that sign in with IAM, so each principal of the source gets policies.
async fn the_access_map_says_what_the_acls_say(cli: &Cli) {
    let map = cli.run("access-map", &[]).await.unwrap().ok().unwrap().json().unwrap();
    let policies = |principal: &str| {
        let principals = map["principals"].as_array().unwrap();
        let access = principals.iter().find(|access| access["principal"] == principal);
        access.unwrap_or_else(|| panic!("nothing for {principal}: {map:#}"))["policies"].to_string()
    };
    let arn = stack::TARGET_ARN.replacen(":cluster/", ":topic/", 1);
    let reads = policies("User:auditor");
    assert!(reads.contains("kafka-cluster:ReadData") && reads.contains(&format!("{arn}/*")), "{reads}");
    let refused = policies("User:intern");
    assert!(refused.contains(r#""Effect":"Deny""#) && refused.contains(&format!("{arn}/orders")), "{refused}");

    let alone = cli.run("access-map", &["--principal", "User:intern"]).await.unwrap().ok().unwrap().json().unwrap();
    assert_eq!(alone["principals"].as_array().unwrap().len(), 1, "{alone:#}");
    let unknown = cli.run("access-map", &["--principal", "User:nobody"]).await.unwrap();
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("no ACL is for User:nobody"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_and_a_rollback_leave_no_secret_behind() {
    let rehearsal = Rehearsal::start(options("e2e-auth-5", "3.9.1", "3.9.1"), "unused").await.unwrap();
    let certificates = rehearsal.stack.certificates().unwrap();
    let yaml = yaml(&rehearsal.stack, &scram_by_variable(certificates), &mtls_pkcs12(certificates));
    let path = config::write(&rehearsal.dir, "signed-in.yaml", &yaml).unwrap();
    rehearsal.java.load_topics(5, "0.1", &TOPICS[..1]).await.unwrap();
    let cli = rehearsal.cli.clone().with(&path, "given-up").with_env("STORE_PASSWORD", STORE_PASSWORD);
    let cli = cli.with_env("HOOK_TOKEN", HOOK_TOKEN);

    let missing = cli.run("execute", &[]).await.unwrap();
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("source.auth.password: the environment variable KAFKA_PASSWORD"), "{missing:?}");
    let refused = cli.clone().with_env("KAFKA_PASSWORD", "hunter2").run("execute", &[]).await.unwrap();
    assert_eq!(refused.code, 1);
    let printed = refused.stdout + &refused.stderr;
    assert!(printed.contains("B09") && printed.contains("refuses SCRAM-SHA-512"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert_eq!(names_of_secrets(&rehearsal.stack).await, Vec::<String>::new());

    let cli = cli.with_env("KAFKA_PASSWORD", SCRAM_PASSWORD);
    cli.run("execute", &[]).await.unwrap().ok().unwrap();
    let parts = ["source", "target", "webhook"].map(|part| format!("msk-kraft/given-up/{part}"));
    assert_eq!(names_of_secrets(&rehearsal.stack).await, parts);
    cli.run("rollback", &["--yes"]).await.unwrap().ok().unwrap();
    assert_eq!(names_of_secrets(&rehearsal.stack).await, Vec::<String>::new());
    rehearsal.stack.stop().await.unwrap();
}
