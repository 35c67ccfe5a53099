use std::collections::BTreeSet;

use serde_json::Value;

use super::super::sample;
use super::*;

/// Characters of a managed policy without white space, at most
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
const MOST_CHARACTERS: usize = 6_144;

fn of(config: &Config) -> Value {
    serde_json::to_value(policies("orders-to-kraft", config, &sample::planning().deployment)).unwrap()
}

fn concrete() -> Value {
    let planning = sample::planning();
    of(&planning.config)
}

fn statements(policies: &Value) -> impl Iterator<Item = &Value> {
    policies.as_object().unwrap().values().flat_map(|policy| policy["Statement"].as_array().unwrap())
}

#[test]
fn policies_are_valid() {
    for policies in [concrete(), serde_json::to_value(templated()).unwrap()] {
        assert_eq!(policies.as_object().unwrap().len(), FUNCTIONS.len() + 2);
        let mut sids = BTreeSet::new();
        for statement in statements(&policies) {
            let sid = statement["Sid"].as_str().unwrap();
            assert!(sid.chars().all(|c| c.is_ascii_alphanumeric()) && sids.insert(sid.to_owned()), "{sid}");
            for list in ["Action", "Resource"] {
                assert!(!statement[list].as_array().unwrap().is_empty(), "{sid} has no {list}");
            }
        }
        for (role, policy) in policies.as_object().unwrap() {
            assert_eq!(policy["Version"], "2012-10-17");
            let length = policy.to_string().chars().filter(|c| !c.is_whitespace()).count();
            assert!(length <= MOST_CHARACTERS, "{role}: {length}");
        }
    }
}

#[test]
fn no_statement_is_wider_than_its_purpose() {
    for statement in statements(&concrete()) {
        let sid = statement["Sid"].as_str().unwrap();
        let text =
            |list: &str| statement[list].as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned());
        assert!(text("Action").all(|action| !action.contains('*')), "{sid}");
        let services: BTreeSet<_> = text("Action").map(|action| action.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(services.len(), 1, "{sid} is about one service");
        let everything = text("Resource").any(|resource| resource == "*");
        let knows_none = ["JoinTheNetwork", "LogItsExecutions", "TraceItsExecutions", "FindTheBrokers"]
            .iter()
            .any(|end| sid.ends_with(end));
        assert_eq!(everything, knows_none, "{sid}");
    }
}

#[test]
fn the_template_names_nobody_and_the_concrete_policies_have_no_placeholders() {
    let concrete = concrete().to_string();
    assert!(!concrete.contains('<'), "{concrete}");
    assert!(concrete.contains("arn:aws:kafka:us-east-1:123456789012:topic/orders/0a1b2c3d-1/*"));
    let template = serde_json::to_string(&templated()).unwrap();
    for named in ["orders", "123456789012", "us-east-1"] {
        assert!(!template.contains(named), "{named}");
    }
    assert!(
        template.contains("arn:<PARTITION>:kafka:<SOURCE_REGION>:<SOURCE_ACCOUNT>:topic/<SOURCE_NAME>/<SOURCE_UUID>/*")
    );
}

#[test]
fn what_a_configuration_does_not_need_is_not_granted() {
    let planning = sample::planning();
    let mut config = planning.config;
    config.backup.kms_key_arn = None;
    config.evidence.retention = None;
    config.source.auth.mode = AuthMode::Plaintext;
    config.target.auth.mode = AuthMode::Plaintext;
    config.source.bootstrap_servers = Some("b-1:9092".to_owned());
    config.target.bootstrap_servers = Some("b-1:9092".to_owned());
    let text = of(&config).to_string();
    for action in ["kms:", "secretsmanager", "PutObjectRetention", "kafka-cluster:", "GetBootstrapBrokers"] {
        assert!(!text.contains(action), "{action}");
    }
}

/// Statements of `role` whose name ends with `purpose`.
fn statement(policies: &Value, role: &str, purpose: &str) -> Option<Value> {
    let statements = policies[role]["Statement"].as_array().unwrap();
    statements.iter().find(|statement| statement["Sid"].as_str().unwrap().ends_with(purpose)).cloned()
}

