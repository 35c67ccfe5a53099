use std::time::Duration;

use journal::{FreezeHow, FreezeState, GateName, GateState, Side, Token};
use migration::{ErrorKind, Phase};
use runtime::Budget;
use serde_json::json;
use tokio::net::TcpListener;

use super::bench::Bench;
use super::hook::{Hook, closed};

#[tokio::test]
async fn a_webhook_that_froze_the_producers_decides_the_gate() {
    let hook = Hook::answering(&["200 OK"]).await;
    let Some(bench) = Bench::new(Phase::DrainReady, json!({"producer_freeze_webhook": hook.url})).await else { return };
    let answer = bench.open(GateName::Freeze).await.unwrap();
    assert_eq!(answer, json!({"frozen": "by webhook", "answer": "done"}));
    let freeze = bench.freezes().await;
    let call = hook.calls()[0].json();
    let asked_at = journal::timestamp(freeze.current().asked_at);
    assert_eq!(call, json!({"action": "freeze", "migration_id": "m1", "asked_at": asked_at}));
    assert_eq!((freeze.state(), freeze.current().by.as_str()), (FreezeState::Frozen, "webhook"));
    assert!(freeze.frozen_since().unwrap() > freeze.current().asked_at);
    let gate = bench.gate(GateName::Freeze).await;
    assert_eq!((gate.state, gate.decided_by.as_deref()), (GateState::Sent, Some("webhook")));
    assert_eq!(bench.outcomes().await, [("freeze".to_owned(), "HTTP 200: done".to_owned())]);
    // The state machine opens the gate again when it did not hear of that: nobody is asked twice.
    assert_eq!(bench.open(GateName::Freeze).await.unwrap(), json!({"frozen": "confirmed before"}));
    let again = bench.gate(GateName::Freeze).await;
    assert_eq!((again.attempt, again.state, again.decided_by.as_deref()), (2, GateState::Sent, Some("webhook")));
    assert_eq!((hook.calls().len(), bench.freezes().await), (1, freeze));
}

#[tokio::test]
async fn a_webhook_that_promises_to_acknowledge_leaves_the_gate_open() {
    let hook = Hook::answering(&["202 Accepted"]).await;
    let Some(bench) = Bench::new(Phase::DrainReady, json!({"producer_freeze_webhook": hook.url})).await else { return };
    bench.open(GateName::Freeze).await.unwrap();
    assert_eq!(
        (bench.gate(GateName::Freeze).await.state, bench.freezes().await.state()),
        (GateState::Open, FreezeState::Asked)
    );
    bench.decide(GateName::Freeze, "approve", "seen it").await.unwrap();
    assert_eq!(bench.freezes().await.state(), FreezeState::Frozen);
}

#[tokio::test]
async fn a_promise_that_was_not_kept_is_said() {
    let hook = Hook::answering(&["202 Accepted", "200 OK"]).await;
    let Some(bench) = Bench::new(Phase::DrainReady, json!({"producer_freeze_webhook": hook.url})).await else { return };
    bench.open(GateName::Freeze).await.unwrap();
    bench.invoke("fail", json!({"cause": {"Error": "States.Timeout", "Cause": ""}})).await.unwrap();
    let reason = bench.reason().await;
    assert!(reason.starts_with("Deadline: nobody confirmed within cutover.freeze_reaction_timeout of 10m"), "{reason}");
    assert!(reason.ends_with("promised (HTTP 202) to acknowledge later, and did not"), "{reason}");
    assert_eq!(hook.actions(), ["freeze", "unfreeze"], "it may have frozen some");
}

#[tokio::test]
async fn a_redirect_freezes_nobody_and_what_may_have_begun_is_taken_back() {
    let login = Hook::answering(&["200 OK"]).await;
    let hook = Hook::answering(&[&format!("302 Found\r\nLocation: {}", login.url), "200 OK"]).await;
    let Some(bench) = Bench::new(Phase::DrainReady, json!({"producer_freeze_webhook": hook.url})).await else { return };
    let error = bench.open(GateName::Freeze).await.unwrap_err();
    assert!(error.kind == ErrorKind::Blocked && error.message.contains("redirects are not followed"), "{error}");
    assert!(!error.message.contains("hunter2"), "{error}");
    assert!(login.calls().is_empty());
    assert_eq!(bench.freezes().await.state(), FreezeState::Asked);
    let cause = json!({"Error": "Blocked", "Cause": json!({"errorMessage": error.message}).to_string()});
    bench.invoke("fail", json!({"cause": cause})).await.unwrap();
    assert_eq!(
        (hook.actions().last().map(String::as_str), bench.towards().await),
        (Some("unfreeze"), Some(Side::Source))
    );
}

