//! Consumers that have to be handled with care.

use std::collections::BTreeSet;

use migration::report::Finding;
use migration::scope;

use super::finding::{count, few, finding};
use crate::facts::Facts;

/// Instance ids that a message names of one group.
const INSTANCES: usize = 3;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    [static_members(facts), active_on_target(facts), connectors(facts), sinks(facts)].into_iter().flatten().collect()
}

fn static_members(facts: &Facts) -> Option<Finding> {
    let groups = &facts.leaving.as_ref()?.static_members.known;
    let summary = groups.iter().map(|(group, ids)| {
        let more = if ids.len() > INSTANCES { ", ..." } else { "" };
        format!("{group} ({}{more})", ids[..ids.len().min(INSTANCES)].join(", "))
    });
    let members = groups.iter().flat_map(|(group, ids)| ids.iter().map(move |id| format!("{group} {id}")));
    (!groups.is_empty()).then(|| {
        finding("W05", "source")
            .found(format_args!(
                "static members in {} of the source: {}",
                count(groups.len(), "group"),
                few(summary)
            ))
            .of(members)
            .because("a group knows a static member by its group.instance.id; one that comes back without it is a new member")
            .fix("start these consumers on the target with the same group.instance.id each")
    })
}

fn active_on_target(facts: &Facts) -> Option<Finding> {
    if facts.is_one_cluster() {
        return None;
    }
    let source: BTreeSet<_> = facts.leaving.as_ref()?.groups.as_ref().ok()?.iter().map(|group| &group.id).collect();
    let active = facts.arriving.as_ref()?.active_groups.as_ref().ok()?;
    let both: Vec<_> = active.iter().filter(|group| source.contains(group)).collect();
    (!both.is_empty()).then(|| {
        finding("W11", "target")
            .found(format_args!(
                "{} of the source with members on the target already: {}",
                count(both.len(), "group"),
                few(&both)
            ))
            .of(&both)
            .because("brokers refuse offsets for a group that has members, so the cutover leaves it out")
            .fix("stop their consumers on the target until clients are switched, or rename them")
    })
}

/// What connectors of MSK Connect keep on the source: their workers create such topics anew, unless they are told to take these.
fn connectors(facts: &Facts) -> Option<Finding> {
    let reached = facts.source.reached.as_ref().ok()?;
    let left: Vec<_> = reached.internal.iter().filter(|topic| topic.starts_with(scope::MSK_CONNECT)).collect();
    (!left.is_empty()).then(|| {
        finding("W33", "source")
            .found(format_args!(
                "{} of connectors of MSK Connect, which are not copied: {}",
                count(left.len(), "topic"),
                few(&left)
            ))
            .of(&left)
            .because(
                "a source connector keeps in its offsets topic how far it has read; without it a connector on the target begins \
                 again, and writes its records once more",
            )
            .fix(
                "to bring the offsets over, name the topic in topology.include (beside the pattern for the others) and as \
                 offset.storage.topic in the worker configuration of the connector on the target; nothing for sink connectors, \
                 whose offsets are those of their groups",
            )
    })
}

/// Groups of sink connectors of the source, as far as its groups are known.
pub(crate) fn sink_groups(facts: &Facts) -> impl Iterator<Item = &String> {
    let groups = facts.leaving.iter().filter_map(|leaving| leaving.groups.as_ref().ok()).flatten();
    groups.map(|group| &group.id).filter(|id| id.starts_with(scope::CONNECT_SINK))
}

fn sinks(facts: &Facts) -> Option<Finding> {
    let sinks: Vec<_> = sink_groups(facts).collect();
    (!sinks.is_empty()).then(|| {
        finding("W34", "source")
            .found(format_args!("{} of sink connectors: {}", count(sinks.len(), "group"), few(&sinks)))
            .of(&sinks)
            .because(
                "sinks that use offsets as versions or in the names of files and documents (those to S3 and Elasticsearch do) \
                 take a record of the target with a smaller offset for an old one, or write over what is there",
            )
            .fix(
                "look at `msk-kraft plan` whether offsets of their topics shift; if so let them write to another index, prefix or \
                 table from the switch on, or have them use keys instead of offsets",
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, facts, one};
    use kafka::{GroupListing, GroupState};

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn w05_static_members_by_group() {
        let mut facts = facts();
        let ids = |number: usize| (1..=number).map(|id| format!("i-{id}")).collect::<Vec<_>>();
        let groups = [("billing".to_owned(), ids(2)), ("search".to_owned(), ids(9))];
        sample::leaving(&mut facts).static_members.known = groups.into();
        let message = one(judge(&facts), "W05").message;
        assert!(message.contains("billing (i-1, i-2), search (i-1, i-2, i-3, ...)"), "{message}");
    }

    fn listing(id: &str) -> GroupListing {
        GroupListing {
            id: id.to_owned(),
            protocol_type: "consumer".to_owned(),
            state: GroupState::Stable,
            group_type: None,
        }
    }

    #[test]
    fn w33_what_connectors_of_msk_connect_keep() {
        let mut facts = facts();
        sample::source(&mut facts).internal.insert("__amazon_msk_connect_offsets_dbz_123-4".into());
        let message = one(judge(&facts), "W33").message;
        assert!(message.ends_with("not copied: __amazon_msk_connect_offsets_dbz_123-4"), "{message}");
    }

    #[test]
    fn w34_sinks_by_the_names_of_their_groups() {
        let mut facts = facts();
        sample::leaving(&mut facts).groups = Ok(vec![listing("connect-to-s3"), listing("connected")]);
        assert_eq!(one(judge(&facts), "W34").message, "1 group of sink connectors: connect-to-s3");
    }

    #[test]
    fn w11_groups_of_both_sides() {
        let mut facts = facts();
        sample::leaving(&mut facts).groups = Ok(vec![listing("billing"), listing("search")]);
        sample::arriving(&mut facts).active_groups = Ok(["search".to_owned(), "other".to_owned()].into());
        let message = one(judge(&facts), "W11").message;
        assert_eq!(message, "1 group of the source with members on the target already: search");
        sample::arriving(&mut facts).active_groups = Ok(["other".to_owned()].into());
        assert!(judge(&facts).is_empty());
    }
}
