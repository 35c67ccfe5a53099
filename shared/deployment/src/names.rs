//! What everything that is deployed is called.

use crate::parameter::Parameter;

/// Alias of every function that is deployed as `infra/` does it.
pub const QUALIFIER: &str = "live";

/// Names of what is, or will be, deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// Region of functions, state machine, table and buckets.
    pub region: String,
    /// Account of the same.
    pub account: String,
    /// Name of the deployment, when it is one of `infra/`.
    pub deployment: Option<String>,
    /// The journal's table.
    pub table: String,
    /// What the functions' names begin with.
    pub prefix: String,
    /// Alias by which functions are invoked; none where they have no versions.
    pub qualifier: Option<String>,
    /// Name of the state machine.
    pub state_machine: String,
}

impl Names {
    /// The deployed name of a function.
    pub fn function(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// ARN of something of `service` in this region and account.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// ARN by which a function is invoked.
    pub fn function_arn(&self, name: &str) -> String {
        let qualifier = self.qualifier.iter().map(|qualifier| format!(":{qualifier}")).collect::<String>();
        self.arn("lambda", &format!("function:{}{qualifier}", self.function(name)))
    }

    /// Pattern of the ARNs of all versions of a function: the state machine calls numbered ones.
    pub fn all_versions_arn(&self, name: &str) -> String {
        let versions = if self.qualifier.is_some() { ":*" } else { "" };
        self.arn("lambda", &format!("function:{}{versions}", self.function(name)))
    }

    /// ARN of the parameter by which the deployment is found, when it is one of `infra/`.
    pub fn parameter_arn(&self) -> Option<String> {
        let name = self.deployment.as_ref()?;
        Some(self.arn("ssm", &format!("parameter{}", Parameter::path(name))))
    }

    /// ARN of the state machine.
    pub fn state_machine_arn(&self) -> String {
        self.arn("states", &format!("stateMachine:{}", self.state_machine))
    }

    /// ARN of a bucket or, with a key, of objects in it.
    pub fn s3_arn(&self, resource: &str) -> String {
        format!("arn:{}:s3:::{resource}", self.partition)
    }
}