#[test]
fn secrets_of_the_configuration_are_read_with_their_keys_wherever_they_are_named() {
    let secret = |region: &str, name: &str| format!("arn:aws:secretsmanager:{region}:123456789012:secret:{name}");
    let (user, key, trust) =
        (secret("us-east-1", "AmazonMSK_u-1"), secret("eu-west-1", "key-1"), secret("eu-west-1", "trust-1"));
    let mut config = sample::planning().config;
    config.source.auth = serde_json::from_value(json!({"mode": "scram-sha-512", "secret_arn": user})).unwrap();
    let stores = json!({"mode": "mtls", "keystore": key, "keystore_password": "${P}", "truststore": trust});
    config.target.auth = serde_json::from_value(stores).unwrap();
    let policies = of(&config);
    for function in FUNCTIONS.iter().filter(|function| function.network == Network::Brokers) {
        let read = statement(&policies, function.name, "ReadTheSecrets").unwrap();
        let own = "arn:aws:secretsmanager:us-east-1:123456789012:secret:msk-kraft/orders-to-kraft/*";
        assert_eq!(read["Resource"], json!([own, key, trust, user]), "{}", function.name);
        let decrypt = statement(&policies, function.name, "DecryptTheSecrets").unwrap();
        assert_eq!(
            decrypt["Resource"],
            json!(["arn:aws:kms:eu-west-1:123456789012:key/*", "arn:aws:kms:us-east-1:123456789012:key/*"])
        );
        let services = ["secretsmanager.eu-west-1.amazonaws.com", "secretsmanager.us-east-1.amazonaws.com"];
        let only = json!({"kms:ViaService": services, "kms:EncryptionContext:SecretARN": [key, trust, user]});
        assert_eq!(decrypt["Condition"], json!({"StringEquals": only}));
    }
}

#[test]
fn a_role_reaches_the_secrets_of_its_own_migration_and_of_questions_only() {
    let mut config = sample::planning().config;
    let named = json!({"mode": "scram-sha-512", "username": "u", "password": "${P}"});
    config.source.auth = serde_json::from_value(named).unwrap();
    let policies = of(&config);
    let secrets = |role: &str, purpose: &str| {
        let statement = statement(&policies, role, purpose)?;
        let resource = statement["Resource"][0].as_str()?.to_owned();
        Some(resource.split_once(":secret:")?.1.to_owned())
    };
    let (run, question) = ("msk-kraft/orders-to-kraft/*".to_owned(), "msk-kraft/question-*/*".to_owned());
    assert_eq!(secrets("seed-partition", "ReadTheSecrets"), Some(run.clone()));
    assert_eq!(secrets("seed-partition", "SecretsOfAQuestion"), None);
    assert_eq!(secrets("precheck", "ReadTheSecretsOfAQuestion"), Some(question.clone()));
    assert_eq!(secrets(Role::Operator.name(), "StoreTheSecretsOfARun"), Some(run.clone()));
    assert_eq!(secrets(Role::Operator.name(), "ForgetTheSecretsOfAQuestion"), Some(question));
    assert_eq!(secrets("evidence", "ForgetTheSecretsOfARun"), Some(run));
    assert_eq!(secrets("gate", "ReadTheWebhook"), None);
    // The default key of Secrets Manager needs no permission.
    assert_eq!(statement(&policies, "seed-partition", "DecryptTheSecrets"), None);
}

#[test]
fn a_cluster_with_a_role_is_left_to_the_role() {
    let role = "arn:aws:iam::210987654321:role/msk-kraft-source";
    let mut config = sample::planning().config;
    config.source.role_arn = Some(role.to_owned());
    let policies = of(&config);
    for function in ["seed-partition", "cutover", "evidence"] {
        let assume = statement(&policies, function, "AssumeTheRolesOfClusters").unwrap();
        assert_eq!(assume["Resource"], json!([role]), "{function}");
        assert_eq!(statement(&policies, function, "SignInToTheSource"), None, "{function}");
        assert!(!policies[function].to_string().contains(":cluster/orders/"), "{function}");
    }
    assert!(statement(&policies, "seed-partition", "SignInToTheTarget").is_some());
    config.source.role_arn = None;
    assert_eq!(statement(&of(&config), "seed-partition", "AssumeTheRolesOfClusters"), None);
}

#[test]
fn the_evidence_alone_reads_the_key_that_signs() {
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:evidence-key-AbCdEf";
    let mut config = sample::planning().config;
    config.evidence.signing_key_arn = Some(arn.to_owned());
    let policies = of(&config);
    assert_eq!(statement(&policies, "evidence", "ReadTheSigningKey").unwrap()["Resource"], json!([arn]));
    let decrypt = statement(&policies, "evidence", "DecryptTheSigningKey").unwrap();
    assert_eq!(decrypt["Condition"]["StringEquals"]["kms:EncryptionContext:SecretARN"], json!([arn]));
    for role in policies.as_object().unwrap().keys().filter(|role| *role != "evidence") {
        assert!(!policies[role].to_string().contains("evidence-key"), "{role}");
    }
}

#[test]
fn the_gate_joins_the_network_for_a_webhook_only() {
    let mut config = sample::planning().config;
    config.cutover.producer_freeze_webhook = None;
    assert_eq!(statement(&of(&config), "gate", "JoinTheNetwork"), None);
    config.cutover.producer_freeze_webhook = Some("http://deploy.internal/freeze".to_owned());
    assert!(statement(&of(&config), "gate", "JoinTheNetwork").is_some());
}

#[test]
fn the_gate_joins_the_network_and_finds_the_brokers_for_either_webhook() {
    let mut config = sample::planning().config;
    config.cutover.producer_freeze_webhook = None;
    config.cutover.client_switch_webhook = Some("http://deploy.internal/switch".to_owned());
    let policies = of(&config);
    assert!(statement(&policies, "gate", "JoinTheNetwork").is_some());
    let read = statement(&policies, "gate", "ReadTheWebhook").unwrap();
    let arn =
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:msk-kraft/orders-to-kraft/client-switch-webhook-??????";
    assert_eq!(read["Resource"], json!([arn]));
}

