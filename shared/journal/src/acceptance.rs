//! Differences that were accepted, so that a validation which finds them can end a migration.

use chrono::{DateTime, Utc};
use migration::report::{Acceptable, CheckName};
use migration::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{Journal, RACE_ATTEMPTS};

/// Acceptances of one run. They share an item, which DynamoDB limits to 400 KB.
const MOST: usize = 100;
/// Longest reason, in characters.
const REASON_CHARS: usize = 500;

/// One acceptance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The check whose findings are accepted.
    pub check: CheckName,
    /// The topic, partition or group; none for all that the check finds.
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// Who accepted.
    pub by: String,
    /// When.
    #[serde(with = "clock::micros")]
    pub at: DateTime<Utc>,
    /// The validation whose report was there to be looked at; none when there had been none.
    pub seen_attempt: Option<u32>,
}

impl Acceptance {
    /// What it is about.
    pub fn what(&self) -> Acceptable {
        Acceptable { check: self.check, subject: self.subject.clone() }
    }
}

/// The acceptances in the table.
#[derive(Default, Serialize, Deserialize)]
struct AcceptancesItem {
    /// Guards the read-modify-write.
    edition: u64,
    acceptances: Vec<Acceptance>,
}

impl AcceptancesItem {
    /// Adds those that are not there yet; says whether there were any. What is there stays: who accepted first is a fact.
    fn add(&mut self, new: &[Acceptance]) -> bool {
        let before = self.acceptances.len();
        for acceptance in new {
            let same = |known: &&Acceptance| {
                (known.what(), &known.reason, &known.by) == (acceptance.what(), &acceptance.reason, &acceptance.by)
            };
            if self.acceptances.iter().find(same).is_none() {
                self.acceptances.push(acceptance.clone());
            }
        }
        self.edition += 1;
        self.acceptances.len() > before
    }
}

impl Journal {
    /// What was accepted, oldest first.
    pub async fn acceptances(&self) -> Result<Vec<Acceptance>> {
        Ok(self.acceptances_item().await?.map(|item| item.acceptances).unwrap_or_default())
    }

    async fn acceptances_item(&self) -> Result<Option<AcceptancesItem>> {
        let item = self.get("read the acceptances", &self.key("acceptances")).await?;
        item.map(|item| self.read(item)).transpose()
    }

    /// Records that `by` accepts `what` for `reason`; `seen_attempt` is the validation whose report was there. Repeating it
    /// changes nothing. Returns everything that was accepted.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) without a reason, or with one of more than 500 characters, and when
    /// the run would have more than 100 acceptances.
    pub async fn accept(
        &self,
        what: &[Acceptable],
        reason: &str,
        by: &str,
        seen_attempt: Option<u32>,
    ) -> Result<Vec<Acceptance>> {
        let reason = reason.trim();
        let chars = reason.chars().count();
        if chars == 0 || chars > REASON_CHARS {
            let message = format!("a reason has 1 to {REASON_CHARS} characters, this one has {chars}");
            return Err(Error::invalid(message).in_run(&self.run));
        }
        for _ in 0..RACE_ATTEMPTS {
            let stored = self.acceptances_item().await?;
            let edition = stored.as_ref().map(|item| item.edition);
            let mut item = stored.unwrap_or_default();
            let at = self.now();
            let acceptance = |what: &Acceptable| Acceptance {
                check: what.check,
                subject: what.subject.clone(),
                reason: reason.to_owned(),
                by: by.to_owned(),
                at,
                seen_attempt,
            };
            if !item.add(&what.iter().map(acceptance).collect::<Vec<_>>()) {
                return Ok(item.acceptances);
            }
            if item.acceptances.len() > MOST {
                return Err(Error::invalid(format_args!(
                    "a migration has at most {MOST} acceptances; accept whole topics or checks"
                ))
                .in_run(&self.run));
            }
            let expected = edition.map(|edition| ("edition", edition));
            if self.put("record what was accepted", self.key("acceptances"), &item, expected).await? {
                tracing::info!(run = %self.run, by, reason, accepted = what.len(), "differences accepted");
                return Ok(item.acceptances);
            }
        }
        Err(self.lost_races("record what was accepted"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_stays_as_it_was_first_recorded() {
        let acceptance = |subject: &str, reason: &str, second| Acceptance {
            check: CheckName::TopicParity,
            subject: Some(subject.to_owned()),
            reason: reason.to_owned(),
            by: "ada".to_owned(),
            at: DateTime::from_timestamp(second, 0).unwrap(),
            seen_attempt: None,
        };
        let mut item = AcceptancesItem::default();
        assert!(item.add(&[acceptance("a", "x", 1), acceptance("b", "x", 1)]));
        assert!(!item.add(&[acceptance("a", "x", 2)]), "a repeat");
        assert!(item.add(&[acceptance("a", "another reason", 3)]));
        let stored: Vec<_> = item.acceptances.iter().map(|known| (known.subject.as_deref(), known.at)).collect();
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        assert_eq!(stored, [(Some("a"), at(1)), (Some("b"), at(1)), (Some("a"), at(3))]);
    }
}
