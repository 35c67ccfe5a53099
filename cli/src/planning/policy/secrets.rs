//! Secrets of Secrets Manager: those that the configuration names, and those that msk-kraft stores itself
//! (`runtime::secrets`).

use std::collections::BTreeSet;

use deployment::Resource;
use migration::config::{AuthConfig, is_secret_arn};
use serde_json::{Value, json};

use super::{QUESTIONS, Scope};

impl Scope<'_> {
    /// ARNs of a set of secrets, or of the keys of one.
    pub(super) fn secrets(&self, resource: Resource) -> Vec<String> {
        match resource {
            Resource::SignInSecrets => [self.of_sides(), self.named(resource)].concat(),
            Resource::SourceSignInSecrets if self.is_fenced() => [self.of_sides(), self.named(resource)].concat(),
            Resource::WebhookUrls => self.of_webhooks(),
            Resource::WebhookKey => self.named(resource),
            Resource::SignInKeys => keys(&self.named(Resource::SignInSecrets)),
            Resource::SourceSignInKeys => keys(&self.named(Resource::SourceSignInSecrets)),
            Resource::SigningKey => self.named(resource),
            Resource::SigningKeyKeys => keys(&self.named(Resource::SigningKey)),
            Resource::WebhookKeyKeys => keys(&self.named(Resource::WebhookKey)),
            Resource::RunSecrets if self.stores_credentials() || !self.of_webhooks().is_empty() => {
                vec![self.stored(self.id, "*")]
            }
            Resource::QuestionSecrets if self.stores_credentials() => vec![self.stored(QUESTIONS, "*")],
            _ => Vec::new(),
        }
    }

    /// Those of a set that the configuration names.
    pub(super) fn named(&self, resource: Resource) -> Vec<String> {
        match resource {
            Resource::SignInSecrets => {
                let named: BTreeSet<_> = self.own_sides().flat_map(named_by).collect();
                named.into_iter().collect()
            }
            Resource::SourceSignInSecrets if self.is_fenced() && self.config.source.role_arn.is_none() => {
                named_by(&self.config.source.auth)
            }
            Resource::SigningKey => self.config.evidence.signing_key_arn.iter().cloned().collect(),
            Resource::WebhookKey => self.config.cutover.webhook_secret_arn.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// The secrets of the run that functions sign in with, when there will be any.
    fn of_sides(&self) -> Vec<String> {
        if self.stores_credentials() { vec![self.stored(self.id, "*")] } else { Vec::new() }
    }

    /// Those of the run with the webhooks' URLs, when there will be any.
    fn of_webhooks(&self) -> Vec<String> {
        let cutover = &self.config.cutover;
        let parts = [
            ("webhook-??????", cutover.open_webhook()),
            ("client-switch-webhook-??????", cutover.open_client_switch_webhook()),
        ];
        parts.into_iter().filter(|(_, url)| url.is_some()).map(|(part, _)| self.stored(self.id, part)).collect()
    }

    /// The secrets of `owner` whose names, with the random end of their ARNs, go on with `part`.
    fn stored(&self, owner: &str, part: &str) -> String {
        self.names.arn("secretsmanager", &format!("secret:msk-kraft/{owner}/{part}"))
    }

    fn stores_credentials(&self) -> bool {
        self.sides().into_iter().any(AuthConfig::refers_to_its_machine)
    }

    /// Sides whose secrets functions read under their own roles.
    fn own_sides(&self) -> impl Iterator<Item = &AuthConfig> {
        let sides = [&self.config.source, &self.config.target].into_iter();
        sides.filter(|side| side.role_arn.is_none()).map(|side| &side.auth)
    }

    fn sides(&self) -> [&AuthConfig; 2] {
        [&self.config.source.auth, &self.config.target.auth]
    }
}

/// The secrets that one side of the configuration names.
fn named_by(auth: &AuthConfig) -> Vec<String> {
    let named = [auth.secret_arn.clone(), auth.keystore.clone(), auth.truststore.clone()];
    named.into_iter().flatten().filter(|named| is_secret_arn(named)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The keys that these secrets may have: a secret does not tell its key. That of a secret with a SCRAM user is never Secrets
/// Manager's own, which MSK does not take (<https://docs.aws.amazon.com/msk/latest/developerguide/msk-password.html>).
fn keys(secrets: &[String]) -> Vec<String> {
    let key = |secret: &String| {
        let part = |number| secret.split(':').nth(number).unwrap_or_default();
        format!("arn:{}:kms:{}:{}:key/*", part(1), part(3), part(4))
    };
    secrets.iter().map(key).collect::<BTreeSet<_>>().into_iter().collect()
}

/// For nothing but these secrets, and for Secrets Manager alone.
pub(super) fn through_secrets_manager(secrets: &[String]) -> Value {
    let service =
        |secret: &String| format!("secretsmanager.{}.amazonaws.com", secret.split(':').nth(3).unwrap_or_default());
    json!({"StringEquals": {
        "kms:ViaService": secrets.iter().map(service).collect::<BTreeSet<_>>(),
        "kms:EncryptionContext:SecretARN": secrets,
    }})
}
