use std::collections::BTreeSet;

use serde_json::Value;

use super::super::sample;
use super::*;

/// Characters of a managed policy without white space, at most
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
const MOST_CHARACTERS: usize = 6_144;

fn concrete() -> Value {
    let planning = sample::planning();
    serde_json::to_value(policies(&planning.config, &planning.deployment)).unwrap()
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
        assert_eq!(everything, sid.ends_with("JoinTheNetwork"), "{sid}");
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
    let text = serde_json::to_string(&policies(&config, &planning.deployment)).unwrap();
    for action in ["kms:", "PutObjectRetention", "kafka-cluster:", "GetBootstrapBrokers"] {
        assert!(!text.contains(action), "{action}");
    }
}
