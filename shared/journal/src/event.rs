//! Transitions as they are recorded, exported and printed.

use std::fmt;

use chrono::{DateTime, Utc};
use clock::timestamp;
use migration::{Phase, Result};
use serde::{Deserialize, Serialize};

use crate::Journal;

/// One recorded transition. Serialised it is a line of `journal.jsonl`; displayed it is a line for people:
/// `2026-04-25T06:15:07.512121Z topology_copy -> seed`, followed by the reason when there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the run's history, from 1 and without gaps; equal to the run's version after the transition.
    #[serde(skip_serializing, default)]
    pub number: u64,
    /// The phase that was left; none when the run was created.
    pub from: Option<Phase>,
    /// The phase that was entered.
    pub to: Phase,
    /// When, in whole microseconds.
    #[serde(with = "clock::micros")]
    pub at: DateTime<Utc>,
    /// Why, with the numbers that belong to it; may be empty.
    pub reason: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.map_or("null", Phase::name);
        write!(f, "{} {from} -> {}", timestamp(self.at), self.to)?;
        if self.reason.is_empty() {
            return Ok(());
        }
        // An error's message may span lines, an event may not.
        write!(f, " {}", self.reason.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl Journal {
    /// Every transition of the run, oldest first. Empty when the run does not exist.
    pub async fn events(&self) -> Result<Vec<Event>> {
        let items = self.query("read the run's events", &self.run_pk(), "event#").await?;
        items.into_iter().map(|item| self.read(item)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str) -> Event {
        let at = "2026-04-25T06:15:07.512121Z".parse().unwrap();
        Event { number: 4, from: Some(Phase::TopologyCopy), to: Phase::Seed, at, reason: reason.into() }
    }

    #[test]
    fn an_event_prints_as_one_line() {
        assert_eq!(event("").to_string(), "2026-04-25T06:15:07.512121Z topology_copy -> seed");
        let created = Event { from: None, to: Phase::Planned, ..event("planned | resume_fp=c27b") };
        assert_eq!(created.to_string(), "2026-04-25T06:15:07.512121Z null -> planned planned | resume_fp=c27b");
        assert!(event("a\n  b\n").to_string().ends_with("-> seed a b"));
    }

    #[test]
    fn an_event_serialises_as_a_line_of_the_journal() {
        let line = serde_json::to_string(&event("x")).unwrap();
        assert_eq!(line, r#"{"from":"topology_copy","to":"seed","at":"2026-04-25T06:15:07.512121Z","reason":"x"}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), Event { number: 0, ..event("x") });
        assert!(serde_json::to_string(&Event { from: None, ..event("") }).unwrap().starts_with(r#"{"from":null,"#));
    }
}
