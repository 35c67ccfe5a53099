use journal::{FreezeState, GateName, GateState, Side};
use migration::Phase;
use serde_json::json;

use super::bench::Bench;
use super::hook::{Hook, closed};

#[tokio::test]
async fn a_webhook_that_switched_the_clients_decides_the_gate() {
    let hook = Hook::answering(&["200 OK"]).await;
    let cutover = json!({"client_switch_webhook": hook.url, "producer_freeze_webhook": hook.url});
    let Some(bench) = Bench::new(Phase::AwaitingClientSwitch, cutover).await else { return };
    bench.freeze().await;
    assert_eq!(bench.open(GateName::ClientSwitch).await.unwrap(), json!({"switched": "by webhook"}));
    let call = hook.calls()[0].json();
    assert_eq!((&call["action"], &call["bootstrap_servers"]), (&json!("switch"), &json!("new:9092")));
    let gate = bench.gate(GateName::ClientSwitch).await;
    assert_eq!((gate.state, gate.decided_by.as_deref()), (GateState::Sent, Some("webhook")));
    bench.invoke("switched", json!({})).await.unwrap();
    assert_eq!((bench.phase().await, bench.towards().await), (Phase::Validating, Some(Side::Target)));
    assert_eq!(bench.reason().await, "the webhook confirmed the client cutover");
    let asked: Vec<_> = hook.calls().iter().map(|call| call.json()["asked_at"].as_str().unwrap().to_owned()).collect();
    assert!(asked[0] < asked[1], "a webhook refuses what seems older than what it did last: {asked:?}");
}

#[tokio::test]
async fn whatever_becomes_of_the_call_the_gate_is_open_for_the_operator() {
    let dead = closed().await;
    for (url, outcome) in [
        (Hook::answering(&["500 Broken"]).await.url, "HTTP 500"),
        (
            Hook::answering(&["302 Found\r\nLocation: https://login.example.com/x"]).await.url,
            "a redirect to https://login.example.com",
        ),
        (dead, "refused the connection"),
    ] {
        let Some(bench) = Bench::new(Phase::AwaitingClientSwitch, json!({"client_switch_webhook": url})).await else {
            return;
        };
        let answer = bench.open(GateName::ClientSwitch).await.unwrap();
        assert_eq!(answer["switched"], "by operator");
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
        assert_eq!(bench.gate(GateName::ClientSwitch).await.state, GateState::Open);
        let outcomes = bench.outcomes().await;
        assert!(outcomes.iter().all(|(action, said)| action == "switch" && said.contains(outcome)), "{outcomes:?}");
        bench.decide(GateName::ClientSwitch, "approve", "by hand").await.unwrap();
        bench.invoke("switched", json!({})).await.unwrap();
        assert_eq!(
            (bench.phase().await, bench.reason().await.as_str()),
            (Phase::Validating, "operator confirmed client cutover")
        );
    }
}

#[tokio::test]
async fn a_secret_that_is_gone_does_not_keep_the_gate_from_opening() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:none-AbCdEf";
    let cutover = json!({"client_switch_webhook": closed().await, "webhook_secret_arn": arn});
    let Some(bench) = Bench::new(Phase::AwaitingClientSwitch, cutover).await else { return };
    assert_eq!(bench.open(GateName::ClientSwitch).await.unwrap()["switched"], "by operator");
    assert_eq!(bench.gate(GateName::ClientSwitch).await.state, GateState::Open);
    let outcomes = bench.outcomes().await;
    assert!(outcomes[0].1.contains(arn), "why is on record: {outcomes:?}");
}

#[tokio::test]
async fn a_gate_that_opens_again_repeats_the_call() {
    let hook = Hook::answering(&["202 Accepted", "200 OK"]).await;
    let Some(bench) = Bench::new(Phase::AwaitingClientSwitch, json!({"client_switch_webhook": hook.url})).await else {
        return;
    };
    bench.open(GateName::ClientSwitch).await.unwrap();
    assert_eq!(bench.gate(GateName::ClientSwitch).await.state, GateState::Open);
    bench.open(GateName::ClientSwitch).await.unwrap();
    assert_eq!(bench.gate(GateName::ClientSwitch).await.state, GateState::Sent);
    let calls = hook.calls();
    assert_eq!(calls[0].json(), calls[1].json(), "the same call, which an acknowledgement names");
}

#[tokio::test]
async fn producers_that_cannot_be_let_go_towards_the_target_stay_frozen_and_that_is_said() {
    let Some(bench) = Bench::new(Phase::AwaitingClientSwitch, json!({"producer_freeze_webhook": closed().await})).await
    else {
        return;
    };
    bench.freeze().await;
    let error = bench.invoke("switched", json!({})).await.unwrap_err();
    assert!(error.message.starts_with("clients are switched, but producers are still FROZEN"), "{error}");
    assert_eq!(
        (bench.phase().await, bench.freezes().await.state()),
        (Phase::AwaitingClientSwitch, FreezeState::Frozen)
    );
}
