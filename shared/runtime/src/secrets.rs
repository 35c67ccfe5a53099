//! Secrets of a run: what an operator's file refers to, kept in Secrets Manager from the start of a migration to its end.
//!
//! States, journal and evidence hold ARNs only. The CLI seals a configuration before it leaves its machine; the functions
//! that end a migration forget it.

use std::fmt::{self, Debug};

use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::types::Tag;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{CreateUnhandledError, SdkError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use migration::config::{AuthConfig, ClusterConfig, Cutover, SecretRef, is_secret_arn};
use migration::{Config, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::aws::{Aws, sdk_error};

/// Most bytes in a secret (Secrets Manager quota).
const MAX_SECRET: usize = 65_536;
/// Fewest bytes of a key that webhooks' calls are signed with.
const SHORTEST_KEY: usize = 16;
/// Tag of a run's secrets, with the migration's id.
const TAG: &str = "msk-kraft:migration";

/// What one side needs of the operator's machine. Stores are in base64.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RunSecret {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keystore: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keystore_password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truststore: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truststore_password: Option<String>,
}

impl Debug for RunSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunSecret")
    }
}

/// Moves everything that `config` refers to on this machine (environment variables, files) into secrets of `owner`, one for
/// each side that needs one, and the URL of each webhook into another. Sealing a sealed configuration changes nothing; sealing again under the same owner replaces.
///
/// `created` hears the ARN of each secret that was not there before, as soon as it is: whoever calls has to [`delete`] those
/// when this fails, or when nothing comes of the configuration. One that was there may be in use.
///
/// # Errors
/// Invalid, naming every variable that is not set, every file that cannot be read and every side that no secret can hold;
/// Blocked when Secrets Manager refuses; Transient when it was not reached, or when a secret of that name is just being
/// deleted.
pub async fn seal(aws: &Aws, config: &Config, owner: &str, created: impl Fn(&str)) -> Result<Config> {
    let env = |name: &str| std::env::var(name).ok();
    // Both are read, and small enough, before either is stored.
    let source = RunSecret::gather("source", &config.source.auth, env);
    let target = RunSecret::gather("target", &config.target.auth, env);
    let problems: Vec<_> = [&source, &target].into_iter().filter_map(|secret| secret.as_ref().err().cloned()).collect();
    if !problems.is_empty() {
        return Err(Error::invalid(problems.join("\n")));
    }
    let keep = async |part: &str, content: &str| match store(aws, owner, part, content).await? {
        Stored::Created(arn) => {
            created(&arn);
            Ok::<_, Error>(arn)
        }
        Stored::Replaced(arn) => Ok(arn),
    };
    let mut sealed = config.clone();
    if let Ok(Some(content)) = source {
        sealed.source.auth = sealed.source.auth.sealed(keep("source", &content).await?);
    }
    if let Ok(Some(content)) = target {
        sealed.target.auth = sealed.target.auth.sealed(keep("target", &content).await?);
    }
    let cutover = &config.cutover;
    let mut webhooks = [cutover.run_webhook_arn.clone(), cutover.run_client_switch_webhook_arn.clone()];
    let open = [("webhook", cutover.open_webhook()), ("client-switch-webhook", cutover.open_client_switch_webhook())];
    for ((part, url), arn) in open.into_iter().zip(&mut webhooks) {
        if let Some(url) = url {
            *arn = Some(keep(part, url).await?);
        }
    }
    let [webhook, client_switch] = webhooks;
    sealed.cutover = cutover.sealed(webhook, client_switch);
    Ok(sealed)
}

/// Deletes the secrets of a run for good. Those that are gone already are no error.
///
/// # Errors
/// Those of [`delete`].
pub async fn forget(aws: &Aws, config: &Config) -> Result<()> {
    delete(aws, config.run_secrets()).await
}

/// Deletes the secrets `arns` for good, each whatever becomes of the others. Those that are gone already are no error.
///
/// # Errors
/// Blocked or Transient, naming every secret that is still there.
pub async fn delete<'a>(aws: &Aws, arns: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut left: Option<Error> = None;
    for arn in arns {
        let request = aws.secrets(arn).delete_secret().secret_id(arn).force_delete_without_recovery(true);
        let Err(error) = request.send().await else { continue };
        if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) {
            continue;
        }
        let error = sdk_error(&format!("delete the run's secret {arn}"), &error);
        match &mut left {
            Some(first) => first.message = format!("{}; {}", first.message, error.message),
            None => left = Some(error),
        }
    }
    left.map_or(Ok(()), Err)
}

