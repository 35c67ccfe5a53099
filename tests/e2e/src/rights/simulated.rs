//! What AWS holds a role to and the stand-in does not when a call is made: judged by IAM's simulator on the deployed policies.

use super::ENFORCED;
use crate::Deployment;

/// A call, and whether a role may make it.
struct Question {
    who: &'static str,
    action: &'static str,
    resource: String,
    allowed: bool,
}

/// What is decided otherwise than it should be: `ROLE ACTION RESOURCE should be allowed`, or denied.
///
/// # Errors
/// When a role is not there, or IAM does not answer.
pub async fn wrong(deployment: &Deployment) -> anyhow::Result<Vec<String>> {
    let stack = &deployment.stack;
    let mut wrong = Vec::new();
    for Question { who, action, resource, allowed } in questions(deployment)? {
        if stack.role(who).await?.allows(stack.root(), action, &resource).await? != allowed {
            let should = if allowed { "allowed" } else { "denied" };
            wrong.push(format!("{who} {action} {resource} should be {should}"));
        }
    }
    Ok(wrong)
}

fn questions(deployment: &Deployment) -> anyhow::Result<Vec<Question>> {
    let found = |field| deployment.stack.found(field);
    let prefix = found("function_prefix")?;
    let in_account = |service: &str, rest: &str| {
        anyhow::Ok(format!("arn:aws:{service}:{}:{}:{rest}", found("region")?, found("account")?))
    };
    let function = |name: &str| in_account("lambda", &format!("function:{prefix}{name}:7"));
    let stream =
        |name: &str| in_account("logs", &format!("log-group:/aws/lambda/{prefix}{name}:log-stream:2026/12/01/[7]ab"));
    let machine = found("state_machine_arn")?;
    let map_run = format!("{}/maps:run-1", machine.replace(":stateMachine:", ":execution:"));
    let backup = format!("arn:aws:s3:::{}", found("backup_bucket")?);
    let evidence = format!("arn:aws:s3:::{}", found("evidence_bucket")?);
    let secret = in_account("secretsmanager", "secret:msk-kraft/m1/source-password-AbCdEf")?;

    let mut all = Vec::new();
    let mut ask = |who, action, resource: String, allowed| all.push(Question { who, action, resource, allowed });
    // The state machine: its functions in numbered versions, its maps, their manifest, and nothing else.
    ask("state-machine", "lambda:InvokeFunction", function("seed-partition")?, true);
    ask("state-machine", "lambda:InvokeFunction", in_account("lambda", "function:somebody-elses:1")?, false);
    ask("state-machine", "states:StartExecution", machine.to_owned(), true);
    ask("state-machine", "states:StartExecution", format!("{machine}-of-others"), false);
    ask("state-machine", "states:StopExecution", map_run, true);
    ask("state-machine", "s3:GetObject", format!("{backup}/m1/manifests/batches.json"), true);
    ask("state-machine", "s3:GetObject", format!("{backup}/m1/seed/0.bin"), false);
    ask("state-machine", "s3:GetObject", format!("{evidence}/m1/bundle.json"), false);
    ask("state-machine", "dynamodb:UpdateItem", in_account("dynamodb", &format!("table/{}", found("table")?))?, false);
    ask("state-machine", "logs:CreateLogDelivery", "*".to_owned(), true);
    ask("state-machine", "xray:PutTraceSegments", "*".to_owned(), true);
    for who in ENFORCED.into_iter().filter(|who| *who != "operator") {
        // Each function writes its own log.
        ask(who, "logs:PutLogEvents", stream(who)?, true);
        ask(who, "logs:PutLogEvents", stream(if who == "gate" { "cutover" } else { "gate" })?, false);
        // With it AWS answers 404 for an object that is not there, without it 403.
        ask(who, "s3:ListBucket", backup.clone(), true);
        ask(who, "s3:ListBucket", evidence.clone(), ["precheck", "evidence"].contains(&who));
        // Evidence is stored with a retention, which nobody may take back.
        let bundle = || format!("{evidence}/m1/bundle.json");
        ask(who, "s3:PutObjectRetention", bundle(), who == "evidence");
        ask(who, "s3:BypassGovernanceRetention", bundle(), false);
        ask(who, "s3:DeleteObject", bundle(), false);
        ask(who, "secretsmanager:TagResource", secret.clone(), false);
        ask(who, "iam:PassRole", "*".to_owned(), false);
    }
    ask("operator", "secretsmanager:TagResource", secret, true);
    ask("operator", "s3:DeleteObject", format!("{evidence}/m1/bundle.json"), false);
    Ok(all)
}
