//! Whole migrations between clusters that want to know who signs in: every mode on either side, old and new versions.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use e2e::{Cli, Rehearsal, config};
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
    let user = serde_json::json!({"username": SCRAM_USER, "password": SCRAM_PASSWORD}).to_string();
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
    let yaml = config::yaml(stack).replacen(plaintext, &side(Side::Source, source), 1);
    yaml.replacen(plaintext, &side(Side::Target, target), 1)
}

/// Migrates as `yaml` says and judges the result. `sealed` are the sides for which the run has a secret meanwhile.
/// Returns the CLI for asking about it.
async fn migrate(rehearsal: &Rehearsal, id: &str, yaml: &str, sealed: &[&str], kept: &[&str]) -> Cli {
    let path = config::write(&rehearsal.dir, "signed-in.yaml", yaml).unwrap();
    let cli = rehearsal.cli.clone().with(&path, id);
    let cli = cli.with_env("KAFKA_PASSWORD", SCRAM_PASSWORD).with_env("STORE_PASSWORD", STORE_PASSWORD);
    rehearsal.java.load_topics(5, "0.1", &TOPICS).await.unwrap();

    cli.ask("precheck", &[]).await.unwrap().ok().unwrap();
    assert_eq!(names_of_secrets(&rehearsal.stack).await, kept, "precheck left a secret behind");
    cli.run("execute", &[]).await.unwrap().ok().unwrap();
    let mut expected: Vec<_> = sealed.iter().map(|side| format!("msk-kraft/{id}/{side}")).collect();
    expected.extend(kept.iter().map(|name| (*name).to_owned()));
    expected.sort();
    assert_eq!(names_of_secrets(&rehearsal.stack).await, expected);
    for verb in ["cutover", "cutover-ack", "finalize"] {
        cli.run(verb, &[]).await.unwrap().ok().unwrap();
    }
    assert_eq!(names_of_secrets(&rehearsal.stack).await, kept, "the run's secrets outlive it");

    let (verdict, equal) = rehearsal.java.judge(&[]).await.unwrap();
    assert!(equal, "{verdict:#}");
    let bundle = e2e::evidence::verify(&rehearsal.stack, id, &rehearsal.dir.join("evidence")).await.unwrap();
    assert_eq!(bundle["validation"]["overall"].as_str().unwrap().split('_').next(), Some("PASSED"));
    let text = bundle.to_string();
    assert!(!text.contains(SCRAM_PASSWORD) && !text.contains(STORE_PASSWORD), "the evidence holds a password");
    assert_eq!(text.matches("run_secret_arn").count(), sealed.len());
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
    assert_eq!(names_of_secrets(&rehearsal.stack).await, ["msk-kraft/given-up/source", "msk-kraft/given-up/target"]);
    cli.run("rollback", &["--yes"]).await.unwrap().ok().unwrap();
    assert_eq!(names_of_secrets(&rehearsal.stack).await, Vec::<String>::new());
    rehearsal.stack.stop().await.unwrap();
}
