//! How to sign in to a cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::arn::Arn;

/// How to sign in to a cluster.
///
/// An operator's file gives passwords, mostly by reference, and stores by path. The CLI moves what they stand for into a secret
/// of the run before anything leaves its machine ([`AuthConfig::sealed`]), so that states and journal hold ARNs only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// The mechanism.
    pub mode: AuthMode,
    /// SCRAM user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// SCRAM password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// ARN of a Secrets Manager secret with SCRAM user and password, as MSK keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_arn: Option<String>,
    /// JKS, PKCS#12 or PEM file with the client's key and certificate, or the ARN of a secret that holds such a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystore: Option<String>,
    /// Password of `keystore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystore_password: Option<SecretRef>,
    /// JKS, PKCS#12 or PEM file with the certificates to trust, or the ARN of a secret that holds such a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truststore: Option<String>,
    /// Password of `truststore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truststore_password: Option<SecretRef>,
    /// ARN of the run's own secret, into which the CLI moved what the file referred to. Never in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_secret_arn: Option<String>,
}

/// The listeners MSK offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthMode {
    /// IAM over SASL/OAUTHBEARER.
    Iam,
    /// User and password over SASL/SCRAM-SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
    /// TLS with a client certificate.
    Mtls,
    /// TLS without one.
    Tls,
    /// Neither encryption nor authentication.
    Plaintext,
}

impl fmt::Display for AuthMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iam => "iam",
            Self::ScramSha512 => "scram-sha-512",
            Self::Mtls => "mtls",
            Self::Tls => "tls",
            Self::Plaintext => "plaintext",
        })
    }
}

/// A password as a file gives it. A literal one is neither printed nor part of the JSON form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// A reference `${NAME}` to the environment variable of this name.
    Variable(String),
    /// The password itself.
    Literal(String),
}

/// What stands for a literal password wherever it could be seen.
const HIDDEN: &str = "(hidden)";

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from(self.clone()))
    }
}

impl TryFrom<String> for SecretRef {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) if !name.is_empty() && !name.contains(['$', '{', '}']) => Ok(Self::Variable(name.to_owned())),
            // The text may be a password: it must not be repeated.
            _ if text.starts_with('$') || text.contains("${") => Err(
                "a variable is written as ${NAME} and nothing else; a password that looks like one goes into a variable",
            ),
            _ if text.is_empty() => Err("a password is not empty"),
            _ => Ok(Self::Literal(text)),
        }
    }
}

impl From<SecretRef> for String {
    fn from(secret: SecretRef) -> Self {
        match secret {
            SecretRef::Variable(name) => format!("${{{name}}}"),
            SecretRef::Literal(_) => HIDDEN.to_owned(),
        }
    }
}

/// Whether `text` is the ARN of a secret, in place of a path.
pub fn is_secret_arn(text: &str) -> bool {
    Arn::parse(text).is_some_and(|arn| arn.service == "secretsmanager" && arn.resource.starts_with("secret:"))
}

/// The last part of a file's name, in lower case.
fn extension(path: &str) -> String {
    path.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_ascii_lowercase())
}

impl AuthConfig {
    /// Without anything but the mechanism.
    pub const fn new(mode: AuthMode) -> Self {
        Self {
            mode,
            username: None,
            password: None,
            secret_arn: None,
            keystore: None,
            keystore_password: None,
            truststore: None,
            truststore_password: None,
            run_secret_arn: None,
        }
    }

    /// Whether it refers to something that only the operator's machine knows: variables, or files.
    pub fn refers_to_its_machine(&self) -> bool {
        let passwords = [&self.password, &self.keystore_password, &self.truststore_password];
        let path = |store: &Option<String>| store.as_ref().is_some_and(|store| !is_secret_arn(store));
        passwords.into_iter().any(Option::is_some) || path(&self.keystore) || path(&self.truststore)
    }

    /// What is left of it when everything that only the operator's machine knows has moved into the secret `arn`.
    #[must_use]
    pub fn sealed(&self, arn: String) -> Self {
        let elsewhere = |store: &Option<String>| store.clone().filter(|store| is_secret_arn(store));
        Self {
            secret_arn: self.secret_arn.clone(),
            keystore: elsewhere(&self.keystore),
            truststore: elsewhere(&self.truststore),
            run_secret_arn: Some(arn),
            ..Self::new(self.mode)
        }
    }

    /// Fields under `path` that hold a password itself, for everybody who can read the file.
    pub(super) fn literals(&self, path: &str) -> impl Iterator<Item = String> {
        let fields = [
            ("password", &self.password),
            ("keystore_password", &self.keystore_password),
            ("truststore_password", &self.truststore_password),
        ];
        let literal = |secret: &Option<SecretRef>| matches!(secret, Some(SecretRef::Literal(_)));
        fields.into_iter().filter(move |(_, secret)| literal(secret)).map(move |(field, _)| format!("{path}.{field}"))
    }