/// As [`forget`], for the end of a migration, which does not fail because of it: the CLI tries again.
pub async fn forget_at_end(aws: &Aws, config: &Config) {
    if let Err(error) = forget(aws, config).await {
        tracing::warn!(%error, "a secret of the run is still there");
    }
}

/// Which of the operator's webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookName {
    /// The one that freezes producers and lets them go.
    Freeze,
    /// The one that switches clients to the target.
    ClientSwitch,
}

/// The whole URL of a webhook, if there is one.
///
/// # Errors
/// Blocked when the secret is gone, may not be read, or is no webhook; otherwise those of Secrets Manager.
pub async fn webhook(aws: &Aws, cutover: &Cutover, which: WebhookName) -> Result<Option<String>> {
    let (url, arn) = match which {
        WebhookName::Freeze => (&cutover.producer_freeze_webhook, &cutover.run_webhook_arn),
        WebhookName::ClientSwitch => (&cutover.client_switch_webhook, &cutover.run_client_switch_webhook_arn),
    };
    let Some(arn) = arn else { return Ok(url.clone()) };
    String::from_utf8(read(aws, arn, Version::Current).await?).map(Some).map_err(|_| not_ours(arn))
}

/// The key that calls of webhooks are signed with, if they are: the value of the operator's secret as it is.
///
/// # Errors
/// Blocked when the secret is gone, may not be read, or is too short for a key; otherwise those of Secrets Manager.
pub async fn webhook_key(aws: &Aws, cutover: &Cutover) -> Result<Option<Vec<u8>>> {
    let Some(arn) = &cutover.webhook_secret_arn else { return Ok(None) };
    let key = read(aws, arn, Version::Current).await?;
    if key.len() < SHORTEST_KEY {
        return Err(Error::blocked(format_args!(
            "cutover.webhook_secret_arn: the secret {arn} holds {} bytes, a key has to have at least {SHORTEST_KEY}",
            key.len()
        )));
    }
    Ok(Some(key))
}

/// Which content of a secret is meant, by Secrets Manager's labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// `AWSCURRENT`.
    Current,
    /// `AWSPREVIOUS`, what it was before the last rotation.
    Previous,
}

/// The content of the secret `arn`, whether it is text or not.
///
/// # Errors
/// Blocked when there is none or it must not be read.
pub(crate) async fn read(aws: &Aws, arn: &str, version: Version) -> Result<Vec<u8>> {
    let (label, what) = match version {
        Version::Current => ("AWSCURRENT", format!("read the secret {arn}")),
        Version::Previous => ("AWSPREVIOUS", format!("read what the secret {arn} was before")),
    };
    let found = aws.secrets(arn).get_secret_value().secret_id(arn).version_stage(label).send().await;
    let found = found.map_err(|error| sdk_error(&what, &error))?;
    let text = found.secret_string.map(String::into_bytes);
    let content = text.or_else(|| found.secret_binary.map(aws_sdk_secretsmanager::primitives::Blob::into_inner));
    content.ok_or_else(|| Error::blocked(format_args!("{what}: it is empty")))
}

/// The text of a secret that the configuration names, such as a key in PEM.
///
/// # Errors
/// Blocked when there is no such secret, it must not be read or is not text; Transient when AWS was not reached.
pub async fn text(aws: &Aws, arn: &str) -> Result<String> {
    let content = read(aws, arn, Version::Current).await?;
    String::from_utf8(content).map_err(|_| Error::blocked(format_args!("the secret {arn} does not hold text")))
}

/// The ARN of a stored secret.
enum Stored {
    /// There was none of its name.
    Created(String),
    /// There was one, which now has another content.
    Replaced(String),
}

/// Stores `text`, in place of an earlier one of the same owner and part of the configuration.
async fn store(aws: &Aws, owner: &str, part: &str, text: &str) -> Result<Stored> {
    let name = format!("msk-kraft/{owner}/{part}");
    let what = format!("store the secret {name}");
    let client = aws.secrets("");
    let tag = Tag::builder().key(TAG).value(owner).build();
    let description = format!("Credentials of the msk-kraft migration {owner} ({part}). Deleted at its end.");
    let created =
        client.create_secret().name(&name).description(description).secret_string(text).tags(tag).send().await;
    let stored = match created {
        Ok(created) => created.arn.map(Stored::Created),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_exists_exception()) => {
            let put = client.put_secret_value().secret_id(&name).secret_string(text).send().await;
            put.map_err(|error| store_error(&what, &error))?.arn.map(Stored::Replaced)
        }
        Err(error) => return Err(store_error(&what, &error)),
    };
    stored.ok_or_else(|| Error::internal(format_args!("{what}: it has no ARN")))
}

