//! Client quotas of the source on the target. They are put in place together with the topics' own configs: before, they
//! could slow the copy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka::{ClientQuota, Cluster, Each, QuotaChange, QuotaEntity};
use migration::config::ConfigDrift;
use migration::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::refusal::{is_refusal, unless_refused};

/// How often the target is looked at until it shows quotas that were set, and the pause in between.
const LOOKS: u32 = 40;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A limit that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlteredQuota {
    /// Whose limit it is.
    pub entity: QuotaEntity,
    /// The limit's name.
    pub limit: String,
    /// One value, none when it is not set.
    pub was: Option<f64>,
    /// The other.
    pub is: Option<f64>,
}

/// What becomes of the source's client quotas.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quotas {
    /// Limits on the source.
    pub on_source: usize,
    /// Limits that the target does not have, or has otherwise where it is to have the source's.
    pub to_set: Vec<AlteredQuota>,
    /// Limits that differ and stay as they are on the target: `was` is the source's, `is` the target's.
    pub kept: Vec<AlteredQuota>,
    /// Why none is copied, when none can be.
    pub skipped: Option<String>,
    /// What the target said that it would not take, one line for each entity ([`Quotas::check`]).
    #[serde(default)]
    pub refused: Vec<String>,
}

/// What became of the limits that were to be set.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct QuotasSet {
    /// Limits that are set.
    pub limits: usize,
    /// Why the others are not, one line for each entity, or one for all.
    pub refused: Vec<String>,
}

impl Quotas {
    /// Compares the quotas of both clusters. `drift` decides about limits that both have with different values.
    ///
    /// # Errors
    /// When a cluster cannot be asked. One that does not tell its quotas is no error.
    pub async fn compare(source: &Cluster, target: &Cluster, drift: ConfigDrift) -> Result<Self> {
        let (from, to) = tokio::join!(source.client_quotas(), target.client_quotas());
        let skipped = |side: &str, reason: String| {
            let skipped = Some(format!("the {side} does not tell its client quotas: {reason}"));
            Ok(Self { skipped, ..Self::default() })
        };
        match (unless_refused(from)?, unless_refused(to)?) {
            (Err(reason), _) => skipped("source", reason),
            // A source without quotas leaves nothing to compare.
            (Ok(from), _) if from.is_empty() => Ok(Self::default()),
            (_, Err(reason)) => skipped("target", reason),
            (Ok(from), Ok(to)) => Ok(Self::between(&from, &to, drift)),
        }
    }

    fn between(source: &[ClientQuota], target: &[ClientQuota], drift: ConfigDrift) -> Self {
        let on_source = source.iter().map(|quota| quota.limits.len()).sum();
        // Seen from the target: what it has, and what it would get.
        let wanted = altered(target, source).into_iter().filter(|quota| quota.is.is_some());
        let (to_set, kept): (Vec<_>, Vec<_>) =
            wanted.partition(|quota| quota.was.is_none() || drift == ConfigDrift::OverwriteWithSource);
        let swap = |quota: AlteredQuota| AlteredQuota { was: quota.is, is: quota.was, ..quota };
        Self { on_source, to_set, kept: kept.into_iter().map(swap).collect(), ..Self::default() }
    }

    /// Refuses limits that differ, where the policy is `fail`.
    ///
    /// # Errors
    /// Blocked, naming the first of them.
    pub fn refuse_drift(&self, drift: ConfigDrift) -> Result<()> {
        let Some(first) = self.kept.first().filter(|_| drift == ConfigDrift::Fail) else { return Ok(()) };
        Err(Error::blocked(format_args!(
            "{} client quotas of the target differ from the source's and topology.on_config_drift is fail, first {}; make \
             them equal, or set it to overwrite_with_source or keep_target",
            self.kept.len(),
            first.line("the source", "the target")
        )))
    }

