//! Policy documents in the form of IAM.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::actions::{Effect, Grant};

/// Most characters of a managed policy, white space not counted
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
const MOST_CHARACTERS: usize = 6_144;

/// Characters of resources in one statement at most, so that every statement fits into a policy.
const MOST_RESOURCE_CHARACTERS: usize = 5_000;

/// A policy document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    /// Version of the language; variables, and so literal wildcards, need this one.
    pub version: String,
    /// What it says.
    pub statement: Vec<Statement>,
}

/// A statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// What it is for; unique in its policy.
    pub sid: String,
    /// Whether it permits.
    pub effect: Effect,
    /// Actions, sorted.
    pub action: Vec<String>,
    /// ARNs, sorted.
    pub resource: Vec<String>,
}

/// The documents that say `grants`, to connect included.
pub(super) fn policies(grants: Vec<Grant>, cluster_arn: &str) -> Vec<Policy> {
    // By resource first: what several rules say of one belongs together.
    let mut actions: BTreeMap<(Effect, &str, String), BTreeSet<&str>> = BTreeMap::new();
    let permits = grants.iter().any(|grant| grant.permission == Effect::Allow);
    for grant in grants {
        actions.entry((grant.permission, grant.purpose, grant.resource)).or_default().extend(grant.actions);
    }
    if permits {
        actions.entry((Effect::Allow, "Cluster", cluster_arn.to_owned())).or_default().insert("Connect");
    }
    let mut resources: BTreeMap<(Effect, &str, BTreeSet<&str>), Vec<String>> = BTreeMap::new();
    for ((effect, purpose, resource), actions) in actions {
        resources.entry((effect, purpose, actions)).or_default().push(resource);
    }
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut statements = Vec::new();
    for ((effect, purpose, actions), resources) in resources {
        for resource in chunks(resources) {
            let name = format!("{effect:?}{purpose}");
            let number = numbers.entry(name.clone()).and_modify(|number| *number += 1).or_insert(1);
            let action = actions.iter().map(|action| format!("kafka-cluster:{action}")).collect();
            statements.push(Statement { sid: format!("{name}{number}"), effect, action, resource });
        }
    }
    pack(statements)
}

/// Resources in portions that fit into a statement.
fn chunks(resources: Vec<String>) -> Vec<Vec<String>> {
    let mut chunks: Vec<Vec<String>> = Vec::new();
    let mut length = usize::MAX;
    for resource in resources {
        let more = resource.len() + 3;
        match chunks.last_mut().filter(|_| length.saturating_add(more) <= MOST_RESOURCE_CHARACTERS) {
            Some(chunk) => {
                chunk.push(resource);
                length += more;
            }
            None => {
                chunks.push(vec![resource]);
                length = more;
            }
        }
    }
    chunks
}

/// Statements in as few documents as their order allows.
fn pack(statements: Vec<Statement>) -> Vec<Policy> {
    let mut policies: Vec<Policy> = Vec::new();
    for statement in statements {
        let fits = |policy: &&mut Policy| length(policy) + length(&statement) < MOST_CHARACTERS;
        match policies.last_mut().filter(fits) {
            Some(policy) => policy.statement.push(statement),
            None => policies.push(Policy { version: "2012-10-17".to_owned(), statement: vec![statement] }),
        }
    }
    policies
}

/// Characters of its JSON form, which has no white space.
fn length(part: &impl Serialize) -> usize {
    serde_json::to_string(part).map_or(usize::MAX / 2, |text| text.len())
}