/// As [`sdk_error`]. A deleted secret's name is free after a moment only, since Secrets Manager deletes in the background;
/// until then it answers "… already scheduled for deletion" or "… was marked for deletion".
fn store_error<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: CreateUnhandledError + ProvideErrorMetadata + std::error::Error + Debug + Send + Sync + 'static,
{
    let deleting = error.code() == Some("InvalidRequestException")
        && error.message().is_some_and(|message| message.contains("for deletion"));
    let error = sdk_error(what, error);
    if deleting { Error { kind: ErrorKind::Transient, ..error } } else { error }
}

fn not_ours(arn: &str) -> Error {
    Error::blocked(format_args!("the secret {arn} is not one that msk-kraft made"))
}

impl RunSecret {
    /// What is to be stored of `auth`; nothing when it refers to nothing on this machine.
    ///
    /// # Errors
    /// Those of [`RunSecret::collect`] and [`RunSecret::encoded`].
    fn gather(side: &str, auth: &AuthConfig, env: impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
        Self::collect(side, auth, env)?.map(|secret| secret.encoded(side)).transpose()
    }

    /// What `auth` refers to on this machine; nothing when it refers to nothing.
    ///
    /// # Errors
    /// Every variable that is not set and every file that cannot be read, a line each.
    fn collect(side: &str, auth: &AuthConfig, env: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let mut problems = Vec::new();
        let mut variable = |field: &str, reference: &Option<SecretRef>| {
            let name = match reference.as_ref()? {
                SecretRef::Literal(password) => return Some(password.clone()),
                SecretRef::Variable(name) => name,
            };
            let value = env(name);
            if value.is_none() {
                problems.push(format!("{side}.auth.{field}: the environment variable {name} is not set"));
            }
            value
        };
        let password = variable("password", &auth.password);
        let keystore_password = variable("keystore_password", &auth.keystore_password);
        let truststore_password = variable("truststore_password", &auth.truststore_password);
        let mut file = |field: &str, store: &Option<String>| {
            let path = store.as_ref().filter(|store| !is_secret_arn(store))?;
            let content = std::fs::read(path);
            content.map_err(|error| problems.push(format!("{side}.auth.{field}: cannot read {path}: {error}"))).ok()
        };
        let keystore = file("keystore", &auth.keystore).map(|content| BASE64.encode(content));
        let truststore = file("truststore", &auth.truststore).map(|content| BASE64.encode(content));
        if !problems.is_empty() {
            return Err(problems.join("\n"));
        }
        let username = auth.username.clone();
        let secret = Self { username, password, keystore, keystore_password, truststore, truststore_password };
        Ok((secret != Self::default()).then_some(secret))
    }

    /// What is stored of it.
    ///
    /// # Errors
    /// That it is larger than a secret can be, and the way out.
    fn encoded(&self, side: &str) -> Result<String, String> {
        let text = serde_json::to_string(self).map_err(|error| format!("{side}.auth: {error}"))?;
        if text.len() <= MAX_SECRET {
            return Ok(text);
        }
        let size = |store: &Option<String>| store.as_ref().map_or(0, String::len);
        let way_out = if size(&self.truststore) > size(&self.keystore) {
            // MSK's own instructions make the trust store a copy of Java's cacerts.
            "leave truststore out, since the functions' system trusts the authorities of MSK and all that Java's cacerts \
             holds, or keep only the authority of the brokers in it"
        } else {
            "keep only the key to sign in with, and its certificates, in the key store"
        };
        Err(format!(
            "{side}.auth: key and trust store with their passwords take {} bytes, and a secret holds {MAX_SECRET}: {way_out}",
            text.len()
        ))
    }

    /// The one that `config` was sealed with; an empty one when there was nothing to seal.
    ///
    /// # Errors
    /// Blocked when it is gone, or when `config` was never sealed and has to be.
    pub(crate) async fn of(aws: &Aws, config: &ClusterConfig) -> Result<Self> {
        let Some(arn) = &config.auth.run_secret_arn else { return Self::nothing_for(config) };
        let content = read(aws, arn, Version::Current).await?;
        // What serde_json says could repeat what it read.
        serde_json::from_slice(&content).map_err(|_| not_ours(arn))
    }

    fn nothing_for(config: &ClusterConfig) -> Result<Self> {
        match config.auth.refers_to_its_machine() {
            false => Ok(Self::default()),
            true => Err(Error::blocked(format_args!(
                "auth of {} has a password, or names variables or files of the machine it was written on: start the \
                 migration by msk-kraft execute or resume --config, which moves them into a secret",
                config.name()
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
