//! Client quotas: what users, clients and addresses may use of a cluster (KIP-546, KIP-612).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kafka_protocol::messages::alter_client_quotas_request::{
    EntityData as AlterEntity, EntryData as AlterEntry, OpData,
};
use kafka_protocol::messages::describe_client_quotas_response::EntryData as DescribedEntry;
use kafka_protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};

use crate::Api;
use crate::cluster::Cluster;
use crate::error::{Each, Place, Result, check};
use crate::pool::Purpose;
use crate::spread::{Outcomes, complete, text};

/// Whom a quota is for: names by kind of entity, where `None` is the default for all without a quota of their own. The
/// kinds are `user`, `client-id`, both together, or `ip` (`org.apache.kafka.common.quota.ClientQuotaEntity`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuotaEntity(pub BTreeMap<String, Option<String>>);

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (kind, name)) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { ", " };
            write!(f, "{separator}{kind} {}", name.as_deref().unwrap_or("<default>"))?;
        }
        Ok(())
    }
}

/// The quotas of one entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientQuota {
    /// Whom they are for.
    pub entity: QuotaEntity,
    /// Limits by name: `producer_byte_rate` and `consumer_byte_rate` in bytes per second, `request_percentage`,
    /// `controller_mutation_rate`, `connection_creation_rate` (`org.apache.kafka.server.config.QuotaConfig`).
    pub limits: BTreeMap<String, f64>,
}

/// A change of the quotas of one entity; limits that it does not name stay.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaChange {
    /// Whose quotas change.
    pub entity: QuotaEntity,
    /// New limits by name; none removes the limit.
    pub limits: BTreeMap<String, Option<f64>>,
}

impl Cluster {
    /// All client quotas of the cluster, by entity.
    pub async fn client_quotas(&self) -> Result<Vec<ClientQuota>> {
        // No component and not strict: every entity of every kind.
        let request = DescribeClientQuotasRequest::default().with_components(Vec::new()).with_strict(false);
        self.with_retries(|| async {
            let answer = self.call(self.any_broker().await?, Purpose::Admin, &request, Duration::ZERO).await?;
            check(Api::DescribeClientQuotas, answer.error_code, || Place::Cluster, answer.error_message.as_deref())?;
            let entries = answer.entries.unwrap_or_default();
            let mut quotas: Vec<_> = entries.into_iter().map(quota).filter(|quota| !quota.limits.is_empty()).collect();
            quotas.sort_unstable_by(|a, b| a.entity.cmp(&b.entity));
            Ok(quotas)
        })
        .await
    }

    /// Changes client quotas; the changes of one entity are made all or none. Brokers show them a moment later.
    pub async fn alter_client_quotas(&self, changes: &[QuotaChange]) -> Each<QuotaEntity, ()> {
        self.alter_quotas(changes, false).await
    }

    /// Asks whether [`Self::alter_client_quotas`] would be accepted, and changes nothing. KRaft refuses some of what ZooKeeper
    /// mode takes (`org.apache.kafka.controller.ClientQuotaControlManager`).
    pub async fn check_client_quotas(&self, changes: &[QuotaChange]) -> Each<QuotaEntity, ()> {
        self.alter_quotas(changes, true).await
    }

    async fn alter_quotas(&self, changes: &[QuotaChange], validate_only: bool) -> Each<QuotaEntity, ()> {
        let entity = |change: &QuotaChange| change.entity.clone();
        let limits = |change: &QuotaChange| change.limits.len();
        self.settle_in_parts(changes, limits, entity, |changes| self.alter_quotas_once(changes, validate_only)).await
    }

    async fn alter_quotas_once(&self, changes: Vec<QuotaChange>, validate_only: bool) -> Each<QuotaEntity, ()> {
        let entities = changes.iter().map(|change| change.entity.clone()).collect();
        let request = AlterClientQuotasRequest::default()
            .with_entries(changes.iter().map(alteration).collect())
            .with_validate_only(validate_only);
        let answer = async {
            let answer = self.call(self.controller().await?, Purpose::Admin, &request, Duration::ZERO).await?;
            let outcomes = answer.entries.into_iter().map(|entry| {
                let entity = entity(entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name)));
                let message = entry.error_message.as_deref();
                let outcome = check(Api::AlterClientQuotas, entry.error_code, || Place::Cluster, message);
                (entity, outcome)
            });
            Ok(outcomes.collect::<Outcomes<_, _>>())
        };
        complete(entities, answer.await)
    }
}

fn quota(entry: DescribedEntry) -> ClientQuota {
    ClientQuota {
        entity: entity(entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name))),
        limits: entry.values.into_iter().map(|limit| (limit.key.to_string(), limit.value)).collect(),
    }
}

fn entity(parts: impl Iterator<Item = (StrBytes, Option<StrBytes>)>) -> QuotaEntity {
    QuotaEntity(parts.map(|(kind, name)| (kind.to_string(), name.map(|name| name.to_string()))).collect())
}

fn alteration(change: &QuotaChange) -> AlterEntry {
    let part = |(kind, name): (&String, &Option<String>)| {
        AlterEntity::default().with_entity_type(text(kind)).with_entity_name(name.as_deref().map(text))
    };
    let op = |(name, limit): (&String, &Option<f64>)| {
        OpData::default().with_key(text(name)).with_value(limit.unwrap_or_default()).with_remove(limit.is_none())
    };
    AlterEntry::default()
        .with_entity(change.entity.0.iter().map(part).collect())
        .with_ops(change.limits.iter().map(op).collect())
}
