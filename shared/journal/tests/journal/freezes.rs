//! Freezes from asking to letting go, calls of webhooks, and cutovers that are given up.

use aws_sdk_dynamodb::types::AttributeValue;
use journal::{FreezeHow, FreezeState, Side, Transition, WebhookCall};
use migration::{ErrorKind, Phase};

use crate::support::Bench;

#[tokio::test]
async fn every_freeze_is_remembered_with_its_length() {
    let Some(bench) = Bench::empty().await else { return };
    let journal = &bench.journal;
    assert_eq!(journal.freeze_state().await.unwrap(), None);
    let asked = journal.ask_freeze(journal.now(), FreezeHow::Webhook, "webhook").await.unwrap();
    assert_eq!((asked.begun, asked.freeze.state()), (true, FreezeState::Asked));
    bench.wait(5);
    let again = journal.ask_freeze(journal.now(), FreezeHow::Operator, "ada").await.unwrap();
    assert_eq!((again.begun, &again.freeze), (false, &asked.freeze), "the first record stands");
    assert_eq!(again.freeze.frozen_since(), None);
    let frozen_at = journal.now();
    let first = journal.set_frozen(frozen_at, FreezeHow::Webhook, "webhook").await.unwrap();
    bench.wait(40);
    let again = journal.set_frozen(journal.now(), FreezeHow::Operator, "ada").await.unwrap();
    assert_eq!((again.state(), again.frozen_since()), (FreezeState::Frozen, Some(frozen_at)));
    assert_eq!(again, first, "the first record stands");
    for _ in 0..2 {
        let freeze = journal.set_unfrozen(&first, Side::Source, journal.now()).await.unwrap().unwrap();
        assert_eq!(freeze.state(), FreezeState::Unfrozen { towards: Side::Source });
        bench.wait(10);
        assert_eq!(freeze.length(journal.now()).as_secs(), 40);
    }
    for error in [
        journal.set_unfrozen(&first, Side::Target, journal.now()).await.unwrap_err(),
        journal.set_frozen(journal.now(), FreezeHow::Webhook, "webhook").await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Blocked, "a confirmation that comes late freezes nobody: {error}");
    }
    journal.ask_freeze(journal.now(), FreezeHow::Operator, "operator").await.unwrap();
    let second = journal.set_frozen(journal.now(), FreezeHow::Operator, "ada").await.unwrap();
    let late = journal.set_unfrozen(&first, Side::Source, journal.now()).await.unwrap();
    assert_eq!(late.as_ref(), Some(&second), "whoever ends the first freeze does not end the second one");
    bench.wait(7);
    journal.set_unfrozen(&second, Side::Target, journal.now()).await.unwrap();
    let freeze = journal.freeze_state().await.unwrap().unwrap();
    let lengths: Vec<_> = freeze.periods().iter().map(|period| period.length(journal.now()).as_secs()).collect();
    assert_eq!(lengths, [40, 7]);
    assert_eq!(bench.raw("freeze").await["state"], AttributeValue::S("unfrozen".into()));
}

#[tokio::test]
async fn a_freeze_that_reached_nobody_holds_nobody_and_another_can_be_asked_for() {
    let Some(bench) = Bench::empty().await else { return };
    let journal = &bench.journal;
    let first = journal.ask_freeze(journal.now(), FreezeHow::Webhook, "webhook").await.unwrap().freeze;
    assert!(first.may_hold_producers(), "some may have stopped");
    bench.wait(1);
    journal.set_not_reached(journal.now()).await.unwrap();
    assert_eq!(journal.freeze_state().await.unwrap(), Some(first.clone()), "that is another call");
    journal.set_not_reached(first.current().asked_at).await.unwrap();
    let unheard = journal.freeze_state().await.unwrap().unwrap();
    assert_eq!((unheard.state(), unheard.may_hold_producers()), (FreezeState::NotReached, false));
    assert_eq!(
        journal.set_unfrozen(&unheard, Side::Source, journal.now()).await.unwrap().as_ref(),
        Some(&unheard),
        "there is nobody to let go"
    );
    let frozen = journal.set_frozen(journal.now(), FreezeHow::Operator, "ada").await.unwrap();
    assert_eq!((frozen.periods().len(), frozen.state()), (2, FreezeState::Frozen), "an operator stopped them by hand");
    journal.set_not_reached(frozen.current().asked_at).await.unwrap();
    assert_eq!(journal.freeze_state().await.unwrap(), Some(frozen), "what is confirmed stays so");
}

