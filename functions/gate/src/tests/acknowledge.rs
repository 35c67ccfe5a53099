use chrono::Utc;
use journal::{FreezeState, GateName, GateState};
use migration::Phase;
use serde_json::{Value, json};

use super::bench::{Bench, KEY};
use super::hook::Hook;
use crate::handler::handle;
use crate::signature::tests::by_the_book;

/// A request of curl to the function's URL, as Lambda passes it on
/// (<https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>).
const PASSED_ON: &str = include_str!("acknowledge/function-url-request.json");

/// The event of a request with this body and these headers, in place of its own.
fn event(body: &str, timestamp: &str, signature: &str) -> Value {
    let mut event: Value = serde_json::from_str(PASSED_ON).unwrap();
    event["body"] = json!(body);
    event["headers"]["x-msk-kraft-timestamp"] = json!(timestamp);
    event["headers"]["x-msk-kraft-signature"] = json!(signature);
    event
}

/// The event of a request that is signed now.
fn signed(body: &str) -> Value {
    let timestamp = Utc::now().timestamp().to_string();
    let tag = by_the_book(KEY, format!("{timestamp}.{body}").as_bytes());
    event(body, &timestamp, &format!("v1={tag}"))
}

async fn send(bench: &Bench, event: Value) -> (u64, Value) {
    let answer =
        handle(&bench.host, event, runtime::Budget::lasting(std::time::Duration::from_secs(60))).await.unwrap();
    let body = answer["body"].as_str().unwrap();
    assert!(!body.contains("token-"), "no task token is seen: {body}");
    assert_eq!(answer["headers"]["content-type"], "application/json");
    (answer["statusCode"].as_u64().unwrap(), serde_json::from_str(body).unwrap())
}

/// A migration that waits for the webhook's acknowledgement of a freeze, and when that was asked for.
async fn waiting() -> Option<(Bench, Hook, String)> {
    let hook = Hook::answering(&["202 Accepted", "200 OK"]).await;
    let bench = Bench::new(Phase::DrainReady, json!({})).await?;
    let key = bench.key().await;
    bench.reconfigure(json!({"producer_freeze_webhook": hook.url, "webhook_secret_arn": key})).await;
    bench.open(GateName::Freeze).await.unwrap();
    let asked_at = hook.calls()[0].json()["asked_at"].as_str().unwrap().to_owned();
    Some((bench, hook, asked_at))
}

fn freeze_ack(verdict: &str, asked_at: &str) -> String {
    json!({"migration_id": "m1", "gate": "freeze", "verdict": verdict, "asked_at": asked_at, "reason": "3 of 3"})
        .to_string()
}

#[tokio::test]
async fn a_webhook_acknowledges_later_and_may_repeat_it() {
    let Some((bench, _, asked_at)) = waiting().await else { return };
    let body = freeze_ack("approve", &asked_at);
    let taken = (200, json!({"gate": "freeze", "verdict": "approve", "by": "webhook"}));
    assert_eq!(send(&bench, signed(&body)).await, taken);
    let gate = bench.gate(GateName::Freeze).await;
    assert_eq!((gate.state, gate.decision.unwrap().reason.as_str()), (GateState::Sent, "3 of 3"));
    let frozen = bench.freezes().await;
    assert_eq!((frozen.state(), frozen.current().by.as_str()), (FreezeState::Frozen, "webhook"));
    assert_eq!(send(&bench, signed(&body)).await, taken, "what stands");
    bench.commit().await;
    bench.journal.transition(Phase::AwaitingClientSwitch, "").await.unwrap();
    assert_eq!(send(&bench, signed(&body)).await, taken, "in a later phase, too");
    assert_eq!(bench.freezes().await, frozen);
    let (status, other) = send(&bench, signed(&freeze_ack("reject", &asked_at))).await;
    assert_eq!((status, &other["verdict"]), (409, &json!("approve")));
    let said: Vec<_> = bench.outcomes().await.into_iter().filter(|(action, _)| action == "acknowledge").collect();
    assert_eq!(said[0].1, "freeze: approve (3 of 3), taken");
    assert!(said[3].1.contains("answered HTTP 409"), "{said:?}");
}

