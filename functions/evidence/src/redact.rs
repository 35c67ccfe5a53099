//! The configuration without what could be a secret.

use migration::Config;
use serde_json::Value;

/// The JSON form of `config` for people outside the team. Passwords are in secrets, of which it
/// holds ARNs ([`migration::config::AuthConfig::sealed`]); of webhooks' URLs, which may carry credentials anywhere, scheme
/// and host stay, also where it was never sealed.
pub(crate) fn config(config: &Config) -> Value {
    let mut config = config.clone();
    config.cutover = config.cutover.shown();
    config.to_json()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const CONFIG: &str = "
enterprise:
  msk_kraft_migration:
    source:
      cluster_arn: arn:aws:kafka:us-east-1:123456789012:cluster/old/abc-1
      auth: {mode: plaintext}
    target:
      cluster_arn: arn:aws:kafka:us-east-1:123456789012:cluster/new/def-2
      auth: {mode: scram-sha-512, username: alice, password: '${KAFKA_PASSWORD}'}
    backup: {s3_bucket: segments, s3_prefix: zk-to-kraft/}
    evidence: {s3_bucket: evidence, s3_prefix: runs/, retention: 7y}
    cutover:
      producer_freeze_webhook: 'https://bob:hunter2@example.com/freeze?token=hunter3#hunter4'
      client_switch_webhook: 'https://bob:hunter2@switch.example.com/freeze?token=hunter3#hunter4'
";

    #[test]
    fn no_secret_gets_through() {
        let text = config(&Config::from_yaml(CONFIG, |_| Some("hunter1".to_owned())).unwrap()).to_string();
        assert!(text.contains("${KAFKA_PASSWORD}") && text.contains("https://example.com"), "{text}");
        assert!(text.contains("https://switch.example.com"), "{text}");
        for secret in ["hunter", "bob", "token", "freeze?"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}
