//! The configuration without what could be a secret.

use migration::Config;
use serde_json::Value;

/// The JSON form of `config` for people outside the team. Passwords are in secrets, of which it
/// holds ARNs ([`migration::config::AuthConfig::sealed`]); a webhook's URL may carry credentials as user or query, so only scheme, host and
/// path stay.
pub(crate) fn config(config: &Config) -> Value {
    let mut config = config.clone();
    if let Some(url) = &mut config.cutover.producer_freeze_webhook {
        *url = bare_url(url);
    }
    config.to_json()
}

fn bare_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return String::new() };
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let host = authority.rsplit('@').next().unwrap_or_default();
    path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
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
    cutover: {producer_freeze_webhook: 'https://bob:hunter2@example.com/freeze?token=hunter3#hunter4'}
";

    #[test]
    fn no_secret_gets_through() {
        let text = config(&Config::from_yaml(CONFIG, |_| Some("hunter1".to_owned())).unwrap()).to_string();
        assert!(text.contains("${KAFKA_PASSWORD}") && text.contains("https://example.com/freeze"), "{text}");
        for secret in ["hunter", "bob", "token"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }

    #[test]
    fn urls_keep_scheme_host_and_path() {
        assert_eq!(bare_url("http://h:8080/a/b@c?x"), "http://h:8080/a/b@c");
        assert_eq!(bare_url("http://u:p@h"), "http://h");
        assert_eq!(bare_url("http://u:p@x@h/"), "http://h/");
        assert_eq!(bare_url("http://u:p@h?x=/y"), "http://h");
    }
}
