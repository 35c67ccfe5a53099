//! Listeners that want to know who a client is, as MSK offers them.

use std::fmt::Write;
use std::path::PathBuf;

use crate::certificates::{CLIENT, Certificates, STORE_PASSWORD};

/// A listener beside the plaintext one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// SASL/SCRAM-SHA-512 over TLS.
    Scram,
    /// TLS with a client certificate.
    Mtls,
    /// TLS alone.
    Tls,
    /// SASL/OAUTHBEARER over TLS, with the tokens of IAM.
    Iam,
}

/// The SCRAM user of both clusters.
pub const SCRAM_USER: &str = "migrator";
/// The user's password.
pub const SCRAM_PASSWORD: &str = "correct-horse$battery";

/// How long a session lasts that was begun with IAM: short, so that clients have to sign in again within a test.
const IAM_SESSION_MS: u64 = 4_000;

impl Listener {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Scram, Self::Mtls, Self::Tls, Self::Iam];

    /// Its name in `listeners`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Scram => "SCRAM",
            Self::Mtls => "MTLS",
            Self::Tls => "TLS",
            Self::Iam => "IAM",
        }
    }

    /// Kafka's name of what protects it.
    pub(super) const fn protocol(self) -> &'static str {
        match self {
            Self::Scram | Self::Iam => "SASL_SSL",
            Self::Mtls | Self::Tls => "SSL",
        }
    }
}

/// What brokers need for these listeners.
#[derive(Debug, Clone)]
pub struct AuthFiles {
    /// Keys and certificates.
    pub certificates: Certificates,
    /// Classes that the brokers load on top of their own.
    pub classes: PathBuf,
}

/// The lines of `server.properties` that the listeners need. Everybody who signs in may do everything.
pub(super) fn properties(files: &AuthFiles) -> String {
    let mut text = format!(
        "ssl.keystore.type=PKCS12\nssl.keystore.location={}\nssl.keystore.password={STORE_PASSWORD}\n\
         ssl.key.password={STORE_PASSWORD}\n\
         ssl.truststore.type=PKCS12\nssl.truststore.location={}\nssl.truststore.password={STORE_PASSWORD}\n\
         listener.name.mtls.ssl.client.auth=required\n\
         listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         listener.name.iam.sasl.enabled.mechanisms=OAUTHBEARER\n\
         listener.name.iam.oauthbearer.sasl.server.callback.handler.class=io.mskkraft.broker.MskTokenValidator\n\
         listener.name.iam.oauthbearer.connections.max.reauth.ms={IAM_SESSION_MS}\n",
        files.certificates.broker_p12().display(),
        files.certificates.authority_p12().display(),
    );
    for (listener, module) in [
        ("scram.scram-sha-512", "org.apache.kafka.common.security.scram.ScramLoginModule"),
        ("iam.oauthbearer", "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "listener.name.{listener}.sasl.jaas.config={module} required;");
    }
    text
}

/// Who may do everything beside the plaintext listener's clients, for `super.users`: SCRAM user, certificate, access key.
pub(super) fn super_users() -> String {
    format!(";User:{SCRAM_USER};User:CN={CLIENT};User:test")
}

/// The arguments by which `kafka-configs.sh` adds the SCRAM user.
pub(super) fn add_user(bootstrap: &str) -> Vec<String> {
    let credentials = format!("SCRAM-SHA-512=[iterations=4096,password={SCRAM_PASSWORD}]");
    let args = ["--bootstrap-server", bootstrap, "--alter", "--entity-type", "users", "--entity-name", SCRAM_USER];
    args.into_iter().chain(["--add-config", &credentials]).map(str::to_owned).collect()
}
