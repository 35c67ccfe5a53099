//! What the demonstration shows.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::ensure;
use e2e::rights::Statement;
use e2e::{Deployment, live};
use stack::DEPLOYMENT;

/// Where everything was deployed, and how much each role may do.
pub(crate) fn deployed(deployment: &Deployment, granted: &[Statement]) -> anyhow::Result<()> {
    println!("/msk-kraft/{DEPLOYMENT} says where it is:");
    for field in ["state_machine_arn", "table", "backup_bucket", "evidence_bucket", "function_prefix", "qualifier"] {
        println!("  {field:18} {}", deployment.stack.found(field)?);
    }
    let mut roles: BTreeMap<&str, usize> = BTreeMap::new();
    for statement in granted {
        *roles.entry(&statement.who).or_default() += 1;
    }
    let roles: Vec<_> = roles.into_iter().map(|(who, statements)| format!("{who} {statements}")).collect();
    println!("statements of each role: {}", roles.join(", "));
    Ok(())
}

/// What the judges say.
pub(crate) async fn judged(deployment: &Deployment, id: &str, logs: &Path) -> anyhow::Result<()> {
    let ignored = ["--live-on-target", "--ignore-groups", live::GROUP];
    let (verdict, equal) = deployment.java.judge(&ignored).await?;
    ensure!(equal, "the judge found differences: {verdict:#}");
    let (account, complete) = deployment.java.check_live(logs).await?;
    ensure!(complete, "live records were lost, repeated or reordered: {account:#}");
    let bundle = deployment.evidence(id).await?;
    let records = &verdict["records"];
    println!("records compared: {} of {} partitions", records["equal_records"], records["partitions"]);
    println!("live clients, across the switch: {account}");
    println!("evidence: {}, its signature verified by openssl", bundle["validation"]["overall"]);
    Ok(())
}

/// What is left when the deployment is gone.
pub(crate) async fn kept(deployment: &Deployment, id: &str) -> anyhow::Result<()> {
    let bundle = deployment.evidence(id).await?;
    let bucket = deployment.stack.found("evidence_bucket")?;
    println!("the deployment is gone; {bucket} still holds the evidence of {id}:");
    println!("{}, its signature verified by openssl", bundle["validation"]["overall"]);
    Ok(())
}

/// How often each role asked for what.
pub(crate) fn asked(deployment: &Deployment, mark: u64) -> anyhow::Result<()> {
    let mut asked: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
    let prefix = deployment.stack.role_name("");
    for decision in deployment.stack.decisions().since(mark)? {
        let Some(who) = decision.role().strip_prefix(&prefix) else { continue };
        let (allowed, denied) = asked.entry((who.to_owned(), decision.action.clone())).or_default();
        *(if decision.allowed { allowed } else { denied }) += 1;
    }
    println!("{:16} {:36} {:>8} {:>7}", "role", "action", "allowed", "denied");
    for ((who, action), (allowed, denied)) in asked {
        println!("{who:16} {action:36} {allowed:8} {denied:7}");
    }
    Ok(())
}

/// What this showed nothing about.
pub(crate) fn not_enforced() {
    println!("\nNot enforced by the stand-in, and so not shown here:");
    for what in [
        "the state machine's own role: which functions it may call, which manifest it may read",
        "logs:*, ec2:* and the keys behind secrets and objects (kms:*)",
        "kafka-cluster:*, the rights of IAM within a cluster; the brokers here are not MSK",
        "VPC, security groups and endpoints; none are deployed with local: true",
        "encryption, lifecycle and point-in-time recovery; Object Lock is set by the S3 API after the deployment",
        "queries and alarms with metric math, which CloudFormation in the stand-in does not know",
    ] {
        println!("  - {what}");
    }
    println!(
        "Tests of the template look at these: infra/cdk/test. docs/DEPLOY.md lists what no machine without AWS can show."
    );
}
