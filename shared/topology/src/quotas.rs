//! Client quotas of the source on the target. They are put in place together with the topics' final configs: before, they
//! could slow the copy.

use std::collections::{BTreeMap, BTreeSet};

use kafka::{ClientQuota, Cluster, Each, QuotaChange, QuotaEntity};
use migration::config::ConfigDrift;
use migration::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::refusal::{is_refusal, unless_refused};

/// Limits that differ by less are the same: a KRaft controller takes so much for an error of computing
/// (`org.apache.kafka.controller.ClientQuotaControlManager`).
const EPSILON: f64 = 1e-6;

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

/// What a cluster said to limits that it was given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum QuotaRefusal {
    /// It takes none, for this reason.
    All(kafka::Error),
    /// It does not take those of one entity.
    Of(QuotaEntity, kafka::Error),
}

impl Quotas {
    /// Compares the quotas of both clusters. `drift` decides about limits that both have with different values.
    ///
    /// # Errors
    /// When a cluster cannot be asked. One that does not tell its quotas is no error.
    pub async fn compare(source: &Cluster, target: &Cluster, drift: ConfigDrift) -> Result<Self> {
        let (from, to) = tokio::join!(source.client_quotas(), target.client_quotas());
        Ok(Self::of(unless_refused(from)?.as_deref(), unless_refused(to)?.as_deref(), drift))
    }

    /// The same from what each cluster said, or why it says nothing.
    pub(crate) fn of(
        from: std::result::Result<&[ClientQuota], &String>,
        to: std::result::Result<&[ClientQuota], &String>,
        drift: ConfigDrift,
    ) -> Self {
        let skipped = |side: &str, reason: &str| Self {
            skipped: Some(format!("the {side} does not tell its client quotas: {reason}")),
            ..Self::default()
        };
        match (from, to) {
            (Err(reason), _) => skipped("source", reason),
            // A source without quotas leaves nothing to compare.
            (Ok([]), _) => Self::default(),
            (_, Err(reason)) => skipped("target", reason),
            (Ok(from), Ok(to)) => Self::between(from, to, drift),
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
        let refused = refusals(target.check_client_quotas(&changes(&self.to_set)).await)?;
        self.refused = refused.iter().map(|refusal| refusal.line(self.to_set.len())).collect();
        Ok(())
    }

    /// The limits to set, by entity.
    pub(crate) fn wanted(&self) -> Vec<ClientQuota> {
        let mut wanted: BTreeMap<&QuotaEntity, BTreeMap<String, f64>> = BTreeMap::new();
        for AlteredQuota { entity, limit, is, .. } in &self.to_set {
            wanted.entry(entity).or_default().extend(is.map(|value| (limit.clone(), value)));
        }
        wanted.into_iter().map(|(entity, limits)| ClientQuota { entity: entity.clone(), limits }).collect()
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

impl QuotaRefusal {
    /// One line for an operator, where `all` limits were to be set.
    fn line(&self, all: usize) -> String {
        match self {
            Self::All(error) => format!("{all} client quotas cannot be set: the target refuses: {error}"),
            Self::Of(entity, error) => format!("client quota of {entity}: the target does not take it: {error}"),
        }
    }
}

/// What of `each` outcome was refused.
///
/// # Errors
/// A passing failure, naming the entity.
pub(crate) fn refusals(each: Each<QuotaEntity, ()>) -> Result<Vec<QuotaRefusal>> {
    let mut refusals = Vec::new();
    for (entity, outcome) in each {
        match outcome {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => return Ok(vec![QuotaRefusal::All(error)]),
            Err(error) if error.is_retryable() => {
                let mut error = Error::from(error);
                error.message = format!("client quota of {entity}: {}", error.message);
                return Err(error);
            }
            Err(error) => refusals.push(QuotaRefusal::Of(entity, error)),
        }
    }
    Ok(refusals)
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
    let differing = keys.into_iter().filter(|key| !is_same(were.get(*key).copied(), are.get(*key).copied()));
    let altered = |key: &(&QuotaEntity, &str)| AlteredQuota {
        entity: key.0.clone(),
        limit: key.1.to_owned(),
        was: were.get(key).copied(),
        is: are.get(key).copied(),
    };
    differing.map(altered).collect()
}

/// Whether both are the same limit, or none.
pub(crate) fn is_same(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other || (one - other).abs() <= EPSILON,
        (one, other) => one == other,
    }
}

/// The limits by entity and name.
pub(crate) fn by_limit(quotas: &[ClientQuota]) -> BTreeMap<(&QuotaEntity, &str), f64> {
    let limits = quotas.iter().flat_map(|quota| quota.limits.iter().map(|limit| (&quota.entity, limit)));
    limits.map(|(entity, (name, limit))| ((entity, name.as_str()), *limit)).collect()
}

/// One change for each entity: its limits are changed all or none.
pub(crate) fn changes(to_set: &[AlteredQuota]) -> Vec<QuotaChange> {
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
        let entity = |user: &str| quota(Some(user), &[]).entity;
        let error = |code| kafka::Error::Broker {
            api: kafka::Api::AlterClientQuotas,
            code,
            place: kafka::Place::Cluster,
            message: None,
        };
        let outcome = |code| refusals(vec![(entity("alice"), Ok(())), (entity("bob"), Err(error(code)))]);
        let lines = |code| -> Vec<_> { outcome(code).unwrap().iter().map(|refusal| refusal.line(3)).collect() };
        let refused = lines(kafka::Code::InvalidRequest);
        assert_eq!(refused.len(), 1);
        assert!(refused[0].starts_with("client quota of user bob: the target does not take it"), "{refused:?}");
        let refused = lines(kafka::Code::ClusterAuthorizationFailed);
        assert!(refused.len() == 1 && refused[0].starts_with("3 client quotas cannot be set"), "{refused:?}");
        assert!(outcome(kafka::Code::NotController).is_err(), "a passing fault is repeated");
    }

    #[test]
    fn the_limits_of_one_entity_are_changed_together() {
        let changes = changes(&between(ConfigDrift::OverwriteWithSource).to_set);
        assert_eq!((changes.len(), changes[0].limits.len()), (1, 2));
        assert_eq!(changes[0].limits["producer_byte_rate"], Some(5.0));
        let wanted = between(ConfigDrift::OverwriteWithSource).wanted();
        assert_eq!(wanted, [quota(Some("alice"), &[("producer_byte_rate", 5.0), ("consumer_byte_rate", 6.0)])]);
    }

    #[test]
    fn what_a_controller_takes_for_the_same_limit_is_the_same() {
        let limits = |limit| [quota(None, &[("producer_byte_rate", limit)])];
        assert!(altered(&limits(1024.0), &limits(1_024.000_000_5)).is_empty());
        assert_eq!(altered(&limits(1024.0), &limits(1_024.5)).len(), 1);
        assert_eq!(altered(&limits(0.0), &[]).len(), 1);
    }
}
