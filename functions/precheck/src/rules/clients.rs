//! Producers and consumers that have to be handled with care.

use std::collections::BTreeSet;

use migration::report::Finding;

use super::{count, few, warning};
use crate::facts::Facts;

/// Instance ids that a message names of one group.
const INSTANCES: usize = 3;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    [static_members(facts), transactions(facts), active_on_target(facts)].into_iter().flatten().collect()
}

fn static_members(facts: &Facts) -> Option<Finding> {
    let groups = &facts.leaving.as_ref()?.static_members.known;
    let summary = groups.iter().map(|(group, ids)| {
        let more = if ids.len() > INSTANCES { ", ..." } else { "" };
        format!("{group} ({}{more})", ids[..ids.len().min(INSTANCES)].join(", "))
    });
    (!groups.is_empty()).then(|| {
        warning(
            "W05",
            format_args!("static members in {} of the source: {}", count(groups.len(), "group"), few(summary)),
            "start these consumers on the target with the same group.instance.id each, or their groups rebalance as for new \
             members",
        )
    })
}

/// Idempotent producers without transactions look the same to `DescribeProducers`, so only open transactions are counted.
fn transactions(facts: &Facts) -> Option<Finding> {
    let open = facts.leaving.as_ref()?.open_transactions.as_ref()?;
    let mut now = match open.known.is_empty() {
        true => "none seen open now".to_owned(),
        false => format!("open now in {}: {}", count(open.known.len(), "partition"), few(&open.known)),
    };
    if let Some((number, error)) = &open.missing {
        now.push_str(&format!(" ({} could not be asked: {})", count(*number, "partition"), error.message));
    }
    Some(warning(
        "W06",
        format_args!(
            "the source has had transactional producers (it has the topic __transaction_state); {now}; transactional ids and \
             producer epochs stay behind, exactly-once ends at the switch and begins anew after it"
        ),
        "let open transactions end before the cutover; after the switch producers start anew with initTransactions()",
    ))
}

fn active_on_target(facts: &Facts) -> Option<Finding> {
    if facts.is_one_cluster() {
        return None;
    }
    let source: BTreeSet<_> = facts.leaving.as_ref()?.groups.as_ref().ok()?.iter().map(|group| &group.id).collect();
    let active = facts.arriving.as_ref()?.active_groups.as_ref().ok()?;
    let both: Vec<_> = active.iter().filter(|group| source.contains(group)).collect();
    (!both.is_empty()).then(|| {
        warning(
            "W11",
            format_args!(
                "{} of the source with members on the target already: {}; offsets cannot be committed for a group with members",
                count(both.len(), "group"),
                few(&both)
            ),
            "stop their consumers on the target until clients are switched, or rename them",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Partly;
    use crate::sample::{self, codes, facts};
    use kafka::{GroupListing, GroupState};
    use migration::{Error, TopicPartition};

    fn one(facts: &Facts, code: &str) -> Finding {
        let findings = judge(facts);
        assert_eq!(codes(&findings), [code], "{findings:?}");
        findings.into_iter().next().unwrap()
    }

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
        let message = one(&facts, "W05").message;
        assert!(message.contains("billing (i-1, i-2), search (i-1, i-2, i-3, ...)"), "{message}");
    }

    #[test]
    fn w06_transactions_have_been_used() {
        let mut facts = facts();
        sample::leaving(&mut facts).open_transactions = Some(Partly::default());
        assert!(one(&facts, "W06").message.contains("none seen open now;"));
        let open = [TopicPartition::new("orders", 1)].into();
        sample::leaving(&mut facts).open_transactions = Some(Partly { known: open, missing: None });
        assert!(one(&facts, "W06").message.contains("open now in 1 partition: orders/1"));
        let missing = Some((4, Error::blocked("TopicAuthorizationFailed")));
        sample::leaving(&mut facts).open_transactions = Some(Partly { known: BTreeSet::new(), missing });
        assert!(one(&facts, "W06").message.contains("(4 partitions could not be asked: TopicAuthorizationFailed)"));
    }

    #[test]
    fn w11_groups_of_both_sides() {
        let mut facts = facts();
        let listing = |id: &str| GroupListing {
            id: id.to_owned(),
            protocol_type: "consumer".to_owned(),
            state: GroupState::Stable,
        };
        sample::leaving(&mut facts).groups = Ok(vec![listing("billing"), listing("search")]);
        sample::arriving(&mut facts).active_groups = Ok(["search".to_owned(), "other".to_owned()].into());
        assert!(
            one(&facts, "W11").message.starts_with("1 group of the source with members on the target already: search;")
        );
        sample::arriving(&mut facts).active_groups = Ok(["other".to_owned()].into());
        assert!(judge(&facts).is_empty());
    }
}
