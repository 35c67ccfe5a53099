//! Where the evidence goes.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use evidence::{Envelope, verify};
use migration::{Error, Result};
use runtime::Store;

/// Name of the newest evidence.
pub(crate) const NEWEST: &str = "evidence.json";

/// The evidence's place, and how long what is put there is kept from being changed.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// The evidence bucket.
    pub(crate) store: Store,
    /// Until when S3 Object Lock keeps it, if it does.
    pub(crate) locked_until: Option<DateTime<Utc>>,
}

impl Shelf {
    /// A shelf whose objects are locked for `retention` from `now` on.
    ///
    /// # Errors
    /// Invalid when the end is beyond what a date can say.
    pub(crate) fn new(store: Store, retention: Option<Duration>, now: DateTime<Utc>) -> Result<Self> {
        let until = |retention: Duration| {
            let length = chrono::Duration::from_std(retention).ok();
            let end = length.and_then(|length| now.checked_add_signed(length));
            end.ok_or_else(|| Error::invalid("evidence.retention ends beyond the calendar"))
        };
        Ok(Self { locked_until: retention.map(until).transpose()?, store })
    }

    /// The evidence that an earlier invocation of validation `attempt` stored: it is not made anew, so that one
    /// validation has one evidence.
    ///
    /// # Errors
    /// Unsafe when it is there and does not verify.
    pub(crate) async fn find(&self, attempt: u32) -> Result<Option<Envelope>> {
        let name = numbered(attempt);
        let Some(object) = self.store.get(&name).await? else { return Ok(None) };
        let bad = |error: &dyn std::fmt::Display| {
            Error::data_unsafe(format_args!(
                "{} does not verify: {error}; find out who changed it",
                self.store.url(&name)
            ))
        };
        verify(&object.body).map_err(|error| bad(&error))?;
        serde_json::from_slice(&object.body).map(Some).map_err(|error| bad(&error))
    }

    /// Stores the evidence of validation `attempt`: under its number, which later ones leave alone, and as the newest,
    /// together with the parts for tools that know nothing of this format. A locked object gets a new version.
    ///
    /// # Errors
    /// Those of the store; Blocked, with the way out, when the bucket cannot lock objects.
    pub(crate) async fn put(&self, envelope: &Envelope, attempt: u32) -> Result<()> {
        let signature = envelope.signature().map_err(|error| Error::internal(error.to_string()))?;
        let evidence = Bytes::from(envelope.to_json()?);
        // The number goes first: once it is there, a repetition stores the same evidence.
        self.put_one(&numbered(attempt), evidence.clone()).await?;
        self.put_one("bundle.json", envelope.bundle_json.clone().into()).await?;
        self.put_one("bundle.sig", Bytes::copy_from_slice(&signature)).await?;
        self.put_one("public_key.pem", envelope.public_key_pem.clone().into()).await?;
        self.put_one(NEWEST, evidence).await
    }

    async fn put_one(&self, name: &str, body: Bytes) -> Result<()> {
        match self.locked_until {
            Some(until) => self.store.put_locked(name, body, until.into()).await,
            None => self.store.put(name, body).await,
        }
    }
}

fn numbered(attempt: u32) -> String {
    format!("evidence-{attempt}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_years_are_seven_years_and_too_many_are_refused() {
        let now = DateTime::from_timestamp(0, 0).unwrap();
        let config =
            aws_sdk_s3::Config::builder().behavior_version(aws_sdk_s3::config::BehaviorVersion::latest()).build();
        let client = aws_sdk_s3::Client::from_conf(config);
        let store = || Store::new(client.clone(), "evidence", "m-1/");
        let shelf = |seconds| Shelf::new(store(), Some(Duration::from_secs(seconds)), now);
        let year = 365 * 86_400;
        assert_eq!(shelf(7 * year).unwrap().locked_until, DateTime::from_timestamp(7 * year as i64, 0));
        assert!(shelf(u64::MAX).is_err() && shelf(1_000_000 * year).is_err());
        assert_eq!(Shelf::new(store(), None, now).unwrap().locked_until, None);
    }
}
