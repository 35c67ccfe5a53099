//! How the migration ends: drain, freeze, and the webhook that freezes.

use serde::{Deserialize, Serialize};

use super::Span;

/// Drain and producer freeze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cutover {
    /// Longest time from the start of the tail to a lag that stays small.
    pub drain_timeout: Span,
    /// Largest lag of a partition that counts as drained, in records.
    pub drain_max_partition_lag: i64,
    /// How long every partition has to stay below it.
    pub drain_stable_window: Span,
    /// Longest time producers are held from the freeze to `READY_FOR_CLIENT_SWITCH`.
    pub max_producer_freeze: Span,
    /// Called with POST to freeze and unfreeze producers. Without it an operator confirms at a terminal. Its URL may carry
    /// credentials anywhere, so the CLI leaves scheme and host of it ([`Cutover::sealed`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer_freeze_webhook: Option<String>,
    /// ARN of the run's own secret with the whole URL of the webhook. Never in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_webhook_arn: Option<String>,
    /// Replication back to the source after the switch; not available.
    pub reverse_replication_enabled: bool,
}

impl Default for Cutover {
    fn default() -> Self {
        Self {
            drain_timeout: Span::from_secs(30 * 60),
            drain_max_partition_lag: 100,
            drain_stable_window: Span::from_secs(30),
            max_producer_freeze: Span::from_secs(60),
            producer_freeze_webhook: None,
            run_webhook_arn: None,
            reverse_replication_enabled: false,
        }
    }
}

impl Cutover {
    /// Scheme and host of the webhook, which is all of it that is shown.
    pub fn webhook_host(&self) -> Option<String> {
        self.producer_freeze_webhook.as_deref().map(host)
    }

    /// The webhook's URL when it is more than scheme and host, and in no secret yet.
    pub fn open_webhook(&self) -> Option<&str> {
        let open = self.producer_freeze_webhook.as_deref().filter(|_| self.run_webhook_arn.is_none());
        open.filter(|url| *url != host(url))
    }

    /// The same without what only `webhook_host` does not show, which is in the secret `arn` if there is one.
    #[must_use]
    pub fn sealed(&self, arn: Option<String>) -> Self {
        Self { producer_freeze_webhook: self.webhook_host(), run_webhook_arn: arn, ..self.clone() }
    }
}

/// Scheme and host of `url`.
fn host(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{}", authority.rsplit('@').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_webhook_scheme_and_host_are_shown() {
        for (url, shown) in [
            ("https://bob:hunter2@example.com:8443/freeze?token=hunter3#hunter4", "https://example.com:8443"),
            ("http://u:p@x@h/a@b", "http://h"),
            ("http://u:p@h?x=/y", "http://h"),
            ("http://[::1]:80/hooks/T0/hunter2", "http://[::1]:80"),
        ] {
            let open = Cutover { producer_freeze_webhook: Some(url.to_owned()), ..Cutover::default() };
            assert_eq!((open.webhook_host().as_deref(), open.open_webhook()), (Some(shown), Some(url)));
            let sealed = open.sealed(Some("arn".to_owned()));
            assert_eq!((sealed.producer_freeze_webhook.as_deref(), sealed.open_webhook()), (Some(shown), None));
        }
        let bare = Cutover { producer_freeze_webhook: Some("http://h:80".to_owned()), ..Cutover::default() };
        assert_eq!(bare.open_webhook(), None, "there is nothing to hide");
    }
}
