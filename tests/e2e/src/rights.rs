//! What the roles of a deployment are allowed, held against what they ask for.

pub mod removal;
pub mod simulated;
pub mod usage;

use anyhow::Context;
use serde_json::Value;
use stack::Role;

use crate::Deployment;

/// Roles that the stand-in holds to their statements. It holds the state machine's to none.
pub const ENFORCED: [&str; 9] = [
    "operator",
    "precheck",
    "topology-copy",
    "seed-partition",
    "tail-batch",
    "cutover",
    "validate",
    "evidence",
    "gate",
];

/// A statement of a deployed role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Whose: a function's name, or `operator`.
    pub who: String,
    /// Its id.
    pub sid: String,
    /// What it allows.
    pub actions: Vec<String>,
    /// On what, with IAM's wildcards.
    pub resources: Vec<String>,
}

impl Statement {
    fn read(who: &str, statement: &Value) -> anyhow::Result<Self> {
        let list = |name: &str| match &statement[name] {
            Value::String(one) => vec![one.clone()],
            many => many.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        };
        let sid = statement["Sid"].as_str().with_context(|| format!("a statement of {who} has no id"))?.to_owned();
        Ok(Self { who: who.to_owned(), sid, actions: list("Action"), resources: list("Resource") })
    }
}

/// The statements of a role.
///
/// # Errors
/// When one has no id.
pub fn of_role(who: &str, role: &Role) -> anyhow::Result<Vec<Statement>> {
    role.statements().iter().map(|statement| Statement::read(who, statement)).collect()
}

/// The statements of all roles that are held to them.
///
/// # Errors
/// When a role is not there.
pub async fn statements(deployment: &Deployment) -> anyhow::Result<Vec<Statement>> {
    let mut all = Vec::new();
    for who in ENFORCED {
        all.extend(of_role(who, &deployment.stack.role(who).await?)?);
    }
    Ok(all)
}

/// Whether `text` is what `pattern` stands for, with IAM's `*` and `?`.
fn matches(pattern: &str, text: &str) -> bool {
    match (pattern.as_bytes(), text.as_bytes()) {
        ([], []) => true,
        ([b'*', ..], _) => {
            matches(&pattern[1..], text)
                || text.chars().next().is_some_and(|first| matches(pattern, &text[first.len_utf8()..]))
        }
        ([b'?', ..], [_, ..]) => matches(&pattern[1..], text.get(1..).unwrap_or_default()),
        ([expected, ..], [found, ..]) if expected == found => {
            pattern.get(1..).zip(text.get(1..)).is_some_and(|(pattern, text)| matches(pattern, text))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_any_text_and_for_one_character() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a/b", true),
            ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket", false),
            ("a/*/webhook-??????", "a/b/c/webhook-abcdef", true),
            ("a/*/webhook-??????", "a/b/c/webhook-abcde", false),
            ("a", "b", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
