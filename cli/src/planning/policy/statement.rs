//! Policies and statements in IAM's own words.

use serde::Serialize;
use serde_json::Value;

/// A policy that can be attached to a role as it is.
#[derive(Debug, Serialize)]
pub(crate) struct Policy {
    #[serde(rename = "Version")]
    version: &'static str,
    #[serde(rename = "Statement")]
    statements: Vec<Statement>,
}

/// One purpose.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Statement {
    sid: String,
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Value>,
}

impl Policy {
    /// The policy of `role`, whose name begins the name of every statement.
    pub(super) fn new(role: &str, mut statements: Vec<Statement>) -> Self {
        for statement in &mut statements {
            statement.sid = format!("{}{}", camel(role), statement.sid);
        }
        Self { version: "2012-10-17", statements }
    }
}

impl Statement {
    /// Allows `actions` on `resources`.
    pub(super) fn allow(
        sid: &str,
        actions: impl IntoIterator<Item = &'static str>,
        resources: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            sid: sid.to_owned(),
            effect: "Allow",
            action: actions.into_iter().collect(),
            resource: resources.into_iter().collect(),
            condition: None,
        }
    }

    /// The same, under a condition.
    pub(super) fn only_if(self, condition: Value) -> Self {
        Self { condition: Some(condition), ..self }
    }
}

/// `seed-partition` as `SeedPartition`: names of statements are letters and digits.
fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    name.split('-').map(capital).collect()
}
