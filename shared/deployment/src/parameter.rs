//! Where a deployment is, as the deployers write it down and the CLI reads it.

use serde::{Deserialize, Serialize};

/// Value of the SSM parameter of a deployment, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Version of this shape.
    pub schema: u32,
    /// Name of the deployment.
    pub name: String,
    /// Version of the functions' packages.
    pub version: String,
    /// Region of all of it.
    pub region: String,
    /// Account of all of it.
    pub account: String,
    /// ARN of the state machine.
    pub state_machine_arn: String,
    /// Name of the journal's table.
    pub table: String,
    /// What the functions' names begin with.
    pub function_prefix: String,
    /// Alias by which the CLI invokes functions.
    pub qualifier: String,
    /// Bucket of the working data.
    pub backup_bucket: String,
    /// Bucket of the evidence.
    pub evidence_bucket: String,
    /// URL at which webhooks acknowledge later, when there is one.
    #[serde(default)]
    pub acknowledge_url: Option<String>,
}

impl Parameter {
    /// Version of the shape that this program writes and reads.
    pub const SCHEMA: u32 = 1;

    /// Name of the parameter of the deployment `name`.
    pub fn path(name: &str) -> String {
        format!("/msk-kraft/{name}")
    }
}
