//! Calls of webhooks, and acknowledgements that came later: who was asked what, and what became of it, in words.

use chrono::{DateTime, Utc};
use migration::Result;
use serde::{Deserialize, Serialize};

use crate::{Journal, RACE_ATTEMPTS};

/// Calls that are kept; older ones are counted.
const KEPT: usize = 100;
/// Longest outcome that is kept, in characters.
const LONGEST: usize = 500;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookCall {
    /// When it was made.
    #[serde(with = "clock::micros")]
    pub at: DateTime<Utc>,
    /// What was asked: `freeze`, `unfreeze`, `switch`; or `acknowledge`, which came from the webhook.
    pub action: String,
    /// What became of it, in words.
    pub outcome: String,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// The calls of a run, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WebhookCalls {
    /// Calls that were made before those and are not kept.
    pub dropped: u64,
    /// The last ones.
    pub calls: Vec<WebhookCall>,
}

/// The calls in the table.
#[derive(Default, Serialize, Deserialize)]
struct WebhooksItem {
    /// Guards the read-modify-write.
    edition: u64,
    dropped: u64,
    calls: Vec<WebhookCall>,
}

impl WebhooksItem {
    fn add(&mut self, call: &WebhookCall) {
        let outcome = call.outcome.chars().take(LONGEST).collect();
        self.calls.push(WebhookCall { outcome, ..call.clone() });
        let surplus = self.calls.len().saturating_sub(KEPT);
        self.calls.drain(..surplus);
        self.dropped += surplus as u64;
        self.edition += 1;
    }
}

impl Journal {
    /// The calls of webhooks so far.
    pub async fn webhook_calls(&self) -> Result<WebhookCalls> {
        let WebhooksItem { dropped, calls, .. } = self.webhooks_item().await?.unwrap_or_default();
        Ok(WebhookCalls { dropped, calls })
    }

    async fn webhooks_item(&self) -> Result<Option<WebhooksItem>> {
        let item = self.get("read the calls of webhooks", &self.key("webhooks")).await?;
        item.map(|item| self.read(item)).transpose()
    }

    /// Remembers a call.
    pub async fn add_webhook_call(&self, call: &WebhookCall) -> Result<()> {
        const ACTION: &str = "record a call of a webhook";
        for _ in 0..RACE_ATTEMPTS {
            let stored = self.webhooks_item().await?;
            let expected = stored.as_ref().map(|item| ("edition", item.edition));
            let mut item = stored.unwrap_or_default();
            item.add(call);
            if self.put(ACTION, self.key("webhooks"), &item, expected).await? {
                return Ok(());
            }
        }
        Err(self.lost_races(ACTION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_the_rest_counted() {
        let mut item = WebhooksItem::default();
        for ms in 0..130 {
            let (at, action) = (DateTime::UNIX_EPOCH, "freeze".to_owned());
            item.add(&WebhookCall { at, action, outcome: "é".repeat(9_999), status: Some(503), ms });
        }
        assert_eq!((item.calls.len(), item.dropped, item.edition), (KEPT, 30, 130));
        assert_eq!((item.calls[0].ms, item.calls[0].outcome.chars().count()), (30, LONGEST));
    }
}
