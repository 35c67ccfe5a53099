//! From a configuration and its secrets to what the Kafka client signs in with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use clock::Clock;
use kafka::auth::stores::{self, StoreError};
use kafka::auth::{MskIam, Secret};
use kafka::{Auth, Sasl, Tls};
use migration::config::{AuthConfig, AuthMode, ClusterConfig};
use migration::{Error, Result};
use serde::Deserialize;

use crate::aws::Aws;
use crate::secrets::{self, RunSecret, Version};

/// A SCRAM user as MSK keeps it in a secret whose name begins with `AmazonMSK_`.
#[derive(Deserialize)]
struct MskUser {
    username: String,
    password: String,
}

/// Everything secret about signing in to the cluster of `config`: the run's own secret, read with `own` credentials, filled up
/// from the operator's, which are read under the cluster's role where it has one.
/// `version` is that of the secret with the user, which MSK rotates.
///
/// # Errors
/// Blocked when a secret is missing, must not be read, or does not hold what it should.
pub(crate) async fn read(own: &Aws, config: &ClusterConfig, version: Version) -> Result<RunSecret> {
    let AuthConfig { secret_arn, keystore, truststore, .. } = &config.auth;
    let aws = &own.acting_for(config).await?;
    let mut secret = RunSecret::of(own, config).await?;
    if let Some(arn) = secret_arn {
        let content = secrets::read(aws, arn, version).await?;
        // What serde_json says could repeat what it read.
        let user: MskUser = serde_json::from_slice(&content).map_err(|_| {
            Error::blocked(format_args!(
                "the secret {arn} does not hold a SCRAM user as MSK keeps it: {{\"username\": …, \"password\": …}}"
            ))
        })?;
        (secret.username, secret.password) = (Some(user.username), Some(user.password));
    }
    if let Some(arn) = keystore {
        secret.keystore = Some(stored(aws, arn).await?);
    }
    if let Some(arn) = truststore {
        secret.truststore = Some(stored(aws, arn).await?);
    }
    Ok(secret)
}

/// How to sign in to the cluster of `config` with `secret`.
///
/// # Errors
/// Blocked when a store or what it holds cannot be used.
pub(crate) fn auth(aws: &Aws, config: &ClusterConfig, secret: &RunSecret) -> Result<Auth> {
    let mode = config.auth.mode;
    if mode == AuthMode::Plaintext {
        return Ok(Auth::Plaintext);
    }
    let unusable = |field: &str, error: StoreError| {
        Error::blocked(format_args!("auth.{field} of {} cannot be used: {error}", config.name()))
    };
    let trusted = decoded(&secret.truststore)?.map(|store| {
        stores::trusted(&store, secret.truststore_password.as_deref()).map_err(|error| unusable("truststore", error))
    });
    let identity = decoded(&secret.keystore)?.map(|store| {
        stores::identity(&store, secret.keystore_password.as_deref()).map_err(|error| unusable("keystore", error))
    });
    let tls = Tls::new(trusted.transpose()?, identity.transpose()?);
    let tls = tls.map_err(|error| unusable("keystore or truststore", error))?;
    is_current(&tls, config, Clock::system().now())?;
    Ok(match mode {
        AuthMode::Iam => Auth::Sasl(tls, Sasl::MskIam(iam(aws, config)?)),
        AuthMode::ScramSha512 => Auth::Sasl(tls, scram(config, secret)?),
        AuthMode::Mtls | AuthMode::Tls | AuthMode::Plaintext => Auth::Tls(tls),
    })
}

/// Brokers only say that they do not accept an expired certificate, and not why.
fn is_current(tls: &Tls, config: &ClusterConfig, now: DateTime<Utc>) -> Result<()> {
    let Some(expired) = tls.expires().filter(|expires| *expires <= now) else { return Ok(()) };
    Err(Error::blocked(format_args!(
        "auth.keystore of {} cannot be used: its certificate expired at {}; put a newer one there",
        config.name(),
        clock::timestamp(expired)
    )))
}

/// A store out of a secret of the operator, in base64.
async fn stored(aws: &Aws, arn: &str) -> Result<String> {
    Ok(in_base64(&secrets::read(aws, arn, Version::Current).await?))
}

/// A binary file in a secret made of text is in base64 already, in lines or in one; PEM is text by itself.
fn in_base64(content: &[u8]) -> String {
    let unwrapped = content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let text = String::from_utf8(unwrapped).ok().filter(|text| BASE64.decode(text).is_ok());
    text.unwrap_or_else(|| BASE64.encode(content))
}

fn decoded(store: &Option<String>) -> Result<Option<Vec<u8>>> {
    let decode = |store| BASE64.decode(store).map_err(|_| Error::blocked("the run's secret is damaged"));
    store.as_ref().map(decode).transpose()
}

fn iam(aws: &Aws, config: &ClusterConfig) -> Result<MskIam> {
    let credentials = aws.config().credentials_provider();
    let credentials =
        credentials.ok_or_else(|| Error::blocked("there are no AWS credentials to sign in with by IAM"))?;
    Ok(MskIam::new(config.region().to_owned(), credentials))
}

fn scram(config: &ClusterConfig, secret: &RunSecret) -> Result<Sasl> {
    match (&secret.username, &secret.password) {
        (Some(username), Some(password)) => {
            Ok(Sasl::ScramSha512 { username: username.clone(), password: Secret::from(password.clone()) })
        }
        _ => Err(Error::blocked(format_args!("there is no SCRAM user for {}", config.name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::ErrorKind;

    #[test]
    fn an_expired_certificate_is_called_one() {
        let store = include_bytes!("../../kafka/src/auth/stores/fixtures/client.pem");
        let tls = Tls::new(None, Some(stores::identity(store, None).unwrap())).unwrap();
        let config = serde_json::json!({
            "cluster_arn": "arn:aws:kafka:us-east-1:123456789012:cluster/orders/0a1b2c3d-1",
            "auth": {"mode": "mtls", "keystore": "client.pem"},
        });
        let config: ClusterConfig = serde_json::from_value(config).unwrap();
        let expires = tls.expires().unwrap();
        is_current(&tls, &config, expires - chrono::TimeDelta::seconds(1)).unwrap();
        let error = is_current(&tls, &config, expires).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Blocked);
        let expected = ["auth.keystore of orders", "expired at 2126-10-28", "put a newer one there"];
        assert!(expected.iter().all(|part| error.message.contains(part)), "{error}");
    }

    #[test]
    fn a_store_in_a_secret_is_binary_or_text_however_it_is_wrapped() {
        let store: Vec<u8> = (0..=255).collect();
        let base64 = BASE64.encode(&store);
        let lines: Vec<_> = base64.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
        for content in
            [store.clone(), base64.clone().into(), lines.join("\n").into(), (lines.join("\r\n") + "\n").into()]
        {
            assert_eq!(in_base64(&content), base64);
        }
        let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(BASE64.decode(in_base64(pem)).unwrap(), pem);
    }
}
