//! Secrets of Secrets Manager: those that the configuration names, and those that msk-kraft stores itself
//! (`runtime::secrets`).

use std::collections::BTreeSet;

use migration::config::{AuthConfig, is_secret_arn};
use serde_json::json;

use super::calls::Grant;
use super::statement::Statement;
use super::{Names, QUESTIONS};

impl Names<'_> {
    /// All secrets of the run.
    pub(super) fn of_the_run(&self) -> Vec<String> {
        if self.stores_credentials() || !self.of_webhooks().is_empty() {
            vec![self.stored(self.id, "*")]
        } else {
            Vec::new()
        }
    }

    /// Those of the run that functions sign in with, when there will be any.
    pub(super) fn of_sides(&self) -> Vec<String> {
        if self.stores_credentials() { vec![self.stored(self.id, "*")] } else { Vec::new() }
    }

    /// Those of the run with the webhooks' URLs, when there will be any.
    pub(super) fn of_webhooks(&self) -> Vec<String> {
        let cutover = &self.config.cutover;
        let parts = [
            ("webhook-??????", cutover.open_webhook()),
            ("client-switch-webhook-??????", cutover.open_client_switch_webhook()),
        ];
        parts.into_iter().filter(|(_, url)| url.is_some()).map(|(part, _)| self.stored(self.id, part)).collect()
    }

    /// The configuration's secret with the key that calls of the webhooks are signed with.
    pub(super) fn webhook_key(&self) -> Vec<String> {
        self.config.cutover.webhook_secret_arn.iter().cloned().collect()
    }

    /// The secrets that last as long as a question to the precheck function, when there will be any.
    pub(super) fn of_questions(&self) -> Vec<String> {
        if self.stores_credentials() { vec![self.stored(QUESTIONS, "*")] } else { Vec::new() }
    }

    /// The secrets of `owner` whose names, with the random end of their ARNs, go on with `part`.
    fn stored(&self, owner: &str, part: &str) -> String {
        self.deployment.arn("secretsmanager", &format!("secret:msk-kraft/{owner}/{part}"))
    }

    fn stores_credentials(&self) -> bool {
        self.sides().any(AuthConfig::refers_to_its_machine)
    }

    /// The secrets that the configuration names.
    pub(super) fn given(&self) -> Vec<String> {
        let named: BTreeSet<_> = self.sides().flat_map(|auth| self.given_to(auth)).collect();
        named.into_iter().collect()
    }

    /// Those of one side.
    pub(super) fn given_to(&self, auth: &AuthConfig) -> Vec<String> {
        let named = [auth.secret_arn.clone(), auth.keystore.clone(), auth.truststore.clone()];
        named.into_iter().flatten().filter(|named| is_secret_arn(named)).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn sides(&self) -> impl Iterator<Item = &AuthConfig> {
        [&self.config.source.auth, &self.config.target.auth].into_iter()
    }
}

/// The keys of these secrets of the configuration, for nothing but these secrets. A secret does not tell its key; that of a
/// secret with a SCRAM user is never Secrets Manager's own, which MSK does not take
/// (<https://docs.aws.amazon.com/msk/latest/developerguide/msk-password.html>).
pub(super) fn keys(grant: Grant, sid: &str, secrets: &[String]) -> Option<Statement> {
    let part = |secret: &str, number| secret.split(':').nth(number).unwrap_or_default().to_owned();
    let key = |secret: &String| format!("arn:{}:kms:{}:{}:key/*", part(secret, 1), part(secret, 3), part(secret, 4));
    let keys: BTreeSet<_> = secrets.iter().map(key).collect();
    let service = |secret: &String| format!("secretsmanager.{}.amazonaws.com", part(secret, 3));
    let services: BTreeSet<_> = secrets.iter().map(service).collect();
    let for_them = json!({"StringEquals": {
        "kms:ViaService": services,
        "kms:EncryptionContext:SecretARN": secrets,
    }});
    let actions = grant.actions().iter().copied();
    (!keys.is_empty()).then(|| Statement::allow(sid, actions, keys).only_if(for_them))
}