#[tokio::test]
async fn a_webhook_that_was_not_reached_asked_nobody() {
    let url = closed().await;
    // Long enough for one more try, beside builds as well.
    let cutover = json!({"producer_freeze_webhook": url, "freeze_reaction_timeout": "20s"});
    let Some(bench) = Bench::new(Phase::DrainReady, cutover).await else { return };
    let error = bench.open(GateName::Freeze).await.unwrap_err();
    assert!(error.kind == ErrorKind::Blocked && error.message.contains("refused the connection"), "{error}");
    assert!(error.message.ends_with("nobody was asked to stop"), "{error}");
    let freeze = bench.freezes().await;
    assert_eq!((freeze.state(), freeze.may_hold_producers()), (FreezeState::NotReached, false));
    let outcomes = bench.outcomes().await;
    assert!(outcomes.len() > 1 && outcomes.iter().all(|(_, outcome)| outcome.contains("refused")), "{outcomes:?}");
    // And so nobody has to be let go.
    bench.invoke("fail", json!({"cause": {"Error": "Blocked", "Cause": error.message}})).await.unwrap();
    assert_eq!((bench.phase().await, bench.outcomes().await.len()), (Phase::Failed, outcomes.len()));
}

#[tokio::test]
async fn a_freeze_that_did_not_get_there_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let cutover = json!({"producer_freeze_webhook": format!("http://{address}/")});
    let Some(bench) = Bench::new(Phase::DrainReady, cutover).await else { return };
    let come_up = async {
        while bench.outcomes().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Hook::at(TcpListener::bind(address).await.unwrap(), &["200 OK"])
    };
    let (opened, hook) = tokio::join!(bench.open(GateName::Freeze), come_up);
    opened.unwrap();
    assert_eq!(bench.freezes().await.state(), FreezeState::Frozen);
    let outcomes = bench.outcomes().await;
    assert!(outcomes[0].1.contains("refused") && outcomes.last().unwrap().1 == "HTTP 200: done", "{outcomes:?}");
    assert_eq!(hook.calls().len(), 1);
}

#[tokio::test]
async fn a_second_opening_repeats_the_call_and_does_not_say_that_nobody_heard_the_first() {
    let hook = Hook::answering(&["202 Accepted"]).await;
    let cutover = |url: &str| json!({"producer_freeze_webhook": url, "freeze_reaction_timeout": "20s"});
    let Some(bench) = Bench::new(Phase::DrainReady, cutover(&hook.url)).await else { return };
    bench.open(GateName::Freeze).await.unwrap();
    let first = bench.freezes().await;
    bench.open(GateName::Freeze).await.unwrap();
    let calls = hook.calls();
    assert_eq!(calls[0].json()["asked_at"], calls[1].json()["asked_at"], "a repeat of the same call");
    bench.reconfigure(cutover(&closed().await)).await;
    bench.open(GateName::Freeze).await.unwrap_err();
    assert_eq!(bench.freezes().await, first, "the first call may have stopped some");
}

#[tokio::test]
async fn a_gate_that_opens_again_when_the_time_is_over_asks_nobody() {
    for webhook in [true, false] {
        let hook = Hook::answering(&["202 Accepted"]).await;
        let url = webhook.then_some(&hook.url);
        let cutover = json!({"producer_freeze_webhook": url, "freeze_reaction_timeout": "1m"});
        let Some(bench) = Bench::new(Phase::Cutover, cutover).await else { return };
        let long_ago = bench.journal.now() - chrono::TimeDelta::minutes(2);
        bench.journal.ask_freeze(long_ago, FreezeHow::Webhook, "webhook").await.unwrap();
        let error = bench.open(GateName::Freeze).await.unwrap_err();
        assert!(
            error.kind == ErrorKind::Deadline && error.message.contains("freeze_reaction_timeout of 1m"),
            "{error}"
        );
        assert_eq!((hook.calls().len(), bench.freezes().await.state()), (0, FreezeState::Asked));
    }
}

