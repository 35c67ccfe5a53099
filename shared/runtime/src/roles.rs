//! Roles of other accounts, assumed once for each process and renewed before they expire.

use std::collections::HashMap;
use std::sync::Arc;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use migration::{Error, Result};
use tokio::sync::Mutex;

/// Name of the sessions, which CloudTrail of the other account shows.
const SESSION: &str = "msk-kraft";

/// Providers by the ARN of their role. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roles {
    assumed: Arc<Mutex<HashMap<String, SharedCredentialsProvider>>>,
}

impl Roles {
    /// Credentials of `role`, asked for in `region` with those of `config`.
    ///
    /// # Errors
    /// Blocked, naming the role, when STS refuses; Transient when it was not reached.
    pub(crate) async fn assume(
        &self,
        role: &str,
        region: &str,
        config: &SdkConfig,
    ) -> Result<SharedCredentialsProvider> {
        let mut assumed = self.assumed.lock().await;
        if let Some(found) = assumed.get(role) {
            return Ok(found.clone());
        }
        let provider = AssumeRoleProvider::builder(role)
            .session_name(SESSION)
            .region(Region::new(region.to_owned()))
            .configure(config)
            .build()
            .await;
        provider.provide_credentials().await.map_err(|error| refused(role, &error))?;
        let provider = SharedCredentialsProvider::new(provider);
        assumed.insert(role.to_owned(), provider.clone());
        Ok(provider)
    }
}

fn refused(role: &str, error: &CredentialsError) -> Error {
    let cause = crate::aws::sources(error);
    let passing = matches!(error, CredentialsError::ProviderTimedOut(_)) || cause.contains("dispatch failure");
    if passing {
        return Error::transient(format_args!("assume the role {role}: {cause}"));
    }
    Error::blocked(format_args!(
        "cannot assume the role {role}: {cause}; the functions' roles need sts:AssumeRole on it, and its trust policy has to \
         name them (docs/DEPLOY.md)"
    ))
}

#[cfg(test)]
mod tests {
    use aws_config::BehaviorVersion;
    use aws_credential_types::Credentials;
    use aws_smithy_http_client::Builder;
    use migration::ErrorKind;

    use super::*;

    const ROLE: &str = "arn:aws:iam::210987654321:role/msk-kraft-source";

    async fn config(endpoint: &str) -> SdkConfig {
        let own = Credentials::new("own", "own", None, None, "test");
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(Builder::new().build_http())
            .endpoint_url(endpoint)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(own))
            .load()
            .await
    }

    #[tokio::test]
    async fn a_role_is_assumed_with_credentials_of_its_own() {
        let Ok(endpoint) = std::env::var("MSK_KRAFT_TEST_AWS") else {
            println!("skipped: MSK_KRAFT_TEST_AWS is not set");
            return;
        };
        let roles = Roles::default();
        let assumed = roles.assume(ROLE, "us-east-1", &config(&endpoint).await).await.unwrap();
        let first = assumed.provide_credentials().await.unwrap();
        assert!(first.session_token().is_some() && first.access_key_id() != "own");
        assert_eq!(roles.assumed.lock().await.len(), 1);
    }

    #[tokio::test]
    async fn a_role_that_cannot_be_asked_for_is_named() {
        let error = Roles::default().assume(ROLE, "us-east-1", &config("http://127.0.0.1:1").await).await.unwrap_err();
        assert!(error.message.contains(ROLE), "{error}");
        assert_eq!(error.kind, ErrorKind::Transient, "{error}");
    }

    #[test]
    fn a_refused_role_blocks_and_says_what_is_missing() {
        let error =
            refused(ROLE, &CredentialsError::provider_error("AccessDenied: not authorized to perform sts:AssumeRole"));
        assert_eq!(error.kind, ErrorKind::Blocked);
        assert!(error.message.contains("sts:AssumeRole") && error.message.contains("trust policy"), "{error}");
    }
}
