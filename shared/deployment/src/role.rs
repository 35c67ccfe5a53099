//! The roles beside those of the functions.

use crate::grant::{self, Grant};

/// Functions that the CLI invokes itself; it has no business with the other one.
pub const ASKED_FUNCTIONS: [&str; 7] =
    ["precheck", "tail-batch", "gate", "topology-copy", "cutover", "evidence", "validate"];

/// A role that is no function's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The state machine.
    StateMachine,
    /// The person who runs the CLI. Gates are decided by the gate function: task tokens are nothing that an operator answers.
    Operator,
    /// Whoever checks a migration afterwards.
    Auditor,
}

impl Role {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StateMachine => "state-machine",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }

    /// What it is granted.
    pub const fn grants(self) -> &'static [Grant] {
        match self {
            Self::StateMachine => &[
                grant::INVOKE_FUNCTIONS,
                grant::READ_MANIFEST,
                grant::START_MAPS,
                grant::WATCH_MAPS,
                grant::LOG_EXECUTIONS,
                grant::TRACE_EXECUTIONS,
                grant::DECRYPT_BACKUP,
            ],
            Self::Operator => &[
                grant::FIND_DEPLOYMENT,
                grant::ASK_FUNCTIONS,
                grant::START_MIGRATIONS,
                grant::WATCH_MIGRATIONS,
                grant::READ_JOURNAL,
                grant::READ_EVENTS,
                grant::SET_THROTTLE,
                grant::REACH_BACKUP,
                grant::READ_BACKUP,
                grant::DECRYPT_BACKUP,
                grant::REACH_EVIDENCE,
                grant::READ_EVIDENCE,
                grant::FIND_BROKERS,
                grant::STORE_SECRETS,
                grant::FORGET_SECRETS,
                grant::STORE_QUESTIONS,
                grant::FORGET_QUESTIONS,
            ],
            Self::Auditor => &[
                grant::FIND_DEPLOYMENT,
                grant::READ_JOURNAL,
                grant::READ_EVENTS,
                grant::LIST_EVIDENCE,
                grant::AUDIT_EVIDENCE,
                grant::AUDIT_MIGRATIONS,
            ],
        }
    }
}
