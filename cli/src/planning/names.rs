//! Names of what is, or will be, deployed, as far as the CLI knows.

use deployment::Names;
use migration::Config;
use migration::config::ClusterConfig;

use crate::deployed::Deployed;

/// Name of the state machine when no ARN is given.
const DEFAULT_STATE_MACHINE: &str = "msk-kraft";

/// The names of `deployed`: `region` is the one the CLI works in, and `table` the journal's. What is not known is the target's,
/// or the default.
pub(crate) fn names(config: &Config, region: Option<&str>, table: &str, deployed: &Deployed) -> Names {
    let target = &config.target;
    let machine = deployed.state_machine().ok();
    let parts: Vec<_> = machine.iter().flat_map(|arn| arn.split(':')).collect();
    let of_machine = |part: usize| parts.get(part).map(|part| (*part).to_owned());
    let region = of_machine(3).or(region.map(str::to_owned)).unwrap_or_else(|| target.region().to_owned());
    Names {
        partition: of_machine(1).unwrap_or_else(|| arn_part(target, 1)),
        region,
        account: of_machine(4).unwrap_or_else(|| arn_part(target, 4)),
        deployment: deployed.name.clone(),
        table: table.to_owned(),
        prefix: deployed.prefix.clone(),
        qualifier: deployed.qualifier.clone(),
        state_machine: of_machine(6).unwrap_or_else(|| DEFAULT_STATE_MACHINE.to_owned()),
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
    fn what_is_not_known_is_the_targets() {
        let nothing = Deployed::default();
        let names_of = |region| names(&config(), region, "msk-kraft", &nothing);
        assert_eq!(names_of(None).state_machine_arn(), "arn:aws:states:us-east-1:123456789012:stateMachine:msk-kraft");
        assert_eq!(names_of(Some("eu-west-1")).region, "eu-west-1");
        assert_eq!(names_of(None).parameter_arn(), None);
    }

    #[test]
    fn the_state_machines_arn_tells_region_and_account() {
        let arn = "arn:aws-cn:states:cn-north-1:210987654321:stateMachine:prod-kraft";
        let deployed = Deployed {
            name: Some("prod".to_owned()),
            state_machine: Some(arn.to_owned()),
            table: None,
            prefix: "prod-".to_owned(),
            qualifier: Some("live".to_owned()),
        };
        let names = names(&config(), Some("us-east-1"), "journal", &deployed);
        assert_eq!(names.state_machine_arn(), arn);
        assert_eq!(names.function_arn("gate"), "arn:aws-cn:lambda:cn-north-1:210987654321:function:prod-gate:live");
        assert_eq!(names.all_versions_arn("gate"), "arn:aws-cn:lambda:cn-north-1:210987654321:function:prod-gate:*");
        assert_eq!(names.arn("dynamodb", "table/t"), "arn:aws-cn:dynamodb:cn-north-1:210987654321:table/t");
    }
}