#[tokio::test]
async fn a_webhook_that_could_not_freeze_everybody_says_so() {
    let Some((bench, _, asked_at)) = waiting().await else { return };
    assert_eq!(send(&bench, signed(&freeze_ack("reject", &asked_at))).await.0, 200);
    bench.invoke("fail", json!({"cause": {"Error": "Blocked", "Cause": "producers were not frozen"}})).await.unwrap();
    assert_eq!(bench.reason().await, "Blocked: producers were not frozen; rejected by webhook: 3 of 3");
    let (status, late) = send(&bench, signed(&freeze_ack("approve", &asked_at))).await;
    assert_eq!(status, 409, "{late}");
    assert!(!bench.freezes().await.may_hold_producers());
}

#[tokio::test]
async fn only_the_call_that_is_waited_for_is_acknowledged() {
    let Some((bench, hook, asked_at)) = waiting().await else { return };
    let earlier = "2020-01-01T00:00:00.000000Z";
    let (status, body) = send(&bench, signed(&freeze_ack("approve", earlier))).await;
    assert_eq!((status, body["error"].as_str().unwrap().contains("asked_at")), (409, true));
    let switch = json!({"migration_id": "m1", "gate": "client-switch", "verdict": "approve", "asked_at": asked_at});
    assert_eq!(send(&bench, signed(&switch.to_string())).await.0, 409, "nobody was asked to switch clients");
    // The cutover fails, and another one asks anew: the old acknowledgement is not one of the new call.
    bench.invoke("fail", json!({"cause": {"Error": "States.Timeout", "Cause": ""}})).await.unwrap();
    assert_eq!(send(&bench, signed(&freeze_ack("approve", &asked_at))).await.0, 409);
    bench.journal.resume_from_failed().await.unwrap();
    bench.journal.transition(Phase::DrainReady, "").await.unwrap();
    bench.open(GateName::Freeze).await.unwrap();
    assert_ne!(hook.calls().last().unwrap().json()["asked_at"], json!(asked_at));
    assert_eq!(send(&bench, signed(&freeze_ack("reject", &asked_at))).await.0, 409);
}

#[tokio::test]
async fn nothing_is_taken_without_a_good_signature() {
    let Some((bench, _, asked_at)) = waiting().await else { return };
    let body = freeze_ack("approve", &asked_at);
    let now = Utc::now().timestamp();
    let sign =
        |timestamp: i64, body: &str| format!("v1={}", by_the_book(KEY, format!("{timestamp}.{body}").as_bytes()));
    let good = sign(now, &body);
    for (body, timestamp, signature, why) in [
        (body.clone(), now.to_string(), String::new(), "no signature"),
        (body.clone(), String::new(), good.clone(), "no timestamp"),
        (body.clone(), now.to_string(), good.replace("v1=", "v0="), "another version"),
        (body.clone(), (now - 1).to_string(), good.clone(), "another time"),
        (body.replace("approve", "reject"), now.to_string(), good.clone(), "another body"),
        (body.clone(), (now - 301).to_string(), sign(now - 301, &body), "played back later"),
        (body.clone(), (now + 400).to_string(), sign(now + 400, &body), "from the future"),
        (
            body.clone(),
            now.to_string(),
            format!("v1={}", by_the_book(b"another key of 16", format!("{now}.{body}").as_bytes())),
            "another key",
        ),
    ] {
        let (status, answer) = send(&bench, event(&body, &timestamp, &signature)).await;
        assert_eq!(status, 401, "{why}: {answer}");
    }
    assert_eq!(bench.gate(GateName::Freeze).await.state, GateState::Open);
    let other = body.replace("m1", "m2");
    assert_eq!(send(&bench, signed(&other)).await.0, 403, "there is no such migration, which is not said");
    bench.reconfigure(json!({"producer_freeze_webhook": "http://localhost"})).await;
    let (status, answer) = send(&bench, signed(&body)).await;
    assert_eq!((status, answer["error"].as_str().unwrap().contains("webhook_secret_arn")), (403, true));
}

