//! How the migration ends: drain, freeze, and the webhook that freezes.

use serde::{Deserialize, Serialize};

use super::{Span, TopicPattern};

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
    /// Longest time that people or the webhook may take to freeze producers once they are asked.
    pub freeze_reaction_timeout: Span,
    /// Longest outage of producers: from the confirmed freeze to the point of no return. When it passes, producers are let go.
    pub max_producer_freeze: Span,
    /// How long the source's ends have to stand still at least before the point of no return. A producer that ignores the
    /// freeze is found when it writes more often than this, or than the cutover takes.
    pub fence_window: Span,
    /// What else keeps producers from writing to the source.
    pub write_fence: WriteFence,
    /// How it is proven that everything before the freeze was copied.
    pub sentinels: Sentinels,
    /// Topics that get no sentinel under [`Sentinels::Records`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sentinel_exclude: Vec<TopicPattern>,
    /// Consumer groups that are left out, by patterns that match whole ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_groups: Vec<TopicPattern>,
    /// Consumer groups whose offsets are brought over without the metadata that is stored beside them, by patterns that match
    /// whole ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop_metadata_of: Vec<TopicPattern>,
    /// Age from which on a rehearsal is made again before producers are asked to stop.
    pub rehearsal_max_age: Span,
    /// Called with POST to freeze and unfreeze producers. Without it an operator confirms at a terminal. Its URL may carry
    /// credentials anywhere, so the CLI leaves scheme and host of it ([`Cutover::sealed`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer_freeze_webhook: Option<String>,
    /// ARN of the run's own secret with the whole URL of the webhook. Never in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_webhook_arn: Option<String>,
    /// Called with POST when clients are to be switched to the target. Without it an operator confirms. Kept as the freeze
    /// webhook's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_switch_webhook: Option<String>,
    /// ARN of the run's own secret with the whole URL of the client switch webhook. Never in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_client_switch_webhook_arn: Option<String>,
    /// ARN of a secret with the key that calls of the webhooks are signed with (HMAC-SHA256), and that later acknowledgements
    /// have to be signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret_arn: Option<String>,
    /// Replication back to the source after the switch; not available.
    pub reverse_replication_enabled: bool,
}

/// What keeps producers from writing to the source besides the freeze itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteFence {
    /// Nothing: that they stopped is seen at the ends of the source's logs.
    #[default]
    None,
    /// ACLs that deny Write on the wave's topics to everybody.
    Acl,
}

/// How it is proven that everything before the freeze was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sentinels {
    /// By the commit marker of an empty transaction on each partition, which no consumer sees.
    #[default]
    Markers,
    /// By a record on each partition, which consumers see.
    Records,
    /// By the ends of the source's logs alone.
    None,
}

impl Default for Cutover {
    fn default() -> Self {
        Self {
            drain_timeout: Span::from_secs(30 * 60),
            drain_max_partition_lag: 100,
            drain_stable_window: Span::from_secs(30),
            freeze_reaction_timeout: Span::from_secs(10 * 60),
            max_producer_freeze: Span::from_secs(60),
            fence_window: Span::from_secs(0),
            write_fence: WriteFence::default(),
            sentinels: Sentinels::default(),
            sentinel_exclude: Vec::new(),
            skip_groups: Vec::new(),
            drop_metadata_of: Vec::new(),
            rehearsal_max_age: Span::from_secs(15 * 60),
            producer_freeze_webhook: None,
            run_webhook_arn: None,
            client_switch_webhook: None,
            run_client_switch_webhook_arn: None,
            webhook_secret_arn: None,
            reverse_replication_enabled: false,
        }
    }
}

impl Cutover {
    /// Scheme and host of the freeze webhook, which is all of it that is shown.
    pub fn webhook_host(&self) -> Option<String> {
        self.producer_freeze_webhook.as_deref().map(host)
    }

    /// Scheme and host of the client switch webhook, which is all of it that is shown.
    pub fn client_switch_host(&self) -> Option<String> {
        self.client_switch_webhook.as_deref().map(host)
    }

    /// The freeze webhook's URL when it is more than scheme and host, and in no secret yet.
    pub fn open_webhook(&self) -> Option<&str> {
        open(self.producer_freeze_webhook.as_deref(), self.run_webhook_arn.as_deref())
    }

    /// The client switch webhook's URL when it is more than scheme and host, and in no secret yet.
    pub fn open_client_switch_webhook(&self) -> Option<&str> {
        open(self.client_switch_webhook.as_deref(), self.run_client_switch_webhook_arn.as_deref())
    }

    /// The same with scheme and host of the webhooks only. Their URLs are in the secrets `webhook` and `client_switch`, if
    /// there are any.
    #[must_use]
    pub fn sealed(&self, webhook: Option<String>, client_switch: Option<String>) -> Self {
        Self {
            producer_freeze_webhook: self.webhook_host(),
            run_webhook_arn: webhook,
            client_switch_webhook: self.client_switch_host(),
            run_client_switch_webhook_arn: client_switch,
            ..self.clone()
        }
    }

    /// What may be shown to everybody: as [`Cutover::sealed`], with the secrets that there are.
    #[must_use]
    pub fn shown(&self) -> Self {
        self.sealed(self.run_webhook_arn.clone(), self.run_client_switch_webhook_arn.clone())
    }
}

/// `url` when it is more than scheme and host, and not in the secret `arn`.
fn open<'a>(url: Option<&'a str>, arn: Option<&str>) -> Option<&'a str> {
    url.filter(|url| arn.is_none() && *url != host(url))
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
            let both = || Some(url.to_owned());
            let open = Cutover { producer_freeze_webhook: both(), client_switch_webhook: both(), ..Cutover::default() };
            assert_eq!((open.webhook_host().as_deref(), open.open_webhook()), (Some(shown), Some(url)));
            assert_eq!(
                (open.client_switch_host().as_deref(), open.open_client_switch_webhook()),
                (Some(shown), Some(url))
            );
            let sealed = open.sealed(Some("arn".to_owned()), Some("arn2".to_owned()));
            assert_eq!((sealed.producer_freeze_webhook.as_deref(), sealed.open_webhook()), (Some(shown), None));
            assert_eq!(
                (sealed.client_switch_webhook.as_deref(), sealed.open_client_switch_webhook()),
                (Some(shown), None)
            );
            assert_eq!(sealed.shown(), sealed, "with its secrets");
            assert_eq!(open.shown().producer_freeze_webhook.as_deref(), Some(shown));
        }
        let bare = Cutover { producer_freeze_webhook: Some("http://h:80".to_owned()), ..Cutover::default() };
        assert_eq!(bare.open_webhook(), None, "there is nothing to hide");
    }
}
