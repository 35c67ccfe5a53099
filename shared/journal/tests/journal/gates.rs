//! Gates from arming to sending, repeated at every step.

use std::collections::BTreeSet;

use futures::future::join_all;
use journal::{Decided, Decision, GateName, GateState, Token, Verdict};
use migration::{ErrorKind, Phase};

use crate::support::Bench;

const GATE: GateName = GateName::Cutover;

fn token(text: &str) -> Token {
    Token::new(format!("secret-{text}"))
}

fn sent_with(decided: Decided) -> (Token, journal::Gate) {
    match decided {
        Decided::Send { token, gate } => (token, gate),
        Decided::AlreadySent(gate) => panic!("sent already: {gate:?}"),
    }
}

#[tokio::test]
async fn a_decision_is_stored_then_sent_and_can_be_repeated_until_it_is() {
    let Some(bench) = Bench::in_phase(Phase::DrainReady).await else { return };
    let journal = &bench.journal;
    assert_eq!(journal.gate(GATE).await.unwrap(), None);
    let deadline = journal.now() + chrono::Duration::hours(4);
    let armed = journal.open(GATE, &token("one"), Some(deadline)).await.unwrap();
    assert_eq!((armed.attempt, armed.state, armed.deadline), (1, GateState::Open, Some(deadline)));
    bench.wait(9);
    assert_eq!(journal.open(GATE, &token("one"), None).await.unwrap(), armed, "the same token is a replay");

    let (first, gate) = sent_with(
        journal
            .decide(GATE, &Decision { rehearsal: Some("r7".to_owned()), ..Decision::approve("lag is 0") }, "ada")
            .await
            .unwrap(),
    );
    assert_eq!(first.expose(), "secret-one");
    assert_eq!((gate.state, gate.decided_at), (GateState::Decided, Some(journal.now())));
    bench.wait(9);
    let (second, again) = sent_with(journal.decide(GATE, &Decision::approve("sent twice"), "bob").await.unwrap());
    assert_eq!((second, again), (first, gate.clone()), "the first reason, name and time stand");
    let error = journal.decide(GATE, &Decision::reject("no"), "bob").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Blocked);
    assert!(error.message.contains("approved by ada at 2026-04-25T06:15:16.512121Z"), "{error}");

    journal.mark_sent(GATE, 1).await.unwrap();
    journal.mark_sent(GATE, 1).await.unwrap();
    let sent = journal.gate(GATE).await.unwrap().unwrap();
    assert_eq!(sent, journal::Gate { state: GateState::Sent, ..gate });
    assert_eq!(sent.decision.clone().unwrap().rehearsal.as_deref(), Some("r7"), "what was approved is on record");
    assert_eq!(journal.decide(GATE, &Decision::reject("no"), "bob").await.unwrap(), Decided::AlreadySent(sent.clone()));
    assert_eq!(journal.open(GATE, &token("one"), None).await.unwrap(), sent, "still a replay");
    assert!(!format!("{:?}", bench.raw("gate#cutover").await).contains("secret"), "the token is forgotten");
}

#[tokio::test]
async fn a_new_token_makes_a_new_attempt_whatever_came_before() {
    let Some(bench) = Bench::in_phase(Phase::DrainReady).await else { return };
    let journal = &bench.journal;
    journal.open(GATE, &token("open"), None).await.unwrap();
    assert_eq!(journal.open(GATE, &token("decided"), None).await.unwrap().attempt, 2);
    journal.decide(GATE, &Decision::reject("not today"), "ada").await.unwrap();
    let third = journal.open(GATE, &token("sent"), None).await.unwrap();
    assert_eq!((third.attempt, third.state, third.decision), (3, GateState::Open, None));
    assert_eq!(journal.mark_sent(GATE, 2).await.unwrap_err().kind, ErrorKind::Fenced);
    assert_eq!(journal.mark_sent(GATE, 3).await.unwrap_err().kind, ErrorKind::Blocked, "nobody decided");
    let (used, gate) = sent_with(journal.decide(GATE, &Decision::approve(""), "ada").await.unwrap());
    assert_eq!((used.expose(), gate.decision.unwrap().verdict), ("secret-sent", Verdict::Approve));
    journal.mark_sent(GATE, 3).await.unwrap();
    assert_eq!(journal.open(GATE, &token("fourth"), None).await.unwrap().attempt, 4);
    let late = journal.open(GATE, &token("decided"), None).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Fenced, "a token of attempt 2 must not come back");
    assert!(!late.to_string().contains("secret"));
}

