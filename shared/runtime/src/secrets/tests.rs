use std::sync::Mutex;

use migration::ErrorKind;
use serde_json::json;

use super::*;
use crate::fake::FakeAws;

/// A migration with these ways to sign in.
fn config(source: serde_json::Value, target: serde_json::Value) -> Config {
    let arn = |name| format!("arn:aws:kafka:us-east-1:123456789012:cluster/{name}/abc-1");
    Config::from_json(&json!({
        "source": {"cluster_arn": arn("old"), "auth": source},
        "target": {"cluster_arn": arn("new"), "auth": target},
        "backup": {"s3_bucket": "segments", "s3_prefix": "runs/"},
        "evidence": {"s3_bucket": "evidence", "s3_prefix": "runs/"},
    }))
    .unwrap()
}

/// TLS with a file of `size` bytes to trust, which is gone with what is returned.
fn trusting(size: usize) -> (serde_json::Value, tempfile::NamedTempFile) {
    let file = tempfile::Builder::new().suffix(".pem").tempfile().unwrap();
    std::fs::write(file.path(), vec![b'x'; size]).unwrap();
    (json!({"mode": "tls", "truststore": file.path()}), file)
}

fn auth(fields: serde_json::Value) -> AuthConfig {
    serde_json::from_value(fields).unwrap()
}

fn env(name: &str) -> Option<String> {
    (name == "P").then(|| "hunter2".to_owned())
}

#[test]
fn variables_and_files_are_collected_and_nothing_else() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, b"store").unwrap();
    let full = auth(json!({
        "mode": "mtls", "keystore": file.path(), "keystore_password": "${P}",
        "truststore": "arn:aws:secretsmanager:r:1:secret:t",
    }));
    let secret = RunSecret::collect("source", &full, env).unwrap().unwrap();
    assert_eq!(secret.keystore.as_deref(), Some("c3RvcmU="));
    assert_eq!(secret.keystore_password.as_deref(), Some("hunter2"));
    assert_eq!(secret.truststore, None);
    assert!(!format!("{secret:?}").contains("hunter2"));
    for nothing in [json!({"mode": "iam"}), json!({"mode": "scram-sha-512", "secret_arn": "a"})] {
        assert_eq!(RunSecret::collect("source", &auth(nothing), env), Ok(None));
    }
    let sealed = full.sealed("arn:run".to_owned());
    assert_eq!(RunSecret::collect("source", &sealed, env), Ok(None), "it is sealed already");
}

#[test]
fn a_store_that_no_secret_can_hold_is_refused_with_its_size() {
    let secret = |size| RunSecret { truststore: Some("x".repeat(size)), ..RunSecret::default() };
    assert!(secret(65_000).encoded("source").is_ok());
    let error = secret(65_536).encoded("source").unwrap_err();
    assert!(error.contains("source.auth") && error.contains("65553 bytes"), "{error}");
    assert!(error.contains("leave truststore out"), "it may be Java's cacerts: {error}");
    let key = RunSecret { keystore: Some("x".repeat(65_536)), ..RunSecret::default() };
    let error = key.encoded("source").unwrap_err();
    assert!(error.contains("key store") && !error.contains("truststore"), "{error}");
}

#[test]
fn a_literal_password_is_sealed_like_any_other() {
    let literal = auth(json!({"mode": "scram-sha-512", "username": "u", "password": "hunter2"}));
    let secret = RunSecret::collect("source", &literal, env).unwrap().unwrap();
    assert_eq!(secret.password.as_deref(), Some("hunter2"));
    assert_eq!(literal.sealed("arn:run".to_owned()).password, None);
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let missing = auth(json!({
        "mode": "mtls", "keystore": "/nowhere/k.p12", "keystore_password": "${Q}", "truststore": "/nowhere/t.pem",
    }));
    let problems = RunSecret::collect("target", &missing, env).unwrap_err();
    for part in ["target.auth.keystore_password: the environment variable Q", "/nowhere/k.p12", "/nowhere/t.pem"] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
}

#[tokio::test]
async fn a_side_that_is_too_large_leaves_no_secret_of_the_other_side_behind() {
    let ((small, _small), (large, _large)) = (trusting(100), trusting(60_000));
    let fake = FakeAws::new(|operation, _| panic!("{operation} was asked for"));
    let error = seal(&fake.aws(), &config(small, large), "m1", |_| ()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("target.auth"), "{error}");
}

#[tokio::test]
async fn only_what_was_created_is_told_of_and_a_secret_in_use_is_replaced() {
    let ((source, _a), (target, _b)) = (trusting(100), trusting(100));
    let fake = FakeAws::new(|operation, input| match (operation, input["Name"].as_str()) {
        ("CreateSecret", Some("msk-kraft/m1/source")) => Err(("ResourceExistsException", "there is one")),
        ("CreateSecret", _) => Ok(json!({"ARN": "arn:target"})),
        ("PutSecretValue", _) => Ok(json!({"ARN": "arn:source"})),
        _ => panic!("{operation} was asked for"),
    });
    let created = Mutex::new(Vec::new());
    let config = config(source, target);
    let sealed = seal(&fake.aws(), &config, "m1", |arn| created.lock().unwrap().push(arn.to_owned())).await.unwrap();
    assert_eq!(sealed.run_secrets().collect::<Vec<_>>(), ["arn:source", "arn:target"]);
    assert_eq!(*created.lock().unwrap(), ["arn:target"]);
}