#[tokio::test]
async fn a_freeze_that_an_operator_rejects_while_the_webhook_is_at_it_is_taken_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let Some(bench) = Bench::new(Phase::DrainReady, json!({"producer_freeze_webhook": url})).await else { return };
    let reject = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        super::hook::read(&mut socket).await;
        let hook = Hook::at(listener, &["200 OK"]);
        bench.decide(GateName::Freeze, "reject", "enough").await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut socket, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        hook
    };
    let (_, hook) = tokio::join!(bench.open(GateName::Freeze), reject);
    assert_eq!((hook.actions(), bench.towards().await), (vec!["unfreeze".to_owned()], Some(Side::Source)));
    assert_eq!(bench.freezes().await.current().frozen_at, None);
}

#[tokio::test]
async fn an_invocation_ends_before_its_time_is_up() {
    let hook = super::hook::once(|socket| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(socket);
    });
    let cutover = json!({"producer_freeze_webhook": hook.await, "freeze_reaction_timeout": "1h"});
    let Some(bench) = Bench::new(Phase::DrainReady, cutover).await else { return };
    let fields = json!({"gate": "freeze", "token": "token"});
    let error = bench.invoke_within("open", fields, Budget::lasting(Duration::from_secs(10))).await.unwrap_err();
    assert!(error.kind == ErrorKind::Deadline && error.message.contains("answer 202 at once"), "{error}");
}

#[tokio::test]
async fn producers_that_were_frozen_for_a_cutover_that_was_given_up_meanwhile_are_let_go() {
    // It answers the freeze when it is told to.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let Some(bench) = Bench::new(Phase::DrainReady, json!({"producer_freeze_webhook": url})).await else { return };
    let give_up = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        super::hook::read(&mut socket).await;
        let hook = Hook::at(listener, &["200 OK"]);
        bench.invoke("give_up", json!({"by": "ada", "reason": "enough"})).await.unwrap();
        assert_eq!(hook.actions(), ["unfreeze"]);
        tokio::io::AsyncWriteExt::write_all(&mut socket, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        hook
    };
    let (opened, hook) = tokio::join!(bench.open(GateName::Freeze), give_up);
    assert_eq!(opened.unwrap_err().kind, ErrorKind::Blocked);
    assert_eq!(hook.actions(), ["unfreeze", "unfreeze"], "the first may have come before the freeze took hold");
    let freeze = bench.freezes().await;
    assert_eq!(freeze.state(), FreezeState::Unfrozen { towards: Side::Source });
    assert_eq!((freeze.current().frozen_at, bench.phase().await), (None, Phase::Failed), "it never counted as frozen");
}

#[tokio::test]
async fn a_late_answer_confirms_the_freeze_that_it_is_about_and_no_later_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let Some(bench) = Bench::new(Phase::DrainReady, json!({"producer_freeze_webhook": url})).await else { return };
    let another = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        super::hook::read(&mut socket).await;
        let hook = Hook::at(listener, &["200 OK"]);
        bench.invoke("give_up", json!({"by": "ada", "reason": "enough"})).await.unwrap();
        let journal = &bench.journal;
        journal.resume_from_failed().await.unwrap();
        for phase in [Phase::DrainReady, Phase::Cutover] {
            journal.transition(phase, "").await.unwrap();
        }
        journal.open(GateName::Freeze, &Token::new("second"), None).await.unwrap();
        journal.ask_freeze(journal.now(), FreezeHow::Operator, "operator").await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut socket, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        hook
    };
    let (opened, hook) = tokio::join!(bench.open(GateName::Freeze), another);
    let error = opened.unwrap_err();
    assert!(error.kind == ErrorKind::Blocked && error.message.contains("was given up"), "{error}");
    assert_eq!(bench.freezes().await.state(), FreezeState::Asked, "nobody has confirmed the second one");
    assert_eq!(bench.journal.gate(GateName::Freeze).await.unwrap().unwrap().state, GateState::Open);
    assert_eq!(hook.actions(), ["unfreeze"], "and nobody has ended it");
}

#[tokio::test]
async fn a_missing_secret_keeps_producers_from_being_asked() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:none-AbCdEf";
    let hook = Hook::answering(&["200 OK"]).await;
    let cutover = json!({"producer_freeze_webhook": hook.url, "webhook_secret_arn": arn});
    let Some(bench) = Bench::new(Phase::DrainReady, cutover).await else { return };
    let error = bench.open(GateName::Freeze).await.unwrap_err();
    assert!(error.kind == ErrorKind::Blocked && error.message.contains(arn), "{error}");
    assert_eq!((bench.phase().await, hook.calls().len()), (Phase::DrainReady, 0));
    assert_eq!(bench.journal.freeze_state().await.unwrap(), None);
}