#[tokio::test]
async fn deciding_where_nothing_waits_says_what_is_waited_for() {
    let Some(bench) = Bench::in_phase(Phase::Seed).await else { return };
    let journal = &bench.journal;
    let approve = Decision::approve("");
    let early = journal.decide(GATE, &approve, "ada").await.unwrap_err();
    assert_eq!(early.kind, ErrorKind::Blocked);
    assert!(early.message.contains("in phase seed, and gate cutover is decided in phase drain_ready"), "{early}");
    journal.transition(Phase::Tail, "").await.unwrap();
    journal.transition(Phase::DrainReady, "").await.unwrap();
    let unarmed = journal.decide(GATE, &approve, "ada").await.unwrap_err();
    assert!(unarmed.message.contains("has not armed the gate yet"), "{unarmed}");
    journal.open(GATE, &token("a"), None).await.unwrap();
    journal.decide(GATE, &approve, "ada").await.unwrap();
    journal.transition(Phase::Cutover, "").await.unwrap();
    let late = journal.decide(GATE, &approve, "ada").await.unwrap_err();
    assert!(
        late.message.contains("in phase cutover") && late.message.contains("attempt 1 was approved by ada"),
        "{late}"
    );
    journal.fail("").await.unwrap();
    let failed = journal.decide(GateName::Freeze, &approve, "ada").await.unwrap_err();
    assert!(failed.message.contains("resume it first"), "{failed}");
}

#[tokio::test]
async fn of_opposite_concurrent_decisions_one_stands() {
    let Some(bench) = Bench::in_phase(Phase::DrainReady).await else { return };
    let journal = &bench.journal;
    journal.open(GATE, &token("a"), None).await.unwrap();
    let decisions = (0..8).map(|n| if n % 2 == 0 { Decision::approve("") } else { Decision::reject("") });
    let outcomes = join_all(decisions.map(|decision| async move {
        journal.decide(GATE, &decision, "ada").await.map(|decided| sent_with(decided).1.decision.unwrap().verdict)
    }))
    .await;
    let verdicts: BTreeSet<_> = outcomes.iter().flatten().map(|verdict| verdict.name()).collect();
    assert_eq!(verdicts.len(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 4);
    assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(|error| error.kind == ErrorKind::Blocked));
}

#[tokio::test]
async fn a_decision_that_comes_in_between_stands() {
    let Some(bench) = Bench::in_phase(Phase::DrainReady).await else { return };
    bench.journal.open(GATE, &token("a"), None).await.unwrap();
    let late = bench.with_interruption(|journal| async move {
        journal.decide(GATE, &Decision::reject("first"), "bob").await.unwrap();
    });
    let error = late.decide(GATE, &Decision::approve("second"), "ada").await.unwrap_err();
    assert!(error.kind == ErrorKind::Blocked && error.message.contains("rejected by bob"), "{error}");
    let late = bench.with_interruption(|journal| async move {
        journal.open(GATE, &token("b"), None).await.unwrap();
    });
    let third = late.open(GATE, &token("c"), None).await.unwrap();
    assert_eq!((third.attempt, third.state), (3, GateState::Open));
}

#[tokio::test]
async fn concurrent_tokens_make_one_attempt_each() {
    let Some(bench) = Bench::in_phase(Phase::DrainReady).await else { return };
    let journal = &bench.journal;
    let tokens = (0..6).map(|n| token(&n.to_string()));
    let armed = join_all(tokens.map(|token| async move { journal.open(GATE, &token, None).await.unwrap() })).await;
    let attempts: BTreeSet<_> = armed.iter().map(|gate| gate.attempt).collect();
    assert_eq!(attempts, (1..=6).collect());
    assert_eq!(bench.journal.gate(GATE).await.unwrap().unwrap().attempt, 6);
}
