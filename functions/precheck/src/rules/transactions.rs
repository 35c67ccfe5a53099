//! Transactional producers, and transactions that nobody will end.

use kafka::{AclBinding, AclOperation, AclPermission, AclResource};
use migration::report::Finding;
use topology::transactions::OpenTransaction;

use super::finding::{count, few, finding};
use crate::access::{Access, Verdict};
use crate::facts::{Facts, Transactions};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(transactions) = facts.leaving.as_ref().and_then(|leaving| leaving.transactions.as_ref()) else {
        return Vec::new();
    };
    [producers(transactions), hanging(facts, transactions)].into_iter().flatten().collect()
}

/// Idempotent producers look the same to `DescribeProducers`; only coordinators know which are transactional, and those
/// before Kafka 3.0 cannot be asked. An id that was not used for `transactional.id.expiration.ms` is forgotten.
fn producers(transactions: &Transactions) -> Option<Finding> {
    let found = match transactions.producers.as_ref().ok()? {
        Some(producers) if producers.is_empty() => return None,
        Some(producers) => {
            let ids = producers.iter().map(|producer| &producer.transactional_id);
            format!("the source has {}: {}", count(producers.len(), "transactional producer"), few(ids))
        }
        None => "the source has had transactional producers (it has the topic __transaction_state, and a broker before Kafka \
                 3.0 does not list them)"
            .to_owned(),
    };
    let open: Vec<_> = transactions.open.iter().flatten().map(|transaction| &transaction.partition).collect();
    let now = match open.is_empty() {
        true => "no transaction seen open now".to_owned(),
        false => format!("transactions open now in {}: {}", count(open.len(), "partition"), few(open)),
    };
    Some(
        finding("W06", "source")
            .found(format_args!("{found}; {now}"))
            .of(transactions.producers.iter().flatten().flatten().map(|producer| &producer.transactional_id))
            .because(
                "transactional ids, producer ids and epochs stay behind: exactly-once ends at the switch and begins anew after \
                 it, and nothing behind an open transaction is copied",
            )
            .fix(
                "let open transactions end before the cutover; after the switch producers start anew with initTransactions()",
            ),
    )
}

/// Those that no coordinator knows. Where coordinators cannot be asked the age of the records decides, by their producer's
/// clock. Copying may begin: behind the drain it waits for them.
fn hanging(facts: &Facts, transactions: &Transactions) -> Option<Finding> {
    let hanging: Vec<_> = transactions.open.iter().flatten().filter(|transaction| transaction.hanging).collect();
    let first = hanging.first()?;
    let named = hanging.iter().map(|OpenTransaction { partition, offset, producer_id, .. }| {
        format!("{partition} from offset {offset} on (producer {producer_id})")
    });
    let named: Vec<_> = named.collect();
    let (what, why) = match transactions.producers {
        Ok(Some(_)) if lists_all(facts) => {
            ("hanging", "they are older than a transaction may become, and no coordinator knows them")
        }
        Ok(Some(_)) => (
            "perhaps hanging, or hidden",
            "they are older than a transaction may become, and coordinators do not tell of them, which they do not either of \
             transactional ids that the principal may not describe",
        ),
        _ => ("perhaps hanging", "they are older than a transaction may become, by the timestamps of their records"),
    };
    let servers = facts.config.source.bootstrap_servers.as_deref().unwrap_or("<source bootstrap servers>");
    Some(
        finding("W20", "source")
            .found(format_args!("{what}: {} of the source: {}", count(hanging.len(), "transaction"), few(&named)))
            .of(&named)
            .because(format_args!(
                "{why}: nobody ends them, nothing behind their first record is copied, and drain_ready waits for that"
            ))
            .fix(format_args!("one by one, and the first: {}", first.way_out(servers))),
    )
}

