//! Topics of a target are one migration's at a time.

use futures::future::join_all;
use journal::Journal;
use migration::{ErrorKind, Phase};

use crate::support::{Bench, new_run};

const TARGET: &str = "kraft-1";

/// A run called `id` in the table of `bench`, beside the one that it has.
async fn another(bench: &Bench, id: &str) -> Journal {
    let journal = Journal::new(bench.client.clone(), bench.journal.table(), id.parse().unwrap());
    journal.create(&new_run()).await.unwrap();
    journal
}

#[tokio::test]
async fn a_topic_is_one_migrations_until_that_is_over() {
    let Some(bench) = Bench::in_phase(Phase::Planned).await else { return };
    let (first, second) = (&bench.journal, another(&bench, "second").await);
    first.claim_topics(TARGET, &["orders", "payments"]).await.unwrap();
    first.claim_topics(TARGET, &["payments"]).await.unwrap();
    second.claim_topics("kraft-2", &["orders"]).await.expect("of another cluster");
    second.claim_topics(TARGET, &["returns"]).await.unwrap();

    let error = second.claim_topics(TARGET, &["customers", "orders", "payments"]).await.unwrap_err();
    assert_eq!((error.kind, error.context.topic.as_deref()), (ErrorKind::Blocked, Some("orders")));
    for part in ["migration prod-1, in phase planned", "topic orders and 1 more"] {
        assert!(error.message.contains(part), "{error}");
    }
    // What was refused is not claimed, and what was claimed before still is.
    first.claim_topics(TARGET, &["customers"]).await.unwrap();
    assert!(first.claim_topics(TARGET, &["returns"]).await.is_err());

    first.transition(Phase::RolledBack, "").await.unwrap();
    second.claim_topics(TARGET, &["orders"]).await.unwrap();
}

#[tokio::test]
async fn of_claims_at_once_at_most_one_holds_and_the_owner_keeps_his() {
    let Some(bench) = Bench::in_phase(Phase::Planned).await else { return };
    let ids = ["a", "b", "c", "d"];
    let runs = join_all(ids.map(|id| another(&bench, id))).await;
    let held = join_all(runs.iter().map(|run| run.claim_topics(TARGET, &["orders"]))).await;
    assert!(held.iter().filter(|outcome| outcome.is_ok()).count() <= 1, "{held:?}");
    // Those that were refused stand in nobody's way.
    let winner = match held.iter().position(Result::is_ok) {
        Some(winner) => winner,
        None => {
            runs[0].claim_topics(TARGET, &["orders"]).await.unwrap();
            0
        }
    };
    for _ in 0..5 {
        let again = join_all(runs.iter().map(|run| run.claim_topics(TARGET, &["orders"]))).await;
        let holders: Vec<_> = (0..runs.len()).filter(|at| again[*at].is_ok()).collect();
        assert_eq!(holders, [winner], "{again:?}");
    }
}
