//! Whether the write fence would hold, under `cutover.write_fence: acl`.

use std::collections::BTreeSet;
use std::sync::Arc;

use documents::rehearsal::Weight;
use kafka::Cluster;
use migration::Result;
use migration::config::WriteFence;
use runtime::Run;
use write_fence::live::LiveAcls;
use write_fence::trial::{Trial, try_out, unprovable};

use super::findings::{Findings, code};

/// Where the fence is chosen, and what it is about in findings.
const FIELD: &str = "cutover.write_fence";

/// Tries the fence on a topic that does not exist.
pub(super) async fn look(
    run: &Run<'_>,
    source: &Cluster,
    topics: &BTreeSet<Arc<str>>,
    findings: &mut Findings,
) -> Result<()> {
    if run.config.cutover.write_fence == WriteFence::None {
        return Ok(());
    }
    let acls = LiveAcls::new(source.clone());
    let trial = try_out(&acls, &run.id).await?;
    if trial == Trial::Binds {
        for topic in unprovable(&acls, topics).await? {
            findings.block(
                code::WRITE_FENCE,
                topic.to_string(),
                "the principal of source.auth may not write to it now, so that its refused write would prove no fence",
                "allow it to Write there, or set cutover.write_fence to none",
            );
        }
    }
    judge(trial, findings);
    if has_super_users(source).await {
        findings.add(
            Weight::Warning,
            code::SUPER_USERS,
            FIELD,
            "brokers of the source name super users (super.users), and no ACL holds those, nor clients that sign in with IAM",
            "stop producers that sign in so by other means; one that goes on is found where it writes (cutover.fence_window)",
        );
    }
    Ok(())
}

fn judge(trial: Trial, findings: &mut Findings) {
    let (found, way_out) = match trial {
        Trial::Binds => return,
        Trial::DoesNotBind => (
            "an ACL that denies Write does not bind the principal of source.auth, which is a super user: its own refused write \
             could not prove the fence"
                .to_owned(),
            "sign in to the source as a principal that is not in super.users and may Read, Describe and Write the topics and Alter \
             and Describe the cluster, or set cutover.write_fence to none",
        ),
        Trial::NoAuthorizer => (
            "the source has no authorizer, so that no ACL keeps anybody from writing".to_owned(),
            "set cutover.write_fence to none, or configure an authorizer",
        ),
        Trial::Refused(reason) => (reason, "allow it, or set cutover.write_fence to none"),
    };
    findings.block(code::WRITE_FENCE, FIELD, found, way_out);
}

/// Whether some broker names super users, or does not say.
async fn has_super_users(source: &Cluster) -> bool {
    let Ok(brokers) = source.brokers().await else { return true };
    for broker in brokers {
        match source.broker_configs(broker.id).await {
            Ok(configs) if configs.iter().all(|entry| entry.name != "super.users") => {}
            _ => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_the_fence_from_holding_blocks_with_a_way_out() {
        let of = |trial| {
            let mut findings = Findings::default();
            judge(trial, &mut findings);
            findings.sorted()
        };
        assert!(of(Trial::Binds).is_empty());
        for trial in [Trial::DoesNotBind, Trial::NoAuthorizer, Trial::Refused("why".to_owned())] {
            let [finding] = of(trial).try_into().unwrap();
            assert!(finding.weight == Weight::Blocker && finding.way_out.contains("cutover.write_fence to none"));
        }
    }
}