    /// Asks `target` whether it would take what is to be set, notes what it would not, and changes nothing. ZooKeeper mode
    /// takes limits that KRaft refuses.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub async fn check(&mut self, target: &Cluster) -> Result<()> {
        self.refused = self.outcome(target.check_client_quotas(&changes(&self.to_set)).await)?.refused;
        Ok(())
    }

    /// Sets what is to be set. What the target refuses is no error: it must not hold a cutover up which nobody can give up any
    /// more.
    ///
    /// # Errors
    /// When the target cannot be asked, naming the entity.
    pub async fn put_in_place(&self, target: &Cluster) -> Result<QuotasSet> {
        let set = self.outcome(target.alter_client_quotas(&changes(&self.to_set)).await)?;
        self.shown(target, set.limits).await?;
        Ok(set)
    }

    /// Waits for a while until brokers show `limits` of those that were set: they get to know them behind the controller's
    /// answer. Nothing depends on it but what is told of the target.
    async fn shown(&self, target: &Cluster, limits: usize) -> Result<()> {
        for _ in 0..LOOKS {
            let Ok(quotas) = unless_refused(target.client_quotas().await)? else { break };
            let there = by_limit(&quotas);
            let is_shown =
                |quota: &&AlteredQuota| there.get(&(&quota.entity, quota.limit.as_str())).copied() == quota.is;
            if self.to_set.iter().filter(is_shown).count() >= limits {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn outcome(&self, each: Each<QuotaEntity, ()>) -> Result<QuotasSet> {
        let mut set = QuotasSet::default();
        for (entity, outcome) in each {
            match outcome {
                Ok(()) => set.limits += self.to_set.iter().filter(|quota| quota.entity == entity).count(),
                Err(error) if is_refusal(&error) => {
                    let count = self.to_set.len();
                    let refused = vec![format!("{count} client quotas cannot be set: the target refuses: {error}")];
                    return Ok(QuotasSet { limits: 0, refused });
                }
                Err(error) if error.is_retryable() => {
                    let mut error = Error::from(error);
                    error.message = format!("client quota of {entity}: {}", error.message);
                    return Err(error);
                }
                Err(error) => {
                    set.refused.push(format!("client quota of {entity}: the target does not take it: {error}"))
                }
            }
        }
        Ok(set)
    }

    /// Lines for an operator about what is not copied.
    pub fn lines(&self) -> Vec<String> {
        let skipped = self.skipped.iter().map(|reason| format!("client quotas are not copied: {reason}"));
        let kept = self
            .kept
            .iter()
            .map(|quota| format!("client quota of {}, which stays", quota.line("the source", "the target")));
        skipped.chain(kept).chain(self.refused.iter().cloned()).collect()
    }
}

impl AlteredQuota {
    /// Its values, `was` on one side and `is` on the other.
    fn line(&self, was_on: &str, is_on: &str) -> String {
        let value = |limit: Option<f64>| limit.map_or_else(|| "not set".to_owned(), |limit| limit.to_string());
        let Self { entity, limit, was, is } = self;
        format!("{entity}: {limit} is {} on {was_on} and {} on {is_on}", value(*was), value(*is))
    }
}

/// The limits that differ between two lists of quotas.
pub(crate) fn altered(were: &[ClientQuota], are: &[ClientQuota]) -> Vec<AlteredQuota> {
    let (were, are) = (by_limit(were), by_limit(are));
    let keys: BTreeSet<_> = were.keys().chain(are.keys()).collect();
    let differing = keys.into_iter().filter(|key| were.get(*key) != are.get(*key));
    let altered = |key: &(&QuotaEntity, &str)| AlteredQuota {
        entity: key.0.clone(),
        limit: key.1.to_owned(),
        was: were.get(key).copied(),
        is: are.get(key).copied(),
    };
    differing.map(altered).collect()
}

fn by_limit(quotas: &[ClientQuota]) -> BTreeMap<(&QuotaEntity, &str), f64> {
    let limits = quotas.iter().flat_map(|quota| quota.limits.iter().map(|limit| (&quota.entity, limit)));
    limits.map(|(entity, (name, limit))| ((entity, name.as_str()), *limit)).collect()
}

/// One change for each entity: its limits are changed all or none.
fn changes(to_set: &[AlteredQuota]) -> Vec<QuotaChange> {
    let mut changes: BTreeMap<&QuotaEntity, BTreeMap<String, Option<f64>>> = BTreeMap::new();
    for quota in to_set {
        changes.entry(&quota.entity).or_default().insert(quota.limit.clone(), quota.is);
    }
    changes.into_iter().map(|(entity, limits)| QuotaChange { entity: entity.clone(), limits }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(user: Option<&str>, limits: &[(&str, f64)]) -> ClientQuota {
        let entity = QuotaEntity([("user".to_owned(), user.map(str::to_owned))].into());
        ClientQuota { entity, limits: limits.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect() }
    }

    fn between(drift: ConfigDrift) -> Quotas {
        let source = [quota(Some("alice"), &[("producer_byte_rate", 5.0), ("consumer_byte_rate", 6.0)])];
        let target =
            [quota(Some("alice"), &[("producer_byte_rate", 7.0)]), quota(None, &[("request_percentage", 50.0)])];
        Quotas::between(&source, &target, drift)
    }

    #[test]
    fn what_both_have_is_decided_by_the_policy_and_nothing_is_removed() {
        let overwritten = between(ConfigDrift::OverwriteWithSource);
        let set: Vec<_> = overwritten.to_set.iter().map(|quota| (quota.limit.as_str(), quota.was, quota.is)).collect();
        let expected = [("consumer_byte_rate", None, Some(6.0)), ("producer_byte_rate", Some(7.0), Some(5.0))];
        assert_eq!(set, expected);
        assert_eq!((overwritten.kept.len(), overwritten.on_source), (0, 2));
        for drift in [ConfigDrift::KeepTarget, ConfigDrift::Fail] {
            let kept = between(drift);
            assert_eq!((kept.to_set.len(), kept.kept.len()), (1, 1), "{drift:?}");
            assert_eq!((kept.kept[0].was, kept.kept[0].is), (Some(5.0), Some(7.0)));
        }
    }

    #[test]
    fn a_limit_that_differs_is_refused_by_name_under_fail_only() {
        let error = between(ConfigDrift::Fail).refuse_drift(ConfigDrift::Fail).unwrap_err();
        let named = "user alice: producer_byte_rate is 5 on the source and 7 on the target";
        assert!(error.message.contains(named), "{error}");
        between(ConfigDrift::KeepTarget).refuse_drift(ConfigDrift::KeepTarget).unwrap();
    }

    #[test]
    fn what_the_target_does_not_take_is_named_and_holds_nothing_up() {
        let quotas = Quotas::between(
            &[
                quota(Some("alice"), &[("producer_byte_rate", 5.0), ("consumer_byte_rate", 6.0)]),
                quota(Some("bob"), &[("producer_byte_rate", 0.0)]),
            ],
            &[],
            ConfigDrift::default(),
        );
        let entity = |user: &str| quota(Some(user), &[]).entity;
        let error = |code| kafka::Error::Broker {
            api: kafka::Api::AlterClientQuotas,
            code,
            place: kafka::Place::Cluster,
            message: None,
        };
        let outcome = |code| quotas.outcome(vec![(entity("alice"), Ok(())), (entity("bob"), Err(error(code)))]);
        let set = outcome(kafka::Code::InvalidRequest).unwrap();
        assert_eq!((set.limits, set.refused.len()), (2, 1));
        assert!(set.refused[0].starts_with("client quota of user bob: the target does not take it"), "{set:?}");
        let refused = outcome(kafka::Code::ClusterAuthorizationFailed).unwrap();
        assert!(refused.limits == 0 && refused.refused[0].starts_with("3 client quotas cannot be set"), "{refused:?}");
        assert!(outcome(kafka::Code::NotController).is_err(), "a passing fault is repeated");
    }

    #[test]
    fn the_limits_of_one_entity_are_changed_together() {
        let changes = changes(&between(ConfigDrift::OverwriteWithSource).to_set);
        assert_eq!((changes.len(), changes[0].limits.len()), (1, 2));
        assert_eq!(changes[0].limits["producer_byte_rate"], Some(5.0));
    }
}
