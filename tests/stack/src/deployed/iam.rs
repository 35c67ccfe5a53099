//! Roles of the deployment: sessions of them, and their policies with a statement taken away.

use anyhow::Context;
use aws_credential_types::Credentials;
use serde_json::Value;

use super::aws::{Caller, decoded, element};

/// Where a role's statements are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In the role itself, under this name.
    Inline(String),
    /// In a managed policy that is attached to it.
    Managed(String),
}

/// A role with the one policy that the deployment gave it.
#[derive(Debug, Clone)]
pub struct Role {
    name: String,
    place: Place,
    document: Value,
}

impl Role {
    /// The role `name` as it is deployed.
    ///
    /// # Errors
    /// When there is no such role, or it has not exactly one policy.
    pub(super) async fn read(root: &Caller, name: &str) -> anyhow::Result<Self> {
        let asked = [("RoleName", name)];
        let inline = members(&root.form("iam", "ListRolePolicies", &asked).await?, "member");
        let attached = members(&root.form("iam", "ListAttachedRolePolicies", &asked).await?, "PolicyArn");
        let (place, document) = match (inline.as_slice(), attached.as_slice()) {
            ([policy], []) => {
                let fields = [("RoleName", name), ("PolicyName", policy)];
                let answer = root.form("iam", "GetRolePolicy", &fields).await?;
                (Place::Inline(policy.clone()), document(&answer, "PolicyDocument")?)
            }
            ([], [arn]) => {
                let answer = root.form("iam", "GetPolicy", &[("PolicyArn", arn)]).await?;
                let version = element(&answer, "DefaultVersionId").context("a policy without a version")?;
                let fields = [("PolicyArn", arn.as_str()), ("VersionId", version.as_str())];
                let answer = root.form("iam", "GetPolicyVersion", &fields).await?;
                (Place::Managed(arn.clone()), document(&answer, "Document")?)
            }
            _ => anyhow::bail!("the role {name} has the policies {inline:?} and {attached:?}, not one"),
        };
        Ok(Self { name: name.to_owned(), place, document })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its statements, as they were deployed.
    pub fn statements(&self) -> &[Value] {
        self.document["Statement"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Whether IAM's simulator lets it do `action` on `resource`.
    ///
    /// # Errors
    /// When IAM does not decide.
    pub async fn allows(&self, root: &Caller, action: &str, resource: &str) -> anyhow::Result<bool> {
        let document = self.document.to_string();
        let fields = [
            ("PolicyInputList.member.1", document.as_str()),
            ("ActionNames.member.1", action),
            ("ResourceArns.member.1", resource),
        ];
        let answer = root.form("iam", "SimulateCustomPolicy", &fields).await?;
        let decision = element(&answer, "EvalDecision").context("a simulation without a decision")?;
        Ok(decision == "allowed")
    }

    /// Takes the statement `sid` away.
    ///
    /// # Errors
    /// When the role has no such statement, or IAM refuses.
    pub(super) async fn without(&self, root: &Caller, sid: &str) -> anyhow::Result<()> {
        let mut document = self.document.clone();
        let statements = document["Statement"].as_array_mut().context("a policy without statements")?;
        let before = statements.len();
        statements.retain(|statement| statement["Sid"] != sid);
        anyhow::ensure!(statements.len() + 1 == before, "the role {} has no statement {sid}", self.name);
        self.put(root, &document).await
    }

    /// Gives back what was deployed.
    ///
    /// # Errors
    /// When IAM refuses.
    pub(super) async fn restore(&self, root: &Caller) -> anyhow::Result<()> {
        self.put(root, &self.document).await
    }

    async fn put(&self, root: &Caller, document: &Value) -> anyhow::Result<()> {
        let text = document.to_string();
        match &self.place {
            Place::Inline(policy) => {
                let fields = [("RoleName", self.name.as_str()), ("PolicyName", policy), ("PolicyDocument", &text)];
                root.form("iam", "PutRolePolicy", &fields).await?;
            }
            Place::Managed(arn) => {
                // A policy has five versions at most; the one before the last put is of no use any more.
                let listed = root.form("iam", "ListPolicyVersions", &[("PolicyArn", arn)]).await?;
                let versions = members(&listed, "VersionId");
                let standing =
                    element(&root.form("iam", "GetPolicy", &[("PolicyArn", arn)]).await?, "DefaultVersionId");
                for version in versions.iter().filter(|version| Some(*version) != standing.as_ref()) {
                    root.form("iam", "DeletePolicyVersion", &[("PolicyArn", arn), ("VersionId", version)]).await?;
                }
                let fields = [("PolicyArn", arn.as_str()), ("PolicyDocument", &text), ("SetAsDefault", "true")];
                root.form("iam", "CreatePolicyVersion", &fields).await?;
            }
        }
        Ok(())
    }
}

/// A session of the role `arn`, called `session`.
///
/// # Errors
/// When its trust policy does not let `caller` in.
pub(super) async fn assume(caller: &Caller, arn: &str, session: &str) -> anyhow::Result<Caller> {
    let fields = [("RoleArn", arn), ("RoleSessionName", session), ("DurationSeconds", "3600")];
    let answer = caller.form("sts", "AssumeRole", &fields).await?;
    let part = |name: &str| element(&answer, name).with_context(|| format!("AssumeRole gave no {name}"));
    let (key, secret, token) = (part("AccessKeyId")?, part("SecretAccessKey")?, part("SessionToken")?);
    Ok(caller.with(Credentials::new(key, secret, Some(token), None, "stack")))
}

fn document(answer: &str, name: &str) -> anyhow::Result<Value> {
    let text = element(answer, name).with_context(|| format!("an answer without {name}"))?;
    serde_json::from_str(&decoded(&text)?).with_context(|| format!("{name} is not JSON"))
}

/// The texts of all elements called `name`.
fn members(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1).filter_map(|part| part.split_once(&close));
    parts.map(|(text, _)| text.trim().to_owned()).filter(|text| !text.contains('<')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_a_name_is_a_member() {
        let xml = "<L><member>a</member><member>b</member><member><PolicyArn>arn</PolicyArn></member></L>";
        assert_eq!(members(xml, "member"), ["a", "b"]);
        assert_eq!(members(xml, "PolicyArn"), ["arn"]);
    }
}