#[tokio::test]
async fn a_name_that_is_being_deleted_is_worth_a_repeat_and_a_refusal_is_not() {
    let (target, _file) = trusting(100);
    let config = config(json!({"mode": "plaintext"}), target);
    let deleting = FakeAws::new(|_, _| {
        Err(("InvalidRequestException", "a secret with this name is already scheduled for deletion."))
    });
    let refusing = FakeAws::new(|_, _| Err(("AccessDeniedException", "no")));
    for (fake, kind) in [(deleting, ErrorKind::Transient), (refusing, ErrorKind::Blocked)] {
        assert_eq!(seal(&fake.aws(), &config, "m1", |_| ()).await.unwrap_err().kind, kind);
        assert_eq!(fake.asked("Name"), [("CreateSecret".to_owned(), "msk-kraft/m1/target".to_owned())]);
    }
}

#[tokio::test]
async fn every_secret_is_tried_when_one_cannot_be_deleted() {
    let fake = FakeAws::new(|_, input| match input["SecretId"].as_str() {
        Some("arn:gone") => Err(("ResourceNotFoundException", "there is none")),
        Some("arn:last") => Ok(json!({})),
        _ => Err(("AccessDeniedException", "no")),
    });
    let error = delete(&fake.aws(), ["arn:first", "arn:second", "arn:gone", "arn:last"]).await.unwrap_err();
    assert!(error.message.contains("arn:first") && error.message.contains("arn:second"), "{error}");
    assert!(!error.message.contains("arn:gone") && !error.message.contains("arn:last"), "{error}");
    assert_eq!(fake.asked("SecretId").len(), 4);
}

#[tokio::test]
async fn a_webhooks_url_is_kept_whole_and_only_its_host_goes_on() {
    const URL: &str = "https://bob:hunter2@example.com/freeze?token=hunter3";
    const SWITCH: &str = "https://bob:hunter2@example.com/switch?token=hunter3";
    let fake = FakeAws::new(|operation, input| match (operation, input["Name"].as_str(), input["SecretId"].as_str()) {
        ("CreateSecret", Some("msk-kraft/m1/webhook"), _) => {
            assert_eq!(input["SecretString"], URL);
            Ok(json!({"ARN": "arn:webhook"}))
        }
        ("CreateSecret", Some("msk-kraft/m1/client-switch-webhook"), _) => {
            assert_eq!(input["SecretString"], SWITCH);
            Ok(json!({"ARN": "arn:switch"}))
        }
        ("GetSecretValue", _, Some("arn:webhook")) => Ok(json!({"SecretString": URL})),
        ("GetSecretValue", _, Some("arn:switch")) => Ok(json!({"SecretString": SWITCH})),
        _ => panic!("{operation} was asked for"),
    });
    let mut config = config(json!({"mode": "plaintext"}), json!({"mode": "plaintext"}));
    config.cutover.producer_freeze_webhook = Some(URL.to_owned());
    config.cutover.client_switch_webhook = Some(SWITCH.to_owned());
    let sealed = seal(&fake.aws(), &config, "m1", |_| ()).await.unwrap();
    assert!(!sealed.to_json().to_string().contains("hunter"), "{}", sealed.to_json());
    assert_eq!(sealed.run_secrets().collect::<Vec<_>>(), ["arn:webhook", "arn:switch"]);
    assert_eq!(seal(&fake.aws(), &sealed, "m1", |_| ()).await.unwrap(), sealed);
    for (which, url) in [(WebhookName::Freeze, URL), (WebhookName::ClientSwitch, SWITCH)] {
        assert_eq!(webhook(&fake.aws(), &sealed.cutover, which).await.unwrap().as_deref(), Some(url));
        let by_hand = webhook(&fake.aws(), &config.cutover, which).await.unwrap();
        assert_eq!(by_hand.as_deref(), Some(url), "started by hand");
    }
}

#[tokio::test]
async fn a_bare_webhook_needs_no_secret_beside_one_that_does() {
    let fake = FakeAws::new(|operation, input| match (operation, input["Name"].as_str()) {
        ("CreateSecret", Some("msk-kraft/m1/client-switch-webhook")) => Ok(json!({"ARN": "arn:switch"})),
        _ => panic!("{operation} was asked for"),
    });
    let mut config = config(json!({"mode": "plaintext"}), json!({"mode": "plaintext"}));
    config.cutover.producer_freeze_webhook = Some("https://example.com".to_owned());
    config.cutover.client_switch_webhook = Some("https://example.com/hunter2".to_owned());
    let sealed = seal(&fake.aws(), &config, "m1", |_| ()).await.unwrap();
    assert_eq!(sealed.cutover.producer_freeze_webhook.as_deref(), Some("https://example.com"));
    assert_eq!(sealed.run_secrets().collect::<Vec<_>>(), ["arn:switch"]);
}

#[tokio::test]
async fn a_key_is_the_secrets_value_and_not_too_short() {
    let fake = FakeAws::new(|_, input| match input["SecretId"].as_str() {
        Some("arn:key") => Ok(json!({"SecretString": "0123456789abcdef"})),
        _ => Ok(json!({"SecretString": "hunter2"})),
    });
    let with = |arn: Option<&str>| Cutover { webhook_secret_arn: arn.map(str::to_owned), ..Cutover::default() };
    assert_eq!(webhook_key(&fake.aws(), &with(None)).await.unwrap(), None);
    assert_eq!(webhook_key(&fake.aws(), &with(Some("arn:key"))).await.unwrap().unwrap(), b"0123456789abcdef");
    let error = webhook_key(&fake.aws(), &with(Some("arn:short"))).await.unwrap_err();
    assert!(error.kind == ErrorKind::Blocked && error.message.contains("7 bytes"), "{error}");
    assert!(!error.message.contains("hunter2"), "{error}");
}
