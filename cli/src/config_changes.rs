//! What differs between the configuration that a migration runs with and the one that was given, where both are of the same
//! migration.

use std::collections::BTreeMap;

use migration::Config;
use migration::config::{AuthConfig, Cutover};
use serde_json::Value;

/// Fields by their path in the file that differ between `stored`, as the journal has it, and `given`, as the operator wrote it.
/// What is kept in secrets of the migration is not compared: credentials, and of a webhook's URL all but scheme and host.
pub(crate) fn differing(stored: &Config, given: &Config) -> Vec<String> {
    let (stored, given) = (fields(&shown(stored)), fields(&shown(given)));
    let names = stored.keys().chain(given.keys().filter(|name| !stored.contains_key(*name)));
    let mut names: Vec<_> = names.filter(|name| stored.get(*name) != given.get(*name)).cloned().collect();
    names.sort();
    names
}

/// What somebody who has changed `fields` should know.
pub(crate) fn line(fields: &[String]) -> String {
    format!(
        "the configuration that was given is not the one the migration runs with: {} differ{}. That counts from the next \
         execution on: an execution that runs keeps what it was started with",
        fields.join(", "),
        if fields.len() == 1 { "s" } else { "" }
    )
}

/// `config` as far as it can be seen.
fn shown(config: &Config) -> Config {
    let mut config = config.clone();
    for side in [&mut config.source, &mut config.target] {
        if side.auth.run_secret_arn.is_some() || side.auth.refers_to_its_machine() {
            side.auth = AuthConfig { run_secret_arn: None, ..side.auth.sealed(String::new()) };
        }
    }
    let host =
        |url: &Option<String>| Cutover { producer_freeze_webhook: url.clone(), ..Cutover::default() }.webhook_host();
    let cutover = &mut config.cutover;
    cutover.producer_freeze_webhook = host(&cutover.producer_freeze_webhook);
    cutover.client_switch_webhook = host(&cutover.client_switch_webhook);
    (cutover.run_webhook_arn, cutover.run_client_switch_webhook_arn) = (None, None);
    config
}

/// Everything that is no mapping, by its path.
fn fields(config: &Config) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    collect(String::new(), config.to_json(), &mut fields);
    fields
}

fn collect(path: String, value: Value, fields: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                collect(path, value, fields);
            }
        }
        Value::Null => {}
        value => drop(fields.insert(path, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::config;
    use migration::config::{AuthMode, SecretRef};

    #[test]
    fn fields_that_differ_are_named() {
        let stored = config();
        assert!(differing(&stored, &stored).is_empty());
        let mut given = stored.clone();
        given.cutover.max_producer_freeze = "5m".parse().unwrap();
        given.cutover.producer_freeze_webhook = Some("https://new.example.com/freeze".to_owned());
        given.validation.count_tolerance = 7;
        let fields = differing(&stored, &given);
        let expected = ["cutover.max_producer_freeze", "cutover.producer_freeze_webhook", "validation.count_tolerance"];
        assert_eq!(fields, expected);
        assert!(line(&fields).contains("cutover.producer_freeze_webhook, validation.count_tolerance differ. That"));
        assert!(line(&fields[..1]).contains("cutover.max_producer_freeze differs. That"));
    }

    #[test]
    fn what_is_in_the_migrations_own_secrets_is_no_difference() {
        let mut given = config();
        given.source.auth = AuthConfig {
            username: Some("alice".to_owned()),
            password: Some(SecretRef::Variable("KAFKA_PASSWORD".to_owned())),
            ..AuthConfig::new(AuthMode::ScramSha512)
        };
        given.cutover.producer_freeze_webhook = Some("https://u:p@example.com/freeze?token=1".to_owned());
        let mut stored = given.clone();
        stored.source.auth = given.source.auth.sealed("arn".to_owned());
        stored.cutover = given.cutover.sealed(Some("arn".to_owned()), None);
        let stored = Config::from_json(&stored.to_json()).unwrap();
        assert_eq!(differing(&stored, &given), Vec::<String>::new());
        given.source.auth = AuthConfig::new(AuthMode::Plaintext);
        assert_eq!(differing(&stored, &given), ["source.auth.mode"]);
    }
}
