//! What a deployment would create: table, buckets, state machine.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    aws::{self, EVIDENCE_BUCKET, SEGMENTS_BUCKET, TABLE},
    http,
};

/// Creates the journal's table.
///
/// # Errors
/// When moto refuses.
pub async fn create_table(endpoint: &str) -> anyhow::Result<()> {
    let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let body = json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [attribute("pk"), attribute("sk")],
        "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
    });
    http::aws_json(endpoint, "DynamoDB_20120810.CreateTable", &body).await?;
    Ok(())
}

/// Creates both buckets; the one for evidence with Object Lock, which also turns versioning on.
///
/// # Errors
/// When moto refuses.
pub async fn create_buckets(endpoint: &str) -> anyhow::Result<()> {
    let s3 = aws::s3(endpoint);
    s3.create_bucket().bucket(SEGMENTS_BUCKET).send().await.context("creating the bucket for segments")?;
    s3.create_bucket()
        .bucket(EVIDENCE_BUCKET)
        .object_lock_enabled_for_bucket(true)
        .send()
        .await
        .context("creating the bucket for evidence")?;
    Ok(())
}

/// Creates a state machine from an ASL text with placeholders, and returns its ARN.
///
/// # Errors
/// When a placeholder is unknown or moto refuses the definition.
pub async fn create_state_machine(
    endpoint: &str,
    name: &str,
    asl: &str,
    functions: &[String],
) -> anyhow::Result<String> {
    let definition = substitute(asl, functions)?;
    let role = format!("arn:aws:iam::{}:role/msk-kraft", aws::ACCOUNT);
    let body = json!({"name": name, "definition": definition, "roleArn": role});
    let answer = http::aws_json(endpoint, "AWSStepFunctions.CreateStateMachine", &body).await?;
    let arn = answer.get("stateMachineArn").and_then(Value::as_str).context("no ARN in the answer")?;
    Ok(arn.to_owned())
}

/// Reads an ASL file; `None` when there is none (yet).
///
/// # Errors
/// When it is there and cannot be read.
pub fn read_asl(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(other) => Err(other).with_context(|| format!("reading {}", path.display())),
    }
}

/// Fills in `${<Function>FunctionArn}` for every function, and the buckets.
fn substitute(asl: &str, functions: &[String]) -> anyhow::Result<String> {
    let mut text = asl.replace("${SegmentsBucket}", SEGMENTS_BUCKET).replace("${EvidenceBucket}", EVIDENCE_BUCKET);
    for function in functions {
        let placeholder = format!("${{{}FunctionArn}}", pascal_case(function));
        text = text.replace(&placeholder, &aws::function_arn(function));
    }
    if let Some((_, rest)) = text.split_once("${") {
        let name = rest.split('}').next().unwrap_or_default();
        anyhow::bail!("the state machine has a placeholder that the stack does not know: ${{{name}}}");
    }
    Ok(text)
}

fn pascal_case(kebab: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect::<String>())
    };
    kebab.split('-').map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_arns_and_unknown_ones_are_named() {
        let functions = ["seed-partition".to_owned()];
        let text = substitute(r#""${SeedPartitionFunctionArn}" "${SegmentsBucket}""#, &functions).unwrap();
        assert_eq!(text, r#""arn:aws:lambda:us-east-1:123456789012:function:seed-partition" "msk-kraft-segments""#);
        assert!(substitute("${Other}", &functions).unwrap_err().to_string().contains("${Other}"));
    }
}
