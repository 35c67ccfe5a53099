//! Client quotas that slow the copy down.

use kafka::{CLIENT_ID, ClientQuota, QuotaEntity};
use migration::report::Finding;

use super::estimated;
use super::finding::finding;
use crate::facts::{BrokerConfig, Cluster, Facts};

/// How long the client goes on asking while a quota refuses it (`kafka::RetryPolicy`), in seconds.
const PATIENCE: f64 = 30.0;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let source = facts.leaving.as_ref().and_then(|leaving| {
        let quotas = leaving.quotas.as_ref().ok()?;
        let (cluster, brokers) = (&facts.source, leaving.brokers.as_deref().unwrap_or_default());
        side(facts, &Side { name: "source", cluster, brokers, quotas, byte_rate: "consumer_byte_rate" })
    });
    let target = facts.arriving.as_ref().and_then(|arriving| {
        let quotas = arriving.quotas.as_ref().ok()?;
        let (cluster, brokers) = (&facts.target, arriving.brokers.as_deref().unwrap_or_default());
        side(facts, &Side { name: "target", cluster, brokers, quotas, byte_rate: "producer_byte_rate" })
    });
    source.into_iter().chain(target).collect()
}

/// One side of the migration, with the rate that the copy has there.
struct Side<'a> {
    name: &'static str,
    cluster: &'a Cluster,
    brokers: &'a [BrokerConfig],
    quotas: &'a [ClientQuota],
    byte_rate: &'static str,
}

fn side(facts: &Facts, side: &Side<'_>) -> Option<Finding> {
    let Side { name, byte_rate, .. } = *side;
    let user = side.cluster.reached.as_ref().ok().and_then(|reached| reached.user.as_deref());
    let limit = |limit: &str| in_force(side.quotas, user, limit);
    let held = [
        limit(byte_rate).and_then(|quota| slow(facts, side, quota)),
        limit("request_percentage").and_then(|quota| few_threads(side, quota)),
        limit("controller_mutation_rate").filter(|_| name == "target").and_then(|quota| slow_creation(facts, quota)),
    ];
    let held: Vec<_> = held.into_iter().flatten().collect();
    let config = if name == "source" { &facts.config.source } else { &facts.config.target };
    let servers = config.bootstrap_servers.as_deref().unwrap_or("<bootstrap servers>");
    let whom = user.unwrap_or("<user>");
    (!held.is_empty()).then(|| {
        finding("W16", name)
            .found(format_args!("client quotas hold the copy back on the {name}: {}", held.join("; ")))
            .because("a broker answers a client that is above its quota later, in the seed, in the tail and while producers are frozen")
            .fix(format_args!(
                "give the migration a quota of its own for the time being: `kafka-configs.sh --bootstrap-server {servers} \
                 --alter --entity-type users --entity-name {whom} --entity-type clients --entity-name {CLIENT_ID} --add-config \
                 {byte_rate}=<bytes per second and broker>`, or plan for the longer time"
            ))
    })
}

/// The quota that counts for the functions: that of the entity which names them most closely
/// (`org.apache.kafka.server.quota.ClientQuotaManager`, in the order of KIP-55).
fn in_force<'a>(quotas: &'a [ClientQuota], user: Option<&str>, limit: &str) -> Option<(&'a QuotaEntity, f64)> {
    let ours = quotas.iter().filter_map(|quota| {
        let value = *quota.limits.get(limit)?;
        Some((closeness(&quota.entity, user)?, &quota.entity, value))
    });
    ours.max_by_key(|(closeness, ..)| *closeness).map(|(_, entity, value)| (entity, value))
}

/// How closely an entity names the functions, by user and by client id; none when it means others.
fn closeness(entity: &QuotaEntity, user: Option<&str>) -> Option<(u8, u8)> {
    let part = |kind: &str, own: Option<&str>| match entity.0.get(kind) {
        None => Some(0),
        Some(None) => Some(1),
        Some(Some(name)) => (own == Some(name)).then_some(2),
    };
    if entity.0.keys().any(|kind| kind != "user" && kind != "client-id") {
        return None;
    }
    Some((part("user", user)?, part("client-id", Some(CLIENT_ID))?))
}

/// A rate of bytes, where the seed would take longer with it. Brokers count each for itself.
fn slow(facts: &Facts, side: &Side<'_>, (entity, rate): (&QuotaEntity, f64)) -> Option<String> {
    let estimate = estimated(facts)?;
    let bytes: i64 = facts.leaving.as_ref()?.sizes.as_ref().ok()?.values().sum();
    let seconds = (bytes as f64 / (rate * side.cluster.brokers()? as f64)).ceil();
    let name = side.byte_rate;
    (seconds > estimate.seconds as f64).then(|| {
        format!(
            "{name}={rate} of {entity}, for each broker: the seed of {bytes} bytes takes at least {seconds} s, without the quota \
             an estimated {} s",
            estimate.seconds
        )
    })
}

/// A share of the threads' time, in percent of one thread (KIP-124). What all threads of every broker have cannot bind.
fn few_threads(side: &Side<'_>, (entity, percentage): (&QuotaEntity, f64)) -> Option<String> {
    let threads = side.brokers.iter().map(|broker| broker.threads).max().flatten();
    let binds = threads.is_none_or(|threads| percentage < 100.0 * threads as f64);
    binds.then(|| {
        let of = threads.map_or_else(String::new, |threads| format!(", of {}", 100 * threads));
        format!(
            "request_percentage={percentage} of {entity}: the time of a broker's threads that its requests may take{of}"
        )
    })
}

