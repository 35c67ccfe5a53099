//! The functions: what each calls, and what it needs to run.

mod table;

#[cfg(test)]
mod tests;

pub use table::FUNCTIONS;

use crate::grant::{self, Condition, Grant};
use crate::resource::{Resource, Side};

/// What a function talks to that may only be reached from inside of the VPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The brokers.
    Brokers,
    /// The webhooks, when there are any: they may be internal ones; and the source's brokers, when it lifts a write fence.
    Webhook,
    /// Nothing: it calls AWS alone.
    None,
}

impl Network {
    /// Its name in `infra/description.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brokers => "brokers",
            Self::Webhook => "webhook",
            Self::None => "none",
        }
    }
}

/// `kafka-cluster` actions on one side, by the type of resource that they are about
/// (<https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operations {
    /// On the cluster.
    pub cluster: &'static [&'static str],
    /// On topics.
    pub topics: &'static [&'static str],
    /// On consumer groups.
    pub groups: &'static [&'static str],
    /// On transactional ids, of the source alone: nothing is done under one on the target.
    pub transactional_ids: &'static [&'static str],
}

impl Operations {
    /// No call at all.
    pub(crate) const NONE: Self = Self { cluster: &[], topics: &[], groups: &[], transactional_ids: &[] };

    /// All actions.
    pub fn actions(&self) -> impl Iterator<Item = &'static str> {
        [self.cluster, self.topics, self.groups, self.transactional_ids].concat().into_iter()
    }

    /// A grant for each type of resource that there are actions on.
    fn grants(&self, side: Side) -> impl Iterator<Item = Grant> {
        let Self { cluster, topics, groups, transactional_ids } = *self;
        let grants = match side {
            Side::Source => vec![
                ("SignInToTheSource", cluster, Resource::SourceKafkaCluster),
                ("TopicsOfTheSource", topics, Resource::SourceKafkaTopics),
                ("GroupsOfTheSource", groups, Resource::SourceKafkaGroups),
                ("TransactionsOfTheSource", transactional_ids, Resource::SourceKafkaTransactionalIds),
            ],
            Side::Target => vec![
                ("SignInToTheTarget", cluster, Resource::TargetKafkaCluster),
                ("TopicsOfTheTarget", topics, Resource::TargetKafkaTopics),
                ("GroupsOfTheTarget", groups, Resource::TargetKafkaGroups),
            ],
        };
        let grant = |(purpose, actions, on)| Grant { purpose, actions, on, condition: Condition::None };
        grants.into_iter().map(grant).filter(|grant| !grant.actions.is_empty())
    }
}

/// One Lambda function.
#[derive(Debug)]
pub struct Function {
    /// Name of its crate and its binary.
    pub name: &'static str,
    /// What it does, as Lambda shows it.
    pub description: &'static str,
    /// Memory in MB, by which Lambda allots processor time as well: 1,769 MB are one vCPU
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>). What moves or reads batches, and what
    /// producers wait for, has a whole one.
    pub memory_mb: u32,
    /// What it talks to in the VPC.
    pub network: Network,
    /// Its grants on AWS.
    pub grants: &'static [Grant],
    /// Its `kafka-cluster` actions on the source.
    pub source: Operations,
    /// Its `kafka-cluster` actions on the target.
    pub target: Operations,
}

impl Function {
    /// Longest invocation in seconds, Lambda's own limit: a function that copies works until shortly before it.
    pub const TIMEOUT_S: u32 = 900;
    /// Size of `/tmp` in MB, Lambda's least: nothing is kept there.
    pub const EPHEMERAL_MB: u32 = 512;

    /// Everything that its role is granted.
    pub fn all_grants(&self) -> Vec<Grant> {
        let network = (self.network != Network::None).then_some(grant::JOIN_NETWORK);
        let kafka = self.source.grants(Side::Source).chain(self.target.grants(Side::Target));
        [grant::WRITE_LOG].into_iter().chain(network).chain(self.grants.iter().copied()).chain(kafka).collect()
    }
}