#[test]
fn the_gate_reaches_the_source_and_its_secrets_under_a_write_fence_only() {
    let arn = |name: &str| format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:AmazonMSK_{name}");
    let scram = |name: &str| {
        let auth = json!({"mode": "scram-sha-512", "secret_arn": arn(name)});
        serde_json::from_value::<migration::config::AuthConfig>(auth).unwrap()
    };
    let mut config = sample::planning().config;
    (config.source.auth, config.target.auth) = (scram("source"), scram("target"));
    config.cutover.producer_freeze_webhook = None;
    for purpose in ["JoinTheNetwork", "ReadTheSecretsOfTheSource", "DecryptTheSecretsOfTheSource", "FindTheBrokers"] {
        assert_eq!(statement(&of(&config), "gate", purpose), None, "{purpose}");
    }
    config.cutover.write_fence = WriteFence::Acl;
    for webhook in [None, Some("http://deploy.internal/freeze".to_owned())] {
        config.cutover.producer_freeze_webhook = webhook;
        let policies = of(&config);
        assert!(statement(&policies, "gate", "JoinTheNetwork").is_some());
        let read = statement(&policies, "gate", "ReadTheSecretsOfTheSource").unwrap();
        assert_eq!(read["Resource"], json!([arn("source")]));
        assert!(statement(&policies, "gate", "DecryptTheSecretsOfTheSource").is_some());
        assert!(!policies["gate"].to_string().contains("AmazonMSK_target"));
    }
}

#[test]
fn the_gate_alone_answers_task_tokens_and_the_operator_asks_it() {
    let policies = of(&sample::planning().config);
    for (role, policy) in policies.as_object().unwrap() {
        let answers = policy.to_string().contains("states:SendTask");
        assert_eq!(answers, role == "gate", "{role}");
    }
    let asked = statement(&policies, Role::Operator.name(), "AskTheFunctions").unwrap();
    let asked = asked["Resource"].to_string();
    assert!(asked.contains(":function:") && asked.contains("gate"), "{asked}");
    assert_eq!(
        statement(&policies, Role::Operator.name(), "SetTheThrottle").unwrap()["Action"],
        json!(["dynamodb:UpdateItem"])
    );
    assert_eq!(statement(&policies, Role::Operator.name(), "WriteTheJournal"), None);
    let read = statement(&policies, "gate", "ReadTheBackup").unwrap();
    assert_eq!(read["Action"], json!(["s3:GetObject"]), "rehearsals");
}

#[test]
fn the_gate_alone_reads_the_key_that_webhooks_are_signed_with() {
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:hook-key-AbCdEf";
    let mut config = sample::planning().config;
    config.cutover.webhook_secret_arn = Some(arn.to_owned());
    let policies = of(&config);
    let read = statement(&policies, "gate", "ReadTheWebhookKey").unwrap();
    assert_eq!(read["Resource"], json!([arn]));
    let decrypt = statement(&policies, "gate", "DecryptTheWebhookKey").unwrap();
    assert_eq!(decrypt["Condition"]["StringEquals"]["kms:EncryptionContext:SecretARN"], json!([arn]));
    for role in policies.as_object().unwrap().keys().filter(|role| *role != "gate") {
        assert!(!policies[role].to_string().contains("hook-key"), "{role}");
    }
    config.cutover.webhook_secret_arn = None;
    assert_eq!(statement(&of(&config), "gate", "ReadTheWebhookKey"), None);
}

#[test]
fn the_operator_copies_the_evidence_as_the_runbook_says() {
    let policies = of(&sample::planning().config);
    for (purpose, action) in [("ReachTheEvidenceBucket", "s3:ListBucket"), ("ReadTheEvidence", "s3:GetObject")] {
        assert_eq!(statement(&policies, Role::Operator.name(), purpose).unwrap()["Action"], json!([action]));
    }
}

#[test]
fn the_gate_alone_reads_the_webhooks_url() {
    let mut config = sample::planning().config;
    config.source.auth.mode = AuthMode::Plaintext;
    config.target.auth.mode = AuthMode::Plaintext;
    config.cutover.producer_freeze_webhook = Some("https://deploy.example.com/freeze".to_owned());
    let policies = of(&config);
    let read = statement(&policies, "gate", "ReadTheWebhook").unwrap();
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:msk-kraft/orders-to-kraft/webhook-??????";
    assert_eq!(read["Resource"], json!([arn]));
    assert_eq!(statement(&policies, "tail-batch", "ReadTheSecrets"), None);
    for role in ["gate", "evidence", Role::Operator.name()] {
        assert!(statement(&policies, role, "ForgetTheSecretsOfARun").is_some(), "{role}");
    }
    assert!(statement(&policies, Role::Operator.name(), "StoreTheSecretsOfARun").is_some());
}
