//! Which versions of which requests brokers serve (KIP-35).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use futures::future::try_join_all;

use crate::cluster::Cluster;
use crate::error::Result;
use crate::pool::Purpose;

/// `org.apache.kafka.common.protocol.ApiKeys`, by number, and the versions in which a broker says that it serves each.
pub type ServedVersions = BTreeMap<i16, RangeInclusive<i16>>;

impl Cluster {
    /// What each live broker says that it serves; brokers of a cluster that is being upgraded differ.
    ///
    /// From Kafka 4.0 on brokers say that they serve Produce from version 0 on and do not: below 3 they close the connection
    /// (KAFKA-18659, `ApiKeys.PRODUCE_API_VERSIONS_RESPONSE_MIN_VERSION`).
    ///
    /// # Errors
    /// When one of them cannot be connected to.
    pub async fn served_versions(&self) -> Result<BTreeMap<i32, ServedVersions>> {
        self.with_retries(|| async {
            let metadata = self.metadata().await?;
            let asked = metadata.brokers.keys().map(|broker| async {
                let connection = self.connection(*broker, Purpose::Admin).await?;
                Ok::<_, crate::Error>((*broker, connection.served()))
            });
            Ok(try_join_all(asked).await?.into_iter().collect())
        })
        .await
    }
}