#[tokio::test]
async fn what_is_no_acknowledgement_is_refused_before_anything_is_looked_up() {
    let Some((bench, _, asked_at)) = waiting().await else { return };
    let good = freeze_ack("approve", &asked_at);
    let fields: Value = serde_json::from_str(&good).unwrap();
    let with = |name: &str, value: Value| {
        let mut fields = fields.clone();
        fields[name] = value;
        fields.to_string()
    };
    for body in [
        String::new(),
        "[]".to_owned(),
        good.replace('}', ""),
        with("gate", json!("finalize")),
        with("gate", json!("cutover")),
        with("verdict", json!("perhaps")),
        with("asked_at", json!("yesterday")),
        with("migration_id", json!("../m1")),
        with("token", json!("AQC8")),
        with("reason", json!("x".repeat(5_000))),
    ] {
        assert_eq!(send(&bench, signed(&body)).await.0, 400, "{body}");
    }
    let mut other = signed(&good);
    other["requestContext"]["http"]["method"] = json!("GET");
    assert_eq!(send(&bench, other).await.0, 400);
    let mut other = signed(&good);
    other["rawPath"] = json!("/decide");
    assert_eq!(send(&bench, other).await.0, 400);
    let mut other = signed(&good);
    other["isBase64Encoded"] = json!("perhaps");
    assert_eq!(send(&bench, other).await.0, 400, "no event of Lambda");
    // Whatever a client sends, it is no operation of the function.
    let mut other = signed(&json!({"op": "give_up", "migration_id": "m1", "by": "mallory"}).to_string());
    assert_eq!(send(&bench, other.clone()).await.0, 400);
    other["op"] = json!("give_up");
    assert_eq!(send(&bench, other).await.0, 400);
    assert_eq!(bench.gate(GateName::Freeze).await.state, GateState::Open);
}

#[tokio::test]
async fn a_body_in_base64_is_the_same_body() {
    use base64::Engine as _;
    let Some((bench, _, asked_at)) = waiting().await else { return };
    let body = freeze_ack("approve", &asked_at);
    let mut event = signed(&body);
    event["body"] = json!(base64::engine::general_purpose::STANDARD.encode(&body));
    event["isBase64Encoded"] = json!(true);
    assert_eq!(send(&bench, event.clone()).await.0, 200);
    event["body"] = json!("%%%");
    assert_eq!(send(&bench, event).await.0, 400);
}

#[tokio::test]
async fn a_client_switch_is_acknowledged_or_left_to_the_operator() {
    let hook = Hook::answering(&["202 Accepted"]).await;
    let Some(bench) = Bench::new(Phase::AwaitingClientSwitch, json!({})).await else { return };
    let key = bench.key().await;
    bench.reconfigure(json!({"client_switch_webhook": hook.url, "webhook_secret_arn": key})).await;
    bench.open(GateName::ClientSwitch).await.unwrap();
    let asked_at = hook.calls()[0].json()["asked_at"].clone();
    let ack = |verdict: &str, reason: &str| {
        let body = json!({
            "migration_id": "m1", "gate": "client-switch", "verdict": verdict, "asked_at": asked_at, "reason": reason,
        });
        signed(&body.to_string())
    };
    let (status, answer) = send(&bench, ack("reject", "2 pods do not start")).await;
    assert_eq!((status, &answer["left_to"]), (200, &json!("operator")));
    assert_eq!(bench.gate(GateName::ClientSwitch).await.state, GateState::Open, "nothing fails behind the mark");
    let last = bench.outcomes().await.pop().unwrap();
    assert_eq!(last.1, "client-switch: reject (2 pods do not start), taken");
    for _ in 0..2 {
        assert_eq!(send(&bench, ack("approve", "")).await.0, 200);
    }
    assert_eq!(bench.gate(GateName::ClientSwitch).await.decided_by.as_deref(), Some("webhook"));
}

/// What CONFIGURATION.md tells to type, run by a shell.
#[tokio::test]
async fn the_documented_example_is_accepted() {
    let Some((bench, _, asked_at)) = waiting().await else { return };
    let docs = include_str!("../../../../docs/CONFIGURATION.md");
    let script = docs.split("```sh\n# acknowledge\n").nth(1).and_then(|rest| rest.split("curl ").next()).unwrap();
    let shell = format!(
        "set -eu\ncommand -v openssl >/dev/null || exit 127\n{script}\nprintf '%s\\n%s\\n%s' \"$timestamp\" \"$signature\" \"$body\""
    );
    let ran = std::process::Command::new("sh")
        .args(["-c", &shell])
        .env("KEY", String::from_utf8(KEY.to_vec()).unwrap())
        .env("ASKED_AT", &asked_at)
        .env("ID", "m1")
        .output();
    let ran = ran.unwrap();
    if ran.status.code() == Some(127) {
        println!("skipped: there is no openssl");
        return;
    }
    let printed = String::from_utf8(ran.stdout).unwrap();
    let [timestamp, signature, body] = printed.splitn(3, '\n').collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(send(&bench, event(body, timestamp, signature)).await.0, 200, "{printed}");
}