/// Whether it is certain that coordinators list every transactional id (`KafkaApis.handleListTransactionsRequest` leaves out
/// those without `DESCRIBE`): there is no authorizer, or an ACL allows to describe all.
fn lists_all(facts: &Facts) -> bool {
    let acls = facts.leaving.as_ref().and_then(|leaving| leaving.acls.as_ref().ok());
    let Some(Some(acls)) = acls else { return acls.is_some() };
    let user = facts.source.reached.as_ref().ok().and_then(|reached| reached.user.as_deref());
    let principal = user.map(|user| format!("User:{user}"));
    let all = Access::new(acls, principal.as_deref(), (AclResource::TransactionalId, "*"));
    let denies =
        |acl: &AclBinding| acl.resource == AclResource::TransactionalId && acl.permission == AclPermission::Deny;
    all.verdict(AclOperation::Describe) == Verdict::Allowed && !acls.iter().any(denies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, codes, facts, one};
    use kafka::Transaction;
    use migration::{Error, TopicPartition};

    fn producer(id: &str) -> Transaction {
        Transaction { transactional_id: id.to_owned(), producer_id: 7, state: "CompleteCommit".to_owned() }
    }

    fn open(hanging: bool) -> OpenTransaction {
        OpenTransaction {
            partition: TopicPartition::new("orders", 1),
            offset: 71,
            producer_id: 4000,
            producer_epoch: 2,
            last_written: None,
            hanging,
            asked: true,
        }
    }

    fn with(producers: Option<Vec<Transaction>>, open: Vec<OpenTransaction>) -> Facts {
        let mut facts = facts();
        sample::leaving(&mut facts).transactions = Some(Transactions { producers: Ok(producers), open: Ok(open) });
        facts
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
        // Transactions were used once, and their ids have expired.
        assert!(judge(&with(Some(Vec::new()), Vec::new())).is_empty());
    }

    #[test]
    fn w06_counts_and_names_transactional_producers() {
        let message = one(judge(&with(Some(vec![producer("pay"), producer("ship")]), Vec::new())), "W06").message;
        assert_eq!(message, "the source has 2 transactional producers: pay, ship; no transaction seen open now");
        let message = one(judge(&with(Some(vec![producer("pay")]), vec![open(false)])), "W06").message;
        assert!(message.ends_with("transactions open now in 1 partition: orders/1"), "{message}");
    }

    #[test]
    fn w06_of_a_source_that_cannot_count_them() {
        let message = one(judge(&with(None, Vec::new())), "W06").message;
        assert!(message.contains("__transaction_state, and a broker before Kafka 3.0"), "{message}");
    }

    #[test]
    fn w20_a_transaction_that_no_coordinator_knows() {
        let mut facts = with(Some(Vec::new()), vec![open(false), open(true)]);
        sample::leaving(&mut facts).acls = Ok(None);
        let findings = judge(&facts);
        let finding = one(findings, "W20");
        assert_eq!(finding.message, "hanging: 1 transaction of the source: orders/1 from offset 71 on (producer 4000)");
        assert!(finding.fix.contains("abort --topic orders --partition 1 --start-offset 71"), "{}", finding.fix);
        assert!(judge(&with(Some(Vec::new()), vec![open(false)])).is_empty());
    }

    #[test]
    fn w20_of_ids_that_coordinators_may_hide() {
        let mut facts = with(Some(Vec::new()), vec![open(true)]);
        let hidden = |facts: &Facts| one(judge(facts), "W20").message.starts_with("perhaps hanging, or hidden: 1 tran");
        assert!(hidden(&facts));
        let ids =
            |principal, name| AclBinding { resource: AclResource::TransactionalId, ..sample::acl(principal, name) };
        let acls = |acls: &[AclBinding]| Ok(Some(acls.to_vec()));
        let (all, some) =
            (AclBinding { operation: AclOperation::Describe, ..ids("User:ANONYMOUS", "*") }, ids("User:a", "pay"));
        sample::leaving(&mut facts).acls = acls(std::slice::from_ref(&some));
        assert!(hidden(&facts));
        sample::leaving(&mut facts).acls = acls(&[some.clone(), all.clone()]);
        assert!(!hidden(&facts));
        let denial =
            AclBinding { permission: AclPermission::Deny, operation: AclOperation::All, ..ids("User:*", "pay") };
        sample::leaving(&mut facts).acls = acls(&[some, all, denial]);
        assert!(hidden(&facts));
    }

    #[test]
    fn w20_where_age_alone_decides() {
        let findings = judge(&with(None, vec![open(true)]));
        assert_eq!(codes(&findings), ["W06", "W20"]);
        assert!(findings[1].message.starts_with("perhaps hanging: 1 transaction"));
    }

    #[test]
    fn what_could_not_be_asked_is_nothing_here() {
        let mut facts = with(None, Vec::new());
        let transactions = sample::leaving(&mut facts).transactions.as_mut().unwrap();
        transactions.producers = Err(Error::blocked("denied"));
        transactions.open = Err(Error::blocked("denied"));
        assert!(judge(&facts).is_empty());
    }
}
