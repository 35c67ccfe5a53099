//! What the topology copy did, and what it did not.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{AclBinding, Cluster};
use migration::Result;
use migration::config::AuthMode;
use runtime::Run;
use runtime::run::TOPOLOGY;
use serde::Serialize;
use serde_json::json;
use topology::access_map::{self, AccessMap};
use topology::defaults::DefaultDrift;
use topology::final_configs::NotCopied;
use topology::{Acls, FinalConfigs, Inventory, Quotas, Replication, TargetState, TopicConfigs};

use crate::scram::{self, Scram};

/// Where the report is in the run's store.
const STORED: &str = "topology/report.json";

/// Lines in the fact, which shares the run's item in the journal.
const LINES: usize = 20;

/// Names in a line.
const NAMED: usize = 5;

/// What was brought to the target, and what that was decided by.
pub(crate) struct Brought {
    /// The source's topics.
    pub(crate) wanted: Inventory,
    /// The target before.
    pub(crate) before: TargetState,
    /// The target now.
    pub(crate) after: TargetState,
    /// The configs that topics get in the end.
    pub(crate) configs: FinalConfigs,
    /// The source's ACLs.
    pub(crate) rules: Vec<AclBinding>,
    /// What became of them.
    pub(crate) acls: Acls,
    /// What becomes of the client quotas.
    pub(crate) quotas: Quotas,
}

/// The report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Topics that this migration created.
    pub(crate) created: Vec<String>,
    /// Topics that were there before.
    pub(crate) existing: Vec<String>,
    /// Topics that the source keeps for itself.
    pub(crate) skipped_internal: Vec<String>,
    /// Topics that `topology.include` and `topology.exclude` leave to another migration.
    pub(crate) outside: Vec<String>,
    /// Topics with another replication factor than on the source.
    pub(crate) replication: Replication,
    /// Configs that are set on the source's topics and not copied.
    pub(crate) configs_not_copied: Vec<NotCopied>,
    /// What topics inherit from the source's brokers, and would inherit otherwise on the target.
    pub(crate) defaults: Vec<Inherited>,
    /// Configs set on each topic of the source.
    pub(crate) configs: BTreeMap<Arc<str>, TopicConfigs>,
    /// ACLs.
    pub(crate) acls: Acls,
    /// Client quotas, which the cutover puts in place.
    pub(crate) quotas: Quotas,
    /// SCRAM users.
    pub(crate) scram: Scram,
    #[serde(skip)]
    pub(crate) access_map: Option<AccessMap>,
}

/// What topics inherit, and would inherit otherwise on the target.
#[derive(Debug, Serialize)]
pub(crate) struct Inherited {
    #[serde(flatten)]
    drift: DefaultDrift,
    /// How many topics inherit it.
    topics: usize,
}

impl Inherited {
    fn of((drift, topics): (&DefaultDrift, &usize)) -> Self {
        Self { drift: drift.clone(), topics: *topics }
    }
}

impl Report {
    /// The report about what was brought over, and what only a look at both clusters tells.
    ///
    /// # Errors
    /// When a cluster cannot be asked.
    pub(crate) async fn of(brought: Brought, run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<Self> {
        let Brought { wanted, before, after, configs, rules, acls, quotas } = brought;
        let topics = &wanted.topics;
        let (existing, created): (Vec<_>, Vec<_>) =
            topics.keys().map(ToString::to_string).partition(|topic| before.topics.contains_key(topic.as_str()));
        let config = &run.config;
        let iam = config.target.auth.mode == AuthMode::Iam;
        Ok(Self {
            created,
            existing,
            replication: Replication::between(topics, &after.topics),
            configs_not_copied: configs.not_copied().to_vec(),
            defaults: configs.defaults().iter().map(Inherited::of).collect(),
            configs: topics.iter().map(|(name, topic)| (name.clone(), topic.configs.clone())).collect(),
            skipped_internal: wanted.internal,
            outside: wanted.outside,
            acls,
            quotas,
            scram: scram::list(source, target, &run.host().aws, config).await?,
            access_map: iam.then(|| AccessMap::of(&rules, &config.target.cluster_arn)),
        })
    }

    /// One line for everything that is not as on the source, or that somebody has to do.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.scram.line().into_iter().collect();
        lines.extend(self.access_map.iter().flat_map(AccessMap::lines));
        lines.extend(self.acls.lines());
        lines.extend(self.quotas.lines());
        lines.extend(self.configs_not_copied.iter().map(NotCopied::line));
        lines.extend(self.replication.line());
        lines.extend(self.defaults.iter().map(|default| default.drift.line(default.topics)));
        lines.extend(listed("topics of the cluster itself are not copied", &self.skipped_internal));
        lines.extend(listed("topics are outside topology.include and topology.exclude", &self.outside));
        lines
    }

    /// Stores the report and the access map, and the first lines where `status` finds them.
    ///
    /// # Errors
    /// What S3 and the journal give.
    pub(crate) async fn record(&self, run: &Run<'_>) -> Result<()> {
        if let Some(map) = &self.access_map {
            run.store.put_json(access_map::STORED, map).await?;
        }
        run.store.put_json(STORED, self).await?;
        let mut lines = self.lines();
        if lines.len() > LINES {
            let more = lines.len() - LINES;
            lines.truncate(LINES);
            lines.push(format!("and {more} more, see {STORED}"));
        }
        run.journal.set_fact(TOPOLOGY, &json!(lines)).await
    }
}

fn listed(what: &str, names: &[String]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let first = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{} {what}: {first}{more}", names.len()))
}
