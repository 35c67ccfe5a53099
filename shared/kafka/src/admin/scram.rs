//! SCRAM users: who there is (KIP-554). Salts and keys cannot be read from a cluster.

use std::time::Duration;

use kafka_protocol::messages::DescribeUserScramCredentialsRequest;
use kafka_protocol::messages::describe_user_scram_credentials_response::CredentialInfo;
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::cluster::Cluster;
use crate::error::{Place, Result, check};
use crate::pool::Purpose;

/// A user that signs in with SCRAM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScramUser {
    /// Name, without `User:`.
    pub name: String,
    /// Its mechanisms, such as `SCRAM-SHA-512`.
    pub mechanisms: Vec<String>,
}

impl Cluster {
    /// The users that have SCRAM credentials, by name.
    ///
    /// # Errors
    /// [`Error::UnsupportedApi`](crate::Error::UnsupportedApi) from a KRaft broker before 3.5;
    /// [`ClusterAuthorizationFailed`](crate::Code::ClusterAuthorizationFailed) without `Describe` on the cluster.
    pub async fn scram_users(&self) -> Result<Vec<ScramUser>> {
        let request = DescribeUserScramCredentialsRequest::default().with_users(None);
        self.with_retries(|| async {
            let answer = self.call(self.any_broker().await?, Purpose::Admin, &request, Duration::ZERO).await?;
            let message = answer.error_message.as_deref();
            check(Api::DescribeUserScramCredentials, answer.error_code, || Place::Cluster, message)?;
            let mut users = Vec::with_capacity(answer.results.len());
            for user in answer.results {
                let message = user.error_message.as_deref();
                check(Api::DescribeUserScramCredentials, user.error_code, || Place::Cluster, message)?;
                let mechanisms = user.credential_infos.iter().map(mechanism).collect();
                users.push(ScramUser { name: user.user.to_string(), mechanisms });
            }
            users.sort_unstable();
            Ok(users)
        })
        .await
    }
}

/// The names of `org.apache.kafka.clients.admin.ScramMechanism`.
fn mechanism(info: &CredentialInfo) -> String {
    match info.mechanism {
        1 => "SCRAM-SHA-256".to_owned(),
        2 => "SCRAM-SHA-512".to_owned(),
        other => format!("mechanism {other}"),
    }
}
