//! What was accepted, by whom and why.

use futures::future::join_all;
use migration::report::{Acceptable, CheckName};
use migration::{ErrorKind, Phase};

use crate::support::Bench;

fn of(subject: &str) -> Acceptable {
    Acceptable::of(CheckName::CountsAndOffsets, subject)
}

#[tokio::test]
async fn acceptances_add_up_and_a_repeat_changes_nothing() {
    let Some(bench) = Bench::in_phase(Phase::Validating).await else { return };
    let journal = &bench.journal;
    assert_eq!(journal.acceptances().await.unwrap(), []);
    let groups = Acceptable::all(CheckName::ConsumerGroupReconciliation);
    let first = journal.accept(&[of("orders/3"), groups.clone()], " two heartbeats ", "ada", Some(1)).await.unwrap();
    assert_eq!(first.iter().map(journal::Acceptance::what).collect::<Vec<_>>(), [of("orders/3"), groups]);
    assert_eq!(
        (first[0].reason.as_str(), first[0].by.as_str(), first[0].seen_attempt),
        ("two heartbeats", "ada", Some(1))
    );
    bench.wait(9);
    assert_eq!(journal.accept(&[of("orders/3")], "two heartbeats", "ada", None).await.unwrap(), first);
    assert_eq!(journal.acceptances().await.unwrap(), first);
}

#[tokio::test]
async fn of_concurrent_acceptances_none_is_lost() {
    let Some(bench) = Bench::in_phase(Phase::Validating).await else { return };
    let subjects: Vec<_> = (0..5).map(|number| format!("orders/{number}")).collect();
    let accepting = subjects.iter().map(|subject| async {
        // Whoever loses every race says so, and is repeated.
        while bench.journal.accept(&[of(subject)], "known", "ada", None).await.is_err() {}
    });
    join_all(accepting).await;
    let mut stored: Vec<_> =
        bench.journal.acceptances().await.unwrap().into_iter().filter_map(|known| known.subject).collect();
    stored.sort_unstable();
    assert_eq!(stored, subjects);
}

#[tokio::test]
async fn a_reason_is_wanted_and_there_is_an_end() {
    let Some(bench) = Bench::in_phase(Phase::Validating).await else { return };
    let journal = &bench.journal;
    for reason in ["", "  ", &"x".repeat(501)] {
        let error = journal.accept(&[of("orders")], reason, "ada", None).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
    }
    let many: Vec<_> = (0..100).map(|number| of(&format!("orders/{number}"))).collect();
    assert_eq!(journal.accept(&many, &"x".repeat(500), "ada", None).await.unwrap().len(), 100);
    let error = journal.accept(&[of("one-more")], "x", "ada", None).await.unwrap_err();
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("at most 100"), "{error}");
}
