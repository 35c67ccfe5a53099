//! Where msk-kraft is deployed, as far as the CLI's environment tells.

use migration::Config;
use migration::config::ClusterConfig;

use crate::executions::STATE_MACHINE;
use crate::lambda::PREFIX;

/// Name of the state machine when no ARN is given.
const DEFAULT_STATE_MACHINE: &str = "msk-kraft";

/// The functions, by the names of their crates.
pub(crate) const FUNCTIONS: [&str; 8] =
    ["precheck", "topology-copy", "seed-partition", "tail-batch", "cutover", "validate", "evidence", "gate"];

/// Names of what is, or will be, deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployment {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub(crate) partition: String,
    /// Region of functions, state machine, table and buckets.
    pub(crate) region: String,
    /// Account of the same.
    pub(crate) account: String,
    /// The journal's table.
    pub(crate) table: String,
    /// What the functions' names begin with.
    pub(crate) prefix: String,
    /// Name of the state machine.
    pub(crate) state_machine: String,
}

impl Deployment {
    /// The deployment that the environment names: `env` answers variables, `region` is the one the CLI works in, and
    /// `table` the journal's. What is not named is the target's, or the default.
    pub(crate) fn new(
        config: &Config,
        region: Option<&str>,
        table: &str,
        env: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let target = &config.target;
        let named = env(STATE_MACHINE).filter(|arn| arn.contains(":stateMachine:"));
        let parts: Vec<_> = named.iter().flat_map(|arn| arn.split(':')).collect();
        let of_machine = |part: usize| parts.get(part).map(|part| (*part).to_owned());
        let region = of_machine(3).or(region.map(str::to_owned)).unwrap_or_else(|| target.region().to_owned());
        Self {
            partition: of_machine(1).unwrap_or_else(|| arn_part(target, 1)),
            region,
            account: of_machine(4).unwrap_or_else(|| arn_part(target, 4)),
            table: table.to_owned(),
            prefix: env(PREFIX).unwrap_or_default(),
            state_machine: of_machine(6).unwrap_or_else(|| DEFAULT_STATE_MACHINE.to_owned()),
        }
    }

    /// The deployed name of a function.
    pub(crate) fn function(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// ARN of something of `service` in this region and account.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// ARN of the state machine.
    pub(crate) fn state_machine_arn(&self) -> String {
        self.arn("states", &format!("stateMachine:{}", self.state_machine))
    }

    /// ARN of a bucket or, with a key, of objects in it.
    pub(crate) fn s3_arn(&self, resource: &str) -> String {
        format!("arn:{}:s3:::{resource}", self.partition)
    }
}

/// Part `number` of a cluster's ARN, from 0.
pub(super) fn arn_part(cluster: &ClusterConfig, number: usize) -> String {
    cluster.cluster_arn.split(':').nth(number).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::config;

    #[test]
    fn what_the_environment_does_not_name_is_the_targets() {
        let deployment = Deployment::new(&config(), None, "msk-kraft", |_| None);
        assert_eq!(deployment.state_machine_arn(), "arn:aws:states:us-east-1:123456789012:stateMachine:msk-kraft");
        assert_eq!(Deployment::new(&config(), Some("eu-west-1"), "t", |_| None).region, "eu-west-1");
    }

    #[test]
    fn the_state_machines_arn_tells_region_and_account() {
        let arn = "arn:aws-cn:states:cn-north-1:210987654321:stateMachine:prod-kraft";
        let env = |name: &str| match name {
            "MSK_KRAFT_STATE_MACHINE_ARN" => Some(arn.to_owned()),
            _ => Some("prod-".to_owned()),
        };
        let deployment = Deployment::new(&config(), Some("us-east-1"), "journal", env);
        assert_eq!(deployment.state_machine_arn(), arn);
        assert_eq!(deployment.function("gate"), "prod-gate");
        assert_eq!(deployment.arn("dynamodb", "table/t"), "arn:aws-cn:dynamodb:cn-north-1:210987654321:table/t");
    }
}
