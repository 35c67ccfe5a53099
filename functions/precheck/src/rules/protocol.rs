//! Whether the target still serves the request versions that clients of the source may use: Kafka 4 has ended those of before
//! Kafka 2.1 (KIP-896).

use kafka::{Api, ServedVersions};
use migration::report::Finding;

use super::finding::{count, few, finding};
use crate::facts::{Facts, Reached};

/// What clients and their tools send, with whose the oldest versions are where that is known.
const CLIENT_APIS: [(Api, &str); 33] = [
    (Api::Produce, "clients before Kafka 0.11, with message format 0 or 1"),
    (Api::Fetch, "clients before Kafka 0.11, with message format 0 or 1"),
    (Api::ListOffsets, "clients before Kafka 0.10.1"),
    (Api::Metadata, ""),
    (Api::OffsetCommit, ""),
    (Api::OffsetFetch, ""),
    (Api::FindCoordinator, ""),
    (Api::JoinGroup, ""),
    (Api::Heartbeat, ""),
    (Api::LeaveGroup, ""),
    (Api::SyncGroup, ""),
    (Api::DescribeGroups, ""),
    (Api::ListGroups, ""),
    (Api::SaslHandshake, ""),
    (Api::ApiVersions, ""),
    (Api::CreateTopics, ""),
    (Api::DeleteTopics, ""),
    (Api::DeleteRecords, ""),
    (Api::InitProducerId, ""),
    (Api::OffsetForLeaderEpoch, ""),
    (Api::AddPartitionsToTxn, ""),
    (Api::AddOffsetsToTxn, ""),
    (Api::EndTxn, ""),
    (Api::TxnOffsetCommit, ""),
    (Api::DescribeAcls, ""),
    (Api::CreateAcls, ""),
    (Api::DeleteAcls, ""),
    (Api::DescribeConfigs, ""),
    (Api::AlterConfigs, ""),
    (Api::DescribeLogDirs, ""),
    (Api::SaslAuthenticate, ""),
    (Api::CreatePartitions, ""),
    (Api::DeleteGroups, ""),
];

/// Brokers whose Fetch begins here have no Produce below [`PRODUCE_OF_V2`], whatever they say (KAFKA-18659).
const FETCH_OF_V2: i16 = 4;
/// The first version of Produce with message format 2 (KIP-98).
const PRODUCE_OF_V2: i16 = 3;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    ended(facts).into_iter().collect()
}

fn ended(facts: &Facts) -> Option<Finding> {
    let (source, target) = (facts.source.reached.as_ref().ok()?, facts.target.reached.as_ref().ok()?);
    let ended: Vec<_> = CLIENT_APIS.iter().filter_map(|(api, whose)| no_longer(source, target, *api, whose)).collect();
    (!ended.is_empty()).then(|| {
        finding("W28", "target")
            .found(format_args!(
                "the target does not serve old versions of {} that the source serves: {}",
                count(ended.len(), "request"),
                few(&ended)
            ))
            .of(&ended)
            .because(
                "it closes the connection of a client that uses them (KIP-896): old clients, and admin tools of old versions, \
                 work on the source alone",
            )
            .fix(
                "look on the source who uses them: brokers from 3.7 on count them by client in the metric \
                 kafka.network:type=RequestMetrics,name=DeprecatedRequestsPerSec, older ones name them in the request log \
                 (logger kafka.request.logger); bring those clients to Kafka 2.1 or later before the switch",
            )
    })
}

/// The versions of `api` that end, in words.
fn no_longer(source: &Reached, target: &Reached, api: Api, whose: &str) -> Option<String> {
    let source = brokers(source)?.filter_map(|served| first(served, api)).min()?;
    // Of a target in the middle of an upgrade the newest counts.
    let target = brokers(target)?.filter_map(|served| first(served, api)).max()?;
    let whose = if whose.is_empty() { String::new() } else { format!(" ({whose})") };
    match target - 1 {
        last if last < source => None,
        last if last == source => Some(format!("{api:?} {last}{whose}")),
        last => Some(format!("{api:?} {source}-{last}{whose}")),
    }
}

fn brokers(reached: &Reached) -> Option<impl Iterator<Item = &ServedVersions>> {
    Some(reached.served.as_ref().ok()?.values())
}

/// The first version of `api` that a broker serves.
fn first(served: &ServedVersions, api: Api) -> Option<i16> {
    let said = *served.get(&(api as i16))?.start();
    let fetch = served.get(&(Api::Fetch as i16)).map_or(0, |versions| *versions.start());
    Some(if api == Api::Produce && fetch >= FETCH_OF_V2 { said.max(PRODUCE_OF_V2) } else { said })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, facts, one};

    fn serve(reached: &mut Reached, broker: i32, versions: &[(Api, i16, i16)]) {
        let served = versions.iter().map(|(api, first, last)| (*api as i16, *first..=*last)).collect();
        reached.served.as_mut().unwrap().insert(broker, served);
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn w28_versions_that_end_with_a_target_of_kafka_4() {
        let mut facts = facts();
        // As brokers of 4.x describe themselves.
        let of_4 = [(Api::Produce, 0, 12), (Api::Fetch, 4, 17), (Api::ListOffsets, 1, 10), (Api::JoinGroup, 0, 9)];
        let of_3 = [(Api::Produce, 0, 9), (Api::Fetch, 0, 12), (Api::ListOffsets, 0, 6), (Api::JoinGroup, 0, 7)];
        for broker in 1..=3 {
            serve(sample::source(&mut facts), broker, &of_3);
        }
        serve(sample::target(&mut facts), 2, &of_4);
        let finding = one(judge(&facts), "W28");
        let whose = "(clients before Kafka 0.11, with message format 0 or 1)";
        let ended = format!("Produce 0-2 {whose}, Fetch 0-3 {whose}, ListOffsets 0 (clients before Kafka 0.10.1)");
        assert!(finding.message.ends_with(&ended), "{}", finding.message);
        assert!(finding.fix.contains("DeprecatedRequestsPerSec"));
        // What the source does not serve does not end.
        for broker in 1..=3 {
            serve(sample::source(&mut facts), broker, &of_4);
        }
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn nothing_is_said_of_what_was_not_told() {
        let mut facts = facts();
        serve(sample::target(&mut facts), 1, &[(Api::Fetch, 4, 17)]);
        sample::source(&mut facts).served = Err(migration::Error::blocked("down"));
        assert!(judge(&facts).is_empty());
    }
}