#[tokio::test]
async fn a_freeze_of_an_earlier_version_is_read_and_goes_on() {
    let Some(bench) = Bench::empty().await else { return };
    let journal = &bench.journal;
    // As version 0.1.0 stored it.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let period = [
        ("frozen_at", text("2026-04-25T06:15:00.000000Z")),
        ("how", text("webhook")),
        ("by", text("webhook")),
        ("unfrozen_at", AttributeValue::Null(true)),
        ("towards", AttributeValue::Null(true)),
    ];
    let period = period.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let request = bench.client.put_item().table_name(journal.table());
    let request = request.item("pk", text(&format!("run#{}", journal.run()))).item("sk", text("freeze"));
    let request = request.item("edition", AttributeValue::N("1".to_owned())).item("state", text("frozen"));
    request.item("periods", AttributeValue::L(vec![AttributeValue::M(period)])).send().await.unwrap();
    let freeze = journal.freeze_state().await.unwrap().unwrap();
    assert_eq!(freeze.frozen_since(), "2026-04-25T06:15:00Z".parse().ok());
    assert_eq!(freeze.length(journal.now()).as_secs(), 7);
    journal.set_unfrozen(&freeze, Side::Source, journal.now()).await.unwrap();
    assert!(!journal.freeze_state().await.unwrap().unwrap().may_hold_producers());
}

#[tokio::test]
async fn calls_of_webhooks_are_remembered_in_their_order() {
    let Some(bench) = Bench::empty().await else { return };
    let journal = &bench.journal;
    assert!(journal.webhook_calls().await.unwrap().calls.is_empty());
    let call = |action: &str, status| WebhookCall {
        at: journal.now(),
        action: action.to_owned(),
        outcome: "HTTP 302 to https://login.example.com".to_owned(),
        status,
        ms: 7,
    };
    let calls = [call("freeze", Some(302)), call("unfreeze", None)];
    for call in &calls {
        journal.add_webhook_call(call).await.unwrap();
    }
    let found = journal.webhook_calls().await.unwrap();
    assert_eq!((found.calls, found.dropped), (calls.to_vec(), 0));
}

#[tokio::test]
async fn an_aborted_cutover_and_the_point_of_no_return_exclude_each_other() {
    let Some(bench) = Bench::in_phase(Phase::Cutover).await else { return };
    let journal = &bench.journal;
    let (lease, _) = journal.claim_cutover().await.unwrap();
    // The mark comes in between: what was to be aborted goes forward.
    let late = bench.with_interruption(move |journal| async move {
        journal.mark_committed(&lease, "cutover/plans/1.json").await.unwrap();
    });
    assert_eq!(late.abort_cutover("too late").await.unwrap(), Transition::Already(Phase::Cutover));
    assert!(journal.meta().await.unwrap().committed);

    let Some(bench) = Bench::in_phase(Phase::Cutover).await else { return };
    let journal = &bench.journal;
    let (lease, _) = journal.claim_cutover().await.unwrap();
    assert_eq!(journal.abort_cutover("given up").await.unwrap().phase(), Phase::Failed);
    assert_eq!(journal.abort_cutover("again").await.unwrap(), Transition::Already(Phase::Failed));
    let error = journal.mark_committed(&lease, "cutover/plans/1.json").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Blocked);
    assert_eq!(journal.meta().await.unwrap().failed_in, Some(Phase::Cutover));
}
