//! IAM on MSK: tokens for SASL/OAUTHBEARER, as AWS's signers for MSK make them (`aws-msk-iam-sasl-signer-*`).
//!
//! A token is the address of a GET request for `kafka-cluster:Connect`, presigned with Signature Version 4 for the service
//! `kafka-cluster`, followed by the signer's name, in base64url without padding.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long a token can be used to sign in.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// The name MSK knows the permission to connect by.
const ACTION: &str = "kafka-cluster%3AConnect";
const SERVICE: &str = "kafka-cluster";
const USER_AGENT: &str = concat!("msk-kraft/", env!("CARGO_PKG_VERSION"));

/// Signs tokens with the AWS credentials of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MskIam {
    region: Cow<'static, str>,
    credentials: SharedCredentialsProvider,
    now: fn() -> SystemTime,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There are no AWS credentials at the moment.
    #[error("no AWS credentials: {0}")]
    Credentials(#[from] CredentialsError),
    /// The credentials or the region are not fit to sign with.
    #[error("the token cannot be signed: {0}")]
    Signing(Box<dyn std::error::Error + Send + Sync>),
}

impl MskIam {
    /// Tokens for the clusters of `region`, signed with what `credentials` provides at that time.
    pub fn new(region: impl Into<Cow<'static, str>>, credentials: impl ProvideCredentials + 'static) -> Self {
        let credentials = SharedCredentialsProvider::new(credentials);
        Self { region: region.into(), credentials, now: SystemTime::now }
    }

    /// The same by another clock than this machine's.
    #[must_use]
    pub fn with_clock(self, now: fn() -> SystemTime) -> Self {
        Self { now, ..self }
    }

    /// A fresh token, to be used within [`TOKEN_LIFETIME`].
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn token(&self) -> Result<String, TokenError> {
        let credentials = self.credentials.provide_credentials().await?;
        sign_token(&self.region, &credentials, (self.now)()).map_err(TokenError::Signing)
    }
}

fn sign_token(
    region: &str,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(TOKEN_LIFETIME);
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder().identity(&identity).region(region).name(SERVICE).time(now);
    let params = params.settings(settings).build()?.into();
    let address = format!("https://kafka.{region}.amazonaws.com/?Action={ACTION}");
    let request = SignableRequest::new("GET", &address, std::iter::empty(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign(request, &params)?.into_parts();
    let mut request = http::Request::get(&address).body(())?;
    instructions.apply_to_request_http1x(&mut request);
    // Behind the signature, which does not cover it.
    let signed = format!("{}&User-Agent={}", request.uri(), USER_AGENT.replace('/', "%2F"));
    Ok(URL_SAFE_NO_PAD.encode(signed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(session: Option<&str>) -> String {
        let credentials = Credentials::new("AKIDEXAMPLE", "hunter2", session.map(str::to_owned), None, "test");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let token = sign_token("eu-west-2", &credentials, now).unwrap();
        String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap()
    }

    fn parameter<'a>(address: &'a str, name: &str) -> Option<&'a str> {
        let (_, query) = address.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    #[test]
    fn a_token_has_the_parts_that_msk_reads() {
        let address = signed(None);
        assert!(
            address.starts_with("https://kafka.eu-west-2.amazonaws.com/?Action=kafka-cluster%3AConnect&"),
            "{address}"
        );
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", "AKIDEXAMPLE%2F20260101%2Feu-west-2%2Fkafka-cluster%2Faws4_request"),
            ("X-Amz-Date", "20260101T000000Z"),
            ("X-Amz-Expires", "900"),
            ("X-Amz-SignedHeaders", "host"),
            // Computed by Python's `hmac` and `hashlib` from the definition of Signature Version 4.
            ("X-Amz-Signature", "c0f37cbd20696ca38bdb1e709cb149e0639934e7a8167f65ad96e3aff5af5bc9"),
        ] {
            assert_eq!(parameter(&address, name), Some(value), "{address}");
        }
        assert!(address.ends_with(concat!("&User-Agent=msk-kraft%2F", env!("CARGO_PKG_VERSION"))), "{address}");
        assert!(!address.contains("hunter2"));
    }

    #[test]
    fn a_session_token_is_signed_with_the_rest() {
        let address = signed(Some("FwoG/session=="));
        assert_eq!(parameter(&address, "X-Amz-Security-Token"), Some("FwoG%2Fsession%3D%3D"));
        assert_ne!(parameter(&address, "X-Amz-Signature"), parameter(&signed(None), "X-Amz-Signature"));
    }

    #[tokio::test]
    async fn missing_credentials_are_named() {
        #[derive(Debug)]
        struct Nobody;
        impl ProvideCredentials for Nobody {
            fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
            where
                Self: 'a,
            {
                let nothing = CredentialsError::not_loaded("nobody is signed in");
                aws_credential_types::provider::future::ProvideCredentials::ready(Err(nothing))
            }
        }
        let error = MskIam::new("eu-west-2", Nobody).token().await.unwrap_err();
        assert!(error.to_string().contains("no AWS credentials"), "{error}");
    }
}
