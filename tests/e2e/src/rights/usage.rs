//! Rights that were granted and never used, and calls that were made and not granted.

use std::collections::{BTreeMap, BTreeSet};

use stack::{Decision, Deployed};

use super::{ENFORCED, Statement, matches};

/// Actions that AWS asks for and the stand-in does not, and why they are granted.
const NOT_ASKED: [(&str, &str); 5] = [
    ("logs:", "the stand-in writes the functions' logs itself"),
    ("kms:", "the stand-in asks for no right to the key behind a secret or an object"),
    ("s3:ListBucket", "with it AWS answers 404 for an object that is not there, without it 403"),
    ("s3:PutObjectRetention", "AWS asks for it when an object is stored with a retention"),
    ("secretsmanager:TagResource", "AWS asks for it when a secret is created with a tag"),
];

/// Actions that no migration of these tests takes, by their statements, and what does.
const OUT_OF_THE_ORDINARY: [(&str, &str, &str); 7] = [
    ("OperatorReadTheEvidence", "s3:GetObject", "the runbook has the operator copy the evidence"),
    (
        "OperatorStartMigrations",
        "states:ListExecutions",
        "resume looks for an execution that was started by hand under another name",
    ),
    (
        "OperatorStoreTheSecretsOfAQuestion",
        "secretsmanager:PutSecretValue",
        "a secret that an interrupted question left behind is written over",
    ),
    ("PrecheckReadTheEvidence", "s3:GetObject", "only an evidence bucket without Object Lock is tried"),
    ("PrecheckWriteTheEvidence", "s3:PutObject", "only an evidence bucket without Object Lock is tried"),
    ("ValidateWriteTheJournal", "dynamodb:PutItem", "finalize --accept"),
    ("ValidateWriteTheJournal", "dynamodb:UpdateItem", "finalize --accept"),
];

/// What a comparison found; nothing of it should be there.
#[derive(Debug, Default)]
pub struct Findings {
    /// Granted and never used: `SID action`.
    pub unused: BTreeSet<String>,
    /// Asked for and not granted: `role action resource`.
    pub undeclared: BTreeSet<String>,
    /// Exceptions in this file that are none: used after all, or not granted.
    pub stale: BTreeSet<String>,
}

impl Findings {
    /// Whether everything is as declared.
    pub fn none(&self) -> bool {
        self.unused.is_empty() && self.undeclared.is_empty() && self.stale.is_empty()
    }
}

/// Compares what the roles of `stack` are granted with what they asked for.
pub fn compare(stack: &Deployed, statements: &[Statement], decisions: &[Decision]) -> Findings {
    let roles: BTreeMap<String, &str> = ENFORCED.into_iter().map(|who| (stack.role_name(who), who)).collect();
    let of_ours: Vec<_> =
        decisions.iter().filter_map(|decision| Some((*roles.get(decision.role())?, decision))).collect();
    let mut findings = Findings::default();
    for statement in statements {
        for action in &statement.actions {
            let used =
                of_ours.iter().any(|(who, decision)| *who == statement.who && covers(statement, action, decision));
            let excepted = OUT_OF_THE_ORDINARY.iter().any(|(sid, known, _)| *sid == statement.sid && known == action);
            let asked_for = !NOT_ASKED.iter().any(|(prefix, _)| action.starts_with(prefix));
            if excepted && used {
                findings.stale.insert(format!("{} {action} is used", statement.sid));
            } else if asked_for && !used && !excepted {
                findings.unused.insert(format!("{} {action}", statement.sid));
            }
        }
    }
    for (sid, action, _) in OUT_OF_THE_ORDINARY {
        let granted = |statement: &Statement| statement.sid == sid && statement.actions.iter().any(|one| one == action);
        if !statements.iter().any(granted) {
            findings.stale.insert(format!("{sid} {action} is not granted"));
        }
    }
    let denied = of_ours.iter().filter(|(_, decision)| !decision.allowed);
    findings
        .undeclared
        .extend(denied.map(|(who, decision)| format!("{who} {} {}", decision.action, decision.resource)));
    findings
}

/// Whether it was this grant that `decision` is about.
fn covers(statement: &Statement, action: &str, decision: &Decision) -> bool {
    let about = |pattern: &String| matches(pattern, &decision.resource);
    decision.action == action && statement.resources.iter().any(about)
}
