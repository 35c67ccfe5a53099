//! Policies in IAM's own words.

use serde::Serialize;
use serde_json::Value;

use crate::grant::{Condition, Grant};
use crate::resource::Resource;

/// Puts the names of a deployment in place of symbols.
pub trait Resolve {
    /// ARNs of `resource` for the role `role`; none leaves the statement out.
    fn arns(&self, role: &str, resource: Resource) -> Vec<String>;

    /// The condition in IAM's words.
    fn condition(&self, condition: Condition) -> Option<Value>;
}

/// A policy that can be attached to a role as it is.
#[derive(Debug, Serialize)]
pub struct Policy {
    #[serde(rename = "Version")]
    version: &'static str,
    #[serde(rename = "Statement")]
    statements: Vec<Statement>,
}

/// One purpose.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    sid: String,
    effect: &'static str,
    action: &'static [&'static str],
    resource: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Value>,
}

impl Policy {
    /// The policy of `role` with a statement for each of `grants` that there are resources for.
    pub fn new(role: &str, grants: impl IntoIterator<Item = Grant>, resolve: &impl Resolve) -> Self {
        let statement = |grant: Grant| {
            let resource = resolve.arns(role, grant.on);
            (!resource.is_empty()).then(|| Statement {
                sid: sid(role, &grant),
                effect: "Allow",
                action: grant.actions,
                resource,
                condition: resolve.condition(grant.condition),
            })
        };
        Self { version: "2012-10-17", statements: grants.into_iter().filter_map(statement).collect() }
    }
}

/// Name of the statement of `grant` for `role`, which begins it: `seed-partition` as `SeedPartition`, since names of statements
/// are letters and digits.
pub(crate) fn sid(role: &str, grant: &Grant) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    let role: String = role.split('-').map(capital).collect();
    format!("{role}{}", grant.purpose)
}
