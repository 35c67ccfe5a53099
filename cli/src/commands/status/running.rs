//! Whether an execution of a migration runs: where none does, nothing is copied and nobody waits at a gate, whatever the phase.

use chrono::{DateTime, Utc};
use journal::Meta;
use migration::{Phase, Result};
use serde::Serialize;

use crate::advice::Next;
use crate::executions::Execution;
use crate::render;
use crate::session::Session;

/// What Step Functions says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Running {
    /// An execution runs.
    #[serde(rename = "running")]
    Execution {
        /// Its ARN.
        arn: String,
        /// When it was started.
        started: DateTime<Utc>,
    },
    /// None does.
    Nothing,
    /// It could not be asked.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Asks Step Functions. Nothing about a migration that is over.
pub(super) async fn find(session: &Session, meta: &Meta) -> Option<Running> {
    if meta.phase.is_terminal() {
        return None;
    }
    Some(match ask(session, meta.executions).await {
        Ok(Some(Execution { arn, started, .. })) => Running::Execution { arn, started },
        Ok(None) => Running::Nothing,
        // The rest is still worth knowing.
        Err(error) => Running::Unknown { why: error.to_string() },
    })
}

async fn ask(session: &Session, count: u32) -> Result<Option<Execution>> {
    let executions = session.executions()?;
    session.patiently("ask Step Functions", || executions.running(session.id(), count)).await
}

impl Running {
    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Execution { arn, started } => {
                let name = arn.rsplit(':').next().unwrap_or(arn);
                format!("execution {name} since {}", render::moment(*started))
            }
            Self::Nothing => "no execution".to_owned(),
            Self::Unknown { why } => format!("not known: {}", why.split_whitespace().collect::<Vec<_>>().join(" ")),
        }
    }

    /// What nobody should miss about a migration in `phase`.
    pub(super) fn note(&self, phase: Phase) -> Option<String> {
        // A failed one has ended, and what comes next is said.
        (*self == Self::Nothing && phase != Phase::Failed).then(|| {
            "no execution of this migration runs: nothing is done and no gate is waited at, until it is resumed"
                .to_owned()
        })
    }

    /// What comes next for a migration in `phase`, when it is not what its journal makes one expect.
    pub(super) fn next(&self, phase: Phase, resume: impl FnOnce() -> String) -> Option<Next> {
        self.note(phase).map(|_| Next {
            action: "start it again, it goes on where it stopped: no execution runs".to_owned(),
            command: Some(resume()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::start;

    #[test]
    fn that_nothing_runs_is_a_note_and_the_next_thing_to_do() {
        let next = |running: &Running, phase| running.next(phase, || "resume".to_owned());
        let nothing = Running::Nothing;
        assert!(nothing.note(Phase::DrainReady).unwrap().contains("no gate is waited at"));
        assert_eq!(next(&nothing, Phase::Tail).unwrap().command.as_deref(), Some("resume"));
        assert_eq!((nothing.note(Phase::Failed), next(&nothing, Phase::Failed)), (None, None));
        let arn = "arn:aws:states:us-east-1:1:execution:migrations:m1-2".to_owned();
        let running = Running::Execution { arn, started: start() };
        assert_eq!(running.text(), "execution m1-2 since 2026-04-25T06:15:06Z");
        assert_eq!((running.note(Phase::Tail), next(&running, Phase::Tail)), (None, None));
        let unknown = Running::Unknown { why: "a\n b".to_owned() };
        assert_eq!((unknown.text().as_str(), unknown.note(Phase::Tail)), ("not known: a b", None));
        let json = serde_json::to_value(&unknown).unwrap();
        assert_eq!(json, serde_json::json!({"state": "unknown", "why": "a\n b"}));
    }
}