    /// Everything unusable about it, each with the field's path under `path`. No value is repeated: it may be a credential that
    /// was put at the wrong place.
    pub(super) fn problems(&self, path: &str) -> Vec<String> {
        let mut problems = self.unused(path);
        if self.run_secret_arn.is_some() {
            return problems;
        }
        match self.mode {
            AuthMode::ScramSha512 => self.check_user(path, &mut problems),
            AuthMode::Mtls if self.keystore.is_none() => {
                problems.push(format!("{path}.keystore is needed with mode mtls"));
            }
            _ => {}
        }
        let stores = [
            ("keystore", &self.keystore, &self.keystore_password),
            ("truststore", &self.truststore, &self.truststore_password),
        ];
        for (name, store, password) in stores {
            check_store(&format!("{path}.{name}"), store.as_deref(), password.is_some(), &mut problems);
        }
        problems
    }

    /// Fields that mean nothing with the mechanism, which is then probably not the one that is meant.
    fn unused(&self, path: &str) -> Vec<String> {
        let (user, key, trust) = match self.mode {
            AuthMode::ScramSha512 => (true, false, true),
            AuthMode::Mtls => (false, true, true),
            AuthMode::Iam | AuthMode::Tls => (false, false, true),
            AuthMode::Plaintext => (false, false, false),
        };
        let fields = [
            ("username", self.username.is_some(), user),
            ("password", self.password.is_some(), user),
            ("secret_arn", self.secret_arn.is_some(), user),
            ("keystore", self.keystore.is_some(), key),
            ("keystore_password", self.keystore_password.is_some(), key),
            ("truststore", self.truststore.is_some(), trust),
            ("truststore_password", self.truststore_password.is_some(), trust),
        ];
        let unused = fields.into_iter().filter(|(_, given, used)| *given && !used);
        unused.map(|(field, ..)| format!("{path}.{field} is of no use with mode {}: remove it", self.mode)).collect()
    }

    fn check_user(&self, path: &str, problems: &mut Vec<String>) {
        match (&self.username, &self.password, &self.secret_arn) {
            (None, None, None) => {
                problems
                    .push(format!("{path}: username and password, or secret_arn, are needed with mode scram-sha-512"));
            }
            (Some(_), None, None) => problems.push(format!("{path}.password is needed with username")),
            (None, Some(_), None) => problems.push(format!("{path}.username is needed with password")),
            (None, None, Some(arn)) if !is_secret_arn(arn) => problems.push(not_an_arn(&format!("{path}.secret_arn"))),
            (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
                problems.push(format!("{path}: give username and password, or secret_arn, but not both"));
            }
            _ => {}
        }
    }
}

fn not_an_arn(field: &str) -> String {
    format!("{field} is not the ARN of a secret (arn:aws:secretsmanager:REGION:ACCOUNT:secret:AmazonMSK_NAME-RANDOM)")
}

