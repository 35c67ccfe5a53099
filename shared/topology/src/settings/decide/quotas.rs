//! Client quotas: compared, and checked by the target.

use documents::rehearsal::Weight;
use migration::Result;

use super::{Context, Decision, Refusal, code, is_denial};
use crate::quotas::{QuotaRefusal, Quotas, changes, refusals};
use crate::refusal::unless_refused;

pub(super) async fn decide(context: &Context<'_>, decision: &mut Decision) -> Result<()> {
    let Context { basis, target, asked, .. } = context;
    let there = unless_refused(target.client_quotas().await)?;
    let quotas = Quotas::of(
        asked.quotas.as_ref().map(Vec::as_slice),
        there.as_ref().map(Vec::as_slice),
        basis.config.topology.on_config_drift,
    );
    decision.warnings.extend(quotas.lines());
    let refused = refusals(target.check_client_quotas(&changes(&quotas.to_set)).await)?;
    settle(&quotas, refused, decision);
    Ok(())
}

/// Takes what is to be set without what was `refused`. The cutover goes on without that: a limit that a client does not have
/// for a while is no reason to hold a migration up.
fn settle(quotas: &Quotas, refused: Vec<QuotaRefusal>, decision: &mut Decision) {
    let mut wanted = quotas.wanted();
    for refusal in refused {
        match refusal {
            QuotaRefusal::All(error) if is_denial(&error) => {
                decision.refusals.push(Refusal {
                    weight: Weight::Warning,
                    code: code::PERMISSION_MISSING,
                    subject: "client quotas".to_owned(),
                    message: format!(
                        "{} client quotas cannot be set: the target refuses: {error}",
                        quotas.to_set.len()
                    ),
                    way_out: "allow the principal of target.auth AlterConfigs on the Cluster (with IAM \
                              kafka-cluster:AlterClusterDynamicConfiguration), or set them by hand after the cutover"
                        .to_owned(),
                });
                wanted.clear();
            }
            QuotaRefusal::All(error) => {
                let count = quotas.to_set.len();
                decision.warnings.push(format!("{count} client quotas are not copied: the target has none: {error}"));
                wanted.clear();
            }
            QuotaRefusal::Of(entity, error) => {
                decision.refusals.push(Refusal {
                    weight: Weight::Warning,
                    code: code::QUOTA_REFUSED,
                    subject: format!("client quota of {entity}"),
                    message: format!("the target does not take it: {error}"),
                    way_out:
                        "change it on the source to something that the target takes, or remove it there; otherwise the \
                              target does not get it"
                            .to_owned(),
                });
                wanted.retain(|quota| quota.entity != entity);
            }
        }
    }
    decision.settings.quotas = wanted;
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{Api, ClientQuota, Code, Place, QuotaEntity};
    use migration::config::ConfigDrift;

    fn quota(user: &str, limit: f64) -> ClientQuota {
        let entity = QuotaEntity([("user".to_owned(), Some(user.to_owned()))].into());
        ClientQuota { entity, limits: [("producer_byte_rate".to_owned(), limit)].into() }
    }

    fn error(code: Code) -> kafka::Error {
        kafka::Error::Broker { api: Api::AlterClientQuotas, code, place: Place::Cluster, message: None }
    }

    fn settled(refused: Vec<QuotaRefusal>) -> Decision {
        let source = [quota("alice", 5.0), quota("dave", 0.0)];
        let mut decision = Decision::default();
        settle(&Quotas::of(Ok(&source), Ok(&[]), ConfigDrift::default()), refused, &mut decision);
        decision
    }

    #[test]
    fn a_quota_that_the_target_does_not_take_is_left_out_by_name_and_blocks_nothing() {
        assert_eq!(settled(Vec::new()).settings.quotas, [quota("alice", 5.0), quota("dave", 0.0)]);
        let one = settled(vec![QuotaRefusal::Of(quota("dave", 0.0).entity, error(Code::InvalidRequest))]);
        assert_eq!(one.settings.quotas, [quota("alice", 5.0)]);
        assert_eq!((one.refusals[0].weight, one.refusals[0].code), (Weight::Warning, code::QUOTA_REFUSED));
        assert_eq!(one.refusals[0].subject, "client quota of user dave");
    }

    #[test]
    fn lacking_permission_and_a_cluster_without_quotas_are_told_apart() {
        let denied = settled(vec![QuotaRefusal::All(error(Code::ClusterAuthorizationFailed))]);
        assert_eq!((denied.refusals[0].code, denied.warnings.len()), (code::PERMISSION_MISSING, 0));
        let without = settled(vec![QuotaRefusal::All(error(Code::UnsupportedVersion))]);
        assert!(without.refusals.is_empty() && without.warnings[0].starts_with("2 client quotas are not copied"));
        assert!(denied.settings.quotas.is_empty() && without.settings.quotas.is_empty());
    }
}
