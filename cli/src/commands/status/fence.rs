//! The write fence in a status.

use journal::WriteFence;
use migration::Phase;

use crate::{render, words};

/// The line about a fence.
pub(super) fn text(fence: &WriteFence) -> String {
    let topics = words::count(fence.topics, "topic");
    let foreign = match fence.foreign {
        0 => String::new(),
        some => format!("; {some} of them were denied before, by ACLs that stay"),
    };
    match (fence.lifted_at, fence.proven_at) {
        (Some(at), _) => {
            let by = fence.lifted_by.as_deref().unwrap_or("somebody");
            format!("on {topics} of the source, lifted at {} by {by}", render::moment(at))
        }
        (None, Some(at)) => format!("on {topics} of the source, proven at {}{foreign}", render::moment(at)),
        (None, None) => format!("on {topics} of the source, not proven yet{foreign}"),
    }
}

/// What somebody who looks should not miss.
pub(super) fn note(fence: &WriteFence, phase: Phase, committed: bool) -> Option<String> {
    if committed {
        let stands = matches!(phase, Phase::AwaitingClientSwitch | Phase::Validating | Phase::Finalized);
        return (stands && fence.stands()).then(|| {
            "the write fence stands: the source refuses every write to the migrated topics; `msk-kraft unfence` removes it"
                .to_owned()
        });
    }
    let left = phase != Phase::Cutover && fence.may_hold();
    let verb = if phase == Phase::RolledBack { "rollback" } else { "resume" };
    left.then(|| {
        format!(
            "the write fence of a cutover that was given up may still keep producers from writing to the source: `msk-kraft {verb}` \
             lifts it"
        )
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::test_support::start;

    fn fence() -> WriteFence {
        WriteFence {
            version: 7,
            since: start(),
            rules: "cutover/fences/1.json".to_owned(),
            topics: 3,
            own: 4,
            foreign: 1,
            setters: Vec::new(),
            set_at: Some(start()),
            proven_at: Some(start()),
            lifted_at: None,
            lifted_by: None,
        }
    }

    #[test]
    fn a_fence_says_whether_it_stands_and_who_lifted_it() {
        let mut fence = fence();
        assert_eq!(
            text(&fence),
            "on 3 topics of the source, proven at 2026-04-25T06:15:06Z; 1 of them were denied before, by ACLs that stay"
        );
        fence.lifted_at = Some(start() + TimeDelta::seconds(1));
        fence.lifted_by = Some("ada".to_owned());
        assert_eq!(text(&fence), "on 3 topics of the source, lifted at 2026-04-25T06:15:07Z by ada");
    }

    #[test]
    fn a_fence_that_stands_is_noted_where_it_should_and_where_it_should_not() {
        let mut fence = fence();
        let noted = |fence: &WriteFence, phase, committed| note(fence, phase, committed).unwrap_or_default();
        assert!(noted(&fence, Phase::Finalized, true).contains("`msk-kraft unfence` removes it"));
        assert!(noted(&fence, Phase::Failed, false).contains("`msk-kraft resume` lifts it"));
        assert!(noted(&fence, Phase::RolledBack, false).contains("`msk-kraft rollback` lifts it"));
        assert_eq!(noted(&fence, Phase::Cutover, false), "");
        fence.lifted_at = Some(start());
        assert_eq!(noted(&fence, Phase::Finalized, true) + &noted(&fence, Phase::Failed, false), "");
        fence.enter(3, start());
        assert!(noted(&fence, Phase::Failed, false).contains("resume"), "a function may have set rules since");
    }
}