fn check_store(field: &str, store: Option<&str>, has_password: bool, problems: &mut Vec<String>) {
    let Some(store) = store else {
        if has_password {
            problems.push(format!("{field}_password is of no use without {field}"));
        }
        return;
    };
    if store.starts_with("arn:") {
        // What a secret holds shows when it is read.
        if !is_secret_arn(store) {
            problems.push(not_an_arn(field));
        }
        return;
    }
    let is_key = field.ends_with("keystore");
    match (extension(store).as_str(), has_password) {
        // Java reads the certificates of a JKS trust store without its password too.
        ("jks", false) if is_key => problems.push(format!("{field}_password is needed for a .jks file")),
        ("p12" | "pfx" | "pkcs12", false) => problems.push(format!("{field}_password is needed for a .p12 file")),
        ("pem" | "crt" | "cer" | "key", true) => {
            problems.push(format!("{field}_password is of no use: {field} is PEM, which is read unencrypted"));
        }
        ("jks" | "p12" | "pfx" | "pkcs12" | "pem" | "crt" | "cer" | "key", _) => {}
        _ => problems.push(format!("{field} has to be a .jks, .p12 or .pem file, or the ARN of a secret")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:AmazonMSK_copy-a1b2c3";

    fn problems(fields: serde_json::Value) -> Vec<String> {
        serde_json::from_value::<AuthConfig>(fields).unwrap().problems("source.auth")
    }

    #[test]
    fn every_way_to_sign_in_can_be_written() {
        for good in [
            serde_json::json!({"mode": "plaintext"}),
            serde_json::json!({"mode": "iam"}),
            serde_json::json!({"mode": "tls"}),
            serde_json::json!({"mode": "tls", "truststore": "ca.pem"}),
            serde_json::json!({"mode": "iam", "truststore": "ca.jks"}),
            serde_json::json!({"mode": "scram-sha-512", "username": "u", "password": "${P}"}),
            serde_json::json!({"mode": "scram-sha-512", "secret_arn": SECRET}),
            serde_json::json!({"mode": "mtls", "keystore": "k.pem"}),
            serde_json::json!({"mode": "mtls", "keystore": "k.JKS", "keystore_password": "${P}"}),
            serde_json::json!({"mode": "mtls", "keystore": SECRET, "keystore_password": "${P}"}),
            serde_json::json!({"mode": "mtls", "keystore": "k.p12", "keystore_password": "${P}",
                               "truststore": "t.p12", "truststore_password": "${Q}"}),
        ] {
            assert_eq!(problems(good.clone()), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn every_half_given_way_is_named_with_its_path() {
        for (bad, field, why) in [
            (serde_json::json!({"mode": "scram-sha-512"}), "source.auth", "secret_arn, are needed"),
            (serde_json::json!({"mode": "scram-sha-512", "username": "u"}), "source.auth.password", "needed"),
            (serde_json::json!({"mode": "scram-sha-512", "password": "${P}"}), "source.auth.username", "needed"),
            (
                serde_json::json!({"mode": "scram-sha-512", "username": "u", "password": "${P}", "secret_arn": SECRET}),
                "source.auth",
                "not both",
            ),
            (
                serde_json::json!({"mode": "scram-sha-512", "secret_arn": "AmazonMSK_x"}),
                "source.auth.secret_arn",
                "ARN",
            ),
            (serde_json::json!({"mode": "mtls"}), "source.auth.keystore", "needed"),
            (serde_json::json!({"mode": "mtls", "keystore": "k.p12"}), "source.auth.keystore_password", ".p12"),
            (serde_json::json!({"mode": "mtls", "keystore": "k.jks"}), "source.auth.keystore_password", ".jks"),
            (serde_json::json!({"mode": "mtls", "keystore": "k.txt"}), "source.auth.keystore", ".pem"),
            (
                serde_json::json!({"mode": "mtls", "keystore": "k.pem", "keystore_password": "${P}"}),
                "source.auth.keystore_password",
                "PEM",
            ),
            (
                serde_json::json!({"mode": "mtls", "keystore": "arn:aws:s3:::bucket/key"}),
                "source.auth.keystore",
                "ARN of a secret",
            ),
            (serde_json::json!({"mode": "tls", "truststore": "t.p12"}), "source.auth.truststore_password", ".p12"),
            (
                serde_json::json!({"mode": "tls", "truststore_password": "${P}"}),
                "source.auth.truststore_password",
                "without",
            ),
            (serde_json::json!({"mode": "tls", "keystore": "k.pem"}), "source.auth.keystore", "mode tls"),
            (
                serde_json::json!({"mode": "plaintext", "truststore": "t.pem"}),
                "source.auth.truststore",
                "mode plaintext",
            ),
            (serde_json::json!({"mode": "iam", "username": "u"}), "source.auth.username", "mode iam"),
        ] {
            let found = problems(bad.clone());
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
            assert!(found[0].starts_with(field) && found[0].contains(why), "{bad}: {found:?}");
        }
    }

    #[test]
    fn what_is_sealed_names_secrets_alone_and_can_be_used() {
        let full =
            serde_json::json!({"mode": "mtls", "keystore": "k.p12", "keystore_password": "${P}", "truststore": SECRET});
        let sealed = serde_json::from_value::<AuthConfig>(full).unwrap().sealed("arn:run".to_owned());
        let json = serde_json::to_value(&sealed).unwrap();
        assert_eq!(json, serde_json::json!({"mode": "mtls", "truststore": SECRET, "run_secret_arn": "arn:run"}));
        assert_eq!(sealed.problems("source.auth"), Vec::<String>::new());
    }

    #[test]
    fn a_password_is_a_variable_or_itself_and_never_shown() {
        let read = |text: &str| SecretRef::try_from(text.to_owned());
        assert_eq!(read("${A_B}"), Ok(SecretRef::Variable("A_B".to_owned())));
        assert_eq!(serde_json::json!(read("${A_B}").unwrap()), "${A_B}");
        for literal in ["hunter2", "a$b", "{A}"] {
            let secret = read(literal).unwrap();
            assert_eq!(secret, SecretRef::Literal(literal.to_owned()));
            assert_eq!((serde_json::json!(secret), format!("{secret:?}")), (HIDDEN.into(), HIDDEN.to_owned()));
        }
        for bad in ["", "${}", "${A}${B}", "x${A}", "$A"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
