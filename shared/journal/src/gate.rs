//! Gates: the places where the state machine waits, with a task token, for somebody's decision.
//!
//! ```text
//!   open(new token) ──► OPEN ──decide──► DECIDED ──mark_sent──► SENT
//!        ▲                │                 │                     │
//!        └──── attempt+1 ─┴─────────────────┴─────────────────────┘  open with another new token
//! ```
//! A decision is stored before it is sent to Step Functions. Whoever repeats it finds it stored and sends it again, so a
//! crash between the two loses nothing; what Step Functions has taken is `SENT`, and its token is forgotten.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use migration::{Error, Phase, Result};
use serde::{Deserialize, Serialize};

use crate::token::Token;

mod store;

/// A gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateName {
    /// The operator starts the cutover.
    Cutover,
    /// Producers confirm that they stopped.
    Freeze,
    /// The operator confirms that clients were switched.
    ClientSwitch,
    /// The operator accepts the validation.
    Finalize,
}

impl GateName {
    /// Every gate, in the order of a migration.
    pub const ALL: [Self; 4] = [Self::Cutover, Self::Freeze, Self::ClientSwitch, Self::Finalize];

    /// The name as stored and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cutover => "cutover",
            Self::Freeze => "freeze",
            Self::ClientSwitch => "client-switch",
            Self::Finalize => "finalize",
        }
    }

    /// The phase in which a migration waits at this gate.
    pub const fn phase(self) -> Phase {
        match self {
            Self::Cutover => Phase::DrainReady,
            Self::Freeze => Phase::Cutover,
            Self::ClientSwitch => Phase::AwaitingClientSwitch,
            Self::Finalize => Phase::Validating,
        }
    }
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for GateName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|gate| gate.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format_args!("there is no gate {text:?}; the gates are {names}"))
        })
    }
}

/// Where a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum GateState {
    /// Waiting for a decision.
    Open,
    /// Decided, but Step Functions may not know yet.
    Decided,
    /// Decided, and Step Functions has taken the decision.
    Sent,
}

impl GateState {
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Decided => "DECIDED",
            Self::Sent => "SENT",
        }
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Go on.
    Approve,
    /// Do not go on.
    Reject,
}

impl Verdict {
    /// The name as stored and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A decision about a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided.
    pub verdict: Verdict,
    /// Why; may be empty.
    pub reason: String,
    /// The rehearsal that was approved (gate [`GateName::Cutover`] only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<String>,
}

impl Decision {
    /// Go on.
    pub fn approve(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Approve, reason: reason.into(), rehearsal: None }
    }

    /// Do not go on.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Reject, reason: reason.into(), rehearsal: None }
    }
}

/// A gate as it stands, without its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Which one.
    pub name: GateName,
    /// How often it was armed, from 1.
    pub attempt: u32,
    /// Where it stands.
    pub state: GateState,
    /// The decision, once there is one.
    pub decision: Option<Decision>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When it was decided.
    #[serde(with = "clock::micros_option")]
    pub decided_at: Option<DateTime<Utc>>,
    /// When this attempt was armed.
    #[serde(with = "clock::micros")]
    pub opened_at: DateTime<Utc>,
    /// When Step Functions stops waiting, if that is known.
    #[serde(with = "clock::micros_option")]
    pub deadline: Option<DateTime<Utc>>,
}

/// Outcome of [`Journal::decide`](crate::Journal::decide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// The decision is stored: send it with this token, then call [`Journal::mark_sent`](crate::Journal::mark_sent).
    Send {
        /// The token to answer with.
        token: Token,
        /// The gate, decided.
        gate: Gate,
    },
    /// Step Functions has taken a decision at this gate already; the gate says which.
    AlreadySent(Gate),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_printed_and_parsed_names_agree() {
        for gate in GateName::ALL {
            assert_eq!(serde_json::to_value(gate).unwrap(), gate.name());
            assert_eq!(gate.to_string().parse::<GateName>().unwrap(), gate);
        }
        for state in [GateState::Open, GateState::Decided, GateState::Sent] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        for verdict in [Verdict::Approve, Verdict::Reject] {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
        }
        let error = "clientswitch".parse::<GateName>().unwrap_err();
        assert!(error.message.contains("cutover, freeze, client-switch, finalize"), "{error}");
    }
}