/// Creations that take longer than the client waits for: topology copy is repeated until it is through.
fn slow_creation(facts: &Facts, (entity, rate): (&QuotaEntity, f64)) -> Option<String> {
    let there = &facts.target.reached.as_ref().ok()?.topics;
    let missing = facts.source_topics().filter(|(name, _)| !there.contains_key(*name));
    let partitions: usize = missing.map(|(_, topic)| topic.partitions).sum();
    let seconds = (partitions as f64 / rate).ceil();
    (seconds > PATIENCE).then(|| {
        format!(
            "controller_mutation_rate={rate} of {entity}: creating {partitions} partitions takes at least {seconds} s"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, facts, one};

    fn quota(entity: &[(&str, Option<&str>)], limit: &str, value: f64) -> ClientQuota {
        let part = |(kind, name): &(&str, Option<&str>)| ((*kind).to_owned(), name.map(str::to_owned));
        ClientQuota {
            entity: QuotaEntity(entity.iter().map(part).collect()),
            limits: [(limit.to_owned(), value)].into(),
        }
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn the_closest_entity_counts() {
        let limit = "consumer_byte_rate";
        let quotas = [
            quota(&[("client-id", None)], limit, 1.0),
            quota(&[("client-id", Some(CLIENT_ID))], limit, 2.0),
            quota(&[("user", None)], limit, 3.0),
            quota(&[("user", Some("alice"))], limit, 4.0),
            quota(&[("user", Some("bob")), ("client-id", Some(CLIENT_ID))], limit, 5.0),
            quota(&[("ip", None)], limit, 6.0),
        ];
        let rate = |user| in_force(&quotas, user, limit).unwrap().1;
        assert_eq!([rate(Some("alice")), rate(Some("bob")), rate(Some("carol")), rate(None)], [4.0, 5.0, 3.0, 3.0]);
        assert_eq!(in_force(&quotas[..2], None, limit).unwrap().1, 2.0);
        assert_eq!(in_force(&quotas, None, "producer_byte_rate"), None);
    }

    #[test]
    fn w16_a_quota_below_the_speed_of_the_copy() {
        let mut facts = facts();
        sample::leaving(&mut facts).sizes = Ok(sample::sizes(&[("orders", 100_000_000_000)]));
        sample::arriving(&mut facts).quotas = Ok(vec![quota(&[("user", None)], "producer_byte_rate", 1e6)]);
        let finding = one(judge(&facts), "W16");
        assert_eq!(
            finding.message,
            "client quotas hold the copy back on the target: producer_byte_rate=1000000 of user <default>, for each broker: the \
             seed of 100000000000 bytes takes at least 33334 s, without the quota an estimated 4000 s"
        );
        assert!(finding.fix.contains("--entity-name ANONYMOUS --entity-type clients --entity-name msk-kraft"));
        sample::arriving(&mut facts).quotas = Ok(vec![quota(&[("user", None)], "producer_byte_rate", 1e9)]);
        assert!(judge(&facts).is_empty());
        // The source's producers and the target's consumers are not the copy.
        sample::arriving(&mut facts).quotas = Ok(vec![quota(&[("user", None)], "consumer_byte_rate", 1.0)]);
        sample::leaving(&mut facts).quotas = Ok(vec![quota(&[("user", None)], "producer_byte_rate", 1.0)]);
        assert!(judge(&facts).is_empty());
        sample::leaving(&mut facts).quotas = Ok(vec![quota(&[("client-id", None)], "consumer_byte_rate", 1.0)]);
        assert_eq!(one(judge(&facts), "W16").subject, "source");
    }

    #[test]
    fn w16_quotas_of_threads_and_of_creations() {
        let mut facts = facts();
        sample::source(&mut facts).topics.insert("many".into(), sample::topic(1_000));
        let quotas = vec![
            quota(&[("user", None)], "request_percentage", 10.0),
            quota(&[("client-id", None)], "controller_mutation_rate", 5.0),
        ];
        sample::arriving(&mut facts).quotas = Ok(quotas);
        let message = one(judge(&facts), "W16").message;
        assert!(
            message.contains("request_percentage=10 of user <default>") && message.contains(", of 1100;"),
            "{message}"
        );
        assert!(message.contains("creating 1002 partitions takes at least 201 s"), "{message}");
        sample::arriving(&mut facts).quotas = Ok(vec![
            quota(&[("client-id", None)], "controller_mutation_rate", 500.0),
            quota(&[("user", None)], "request_percentage", 1_100.0),
        ]);
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w16_of_the_user_that_the_functions_are() {
        let mut facts = facts();
        sample::arriving(&mut facts).quotas = Ok(vec![quota(&[("user", Some("mig"))], "request_percentage", 1.0)]);
        assert!(judge(&facts).is_empty());
        sample::target(&mut facts).user = Some("mig".to_owned());
        assert!(one(judge(&facts), "W16").fix.contains("--entity-name mig --entity-type clients"));
    }
}
