use std::sync::Arc;

use journal::timestamp;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::signature::tests::by_the_book;
use crate::tests::hook::{self, Hook};

const LONG: Duration = Duration::from_secs(30);
const KEY: &[u8] = b"0123456789abcdef";

fn webhook(url: &str) -> Webhook {
    Webhook { name: WebhookName::Freeze, url: url.to_owned(), key: None, client: client().unwrap() }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_234_723, 500_000_000).unwrap()
}

async fn call(webhook: &Webhook, limit: Duration) -> (Result<u16, Fault>, WebhookCall) {
    let (outcome, call) = webhook.call(now(), &json!({"action": "freeze", "migration_id": "m1"}), limit).await;
    let told = format!("{outcome:?} {call:?} {webhook:?}");
    let error = outcome.as_ref().err().map(|fault| fault.clone().into_error("w", "freeze").message).unwrap_or_default();
    assert!(!told.contains("hunter2") && !error.contains("hunter2"), "its URL carries credentials: {told} {error}");
    (outcome, call)
}

async fn fault(url: &str) -> Fault {
    call(&webhook(url), LONG).await.0.unwrap_err()
}

#[tokio::test]
async fn an_answer_is_done_later_or_a_refusal() {
    let hook =
        Hook::answering(&["200 OK", "204 No Content", "202 Accepted", "409 Conflict\r\n\r\n  over\n taken "]).await;
    let webhook = webhook(&hook.url);
    for (status, told) in
        [(200, "HTTP 200: done"), (204, "HTTP 204: done"), (202, "HTTP 202: will be acknowledged later")]
    {
        let (outcome, call) = call(&webhook, LONG).await;
        assert_eq!((outcome, call.status, call.outcome.as_str()), (Ok(status), Some(status), told));
        assert_eq!((call.action.as_str(), timestamp(call.at).as_str()), ("freeze", "2026-11-21T04:18:43.500000Z"));
    }
    let (outcome, call) = call(&webhook, LONG).await;
    assert_eq!(outcome, Err(Fault::Answer { status: 409, text: "over taken".to_owned() }));
    assert_eq!((call.status, call.outcome.as_str()), (Some(409), "HTTP 409: over taken"));
    let sent = &hook.calls()[0];
    assert!(sent.head.starts_with("post /hook?token=hunter2 "), "{}", sent.head);
    assert_eq!(sent.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(sent.header(SIGNATURE), None, "there is no key");
}

#[tokio::test]
async fn a_refusal_without_end_is_cut() {
    let url = hook::once(|mut socket| async move {
        socket.write_all(b"HTTP/1.1 500 Broken\r\n\r\n").await.unwrap();
        // Until nobody reads any more.
        while socket.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let Fault::Answer { status, text } = fault(&url.await).await else { panic!("it answered") };
    assert_eq!((status, text.len()), (500, TOLD));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let login = Hook::answering(&["200 OK"]).await;
    let place = login.url.strip_suffix("/hook?token=hunter2").unwrap().to_owned();
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let hook = Hook::answering(&[&format!("{status}\r\nLocation: {}", login.url)]).await;
        let fault = fault(&hook.url).await;
        let Fault::Redirect { to: Some(to), .. } = &fault else { panic!("{fault:?}") };
        assert_eq!(to.to_string(), place, "scheme and host only");
        let error = fault.into_error("producer freeze webhook", "freeze");
        assert!(error.message.contains(&place) && error.message.contains("redirects are not followed"), "{error}");
    }
    assert!(login.calls().is_empty());
    let hook = Hook::answering(&["302 Found\r\nLocation: /login?token=hunter2"]).await;
    assert_eq!(fault(&hook.url).await, Fault::Redirect { status: 302, to: None });
}

#[tokio::test]
async fn what_keeps_a_call_from_getting_there_is_told_apart() {
    let closed = hook::closed().await;
    let refused = fault(&closed).await;
    assert!(matches!(refused, Fault::Refused { .. }) && !refused.may_have_reached(), "{refused:?}");
    let nowhere = fault("http://nowhere.invalid/hook?token=hunter2").await;
    assert!(matches!(nowhere, Fault::Name { .. }) && nowhere.to_string().contains("nowhere.invalid"), "{nowhere:?}");
    assert_eq!(fault("http://").await, Fault::NoUrl);
}

#[tokio::test]
async fn a_call_that_was_heard_and_not_answered_may_have_reached() {
    let silent = hook::once(|socket| async move {
        tokio::time::sleep(LONG).await;
        drop(socket);
    });
    let (outcome, _) = call(&webhook(&silent.await), Duration::from_millis(300)).await;
    let fault = outcome.unwrap_err();
    assert!(matches!(fault, Fault::Silent { .. }) && fault.may_have_reached(), "{fault:?}");
    let hangs_up = hook::once(|socket| async move { drop(socket) });
    let (outcome, _) = call(&webhook(&hangs_up.await), LONG).await;
    let fault = outcome.unwrap_err();
    assert!(matches!(fault, Fault::Lost { .. }) && fault.may_have_reached(), "{fault:?}");
}

#[tokio::test]
async fn a_connection_that_does_not_stand_in_time_reached_nobody() {
    // It takes connections and says nothing, so that TLS is never agreed on.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hook?token=hunter2", listener.local_addr().unwrap());
    let client = builder().connect_timeout(Duration::from_millis(200)).build().unwrap();
    let (outcome, _) = call(&Webhook { client, ..webhook(&url) }, LONG).await;
    let fault = outcome.unwrap_err();
    assert!(matches!(fault, Fault::Unreachable { .. }) && !fault.may_have_reached(), "{fault:?}");
    drop(listener);
}

/// A webhook behind TLS with a certificate of its own for `name`; with that certificate in PEM.
async fn behind_tls(name: &str) -> (String, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hook?token=hunter2", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            // Whoever does not trust the certificate hangs up.
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            hook::read(&mut socket).await;
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
            socket.shutdown().await.unwrap();
        }
    });
    (url, cert.pem())
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_named_and_reached_nobody() {
    let (url, pem) = behind_tls("localhost").await;
    let unknown = fault(&url).await;
    assert!(matches!(unknown, Fault::Tls { .. }) && !unknown.may_have_reached() && !unknown.may_pass(), "{unknown:?}");
    let error = unknown.into_error("producer freeze webhook", "freeze");
    assert!(error.message.contains("certificate") && error.message.contains("https://localhost:"), "{error}");
    let trusting = |pem: &str| {
        let authority = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        builder().tls_certs_only([authority]).build().unwrap()
    };
    let trusted = Webhook { client: trusting(&pem), ..webhook(&url) };
    assert_eq!(call(&trusted, LONG).await.0, Ok(200));
    let (url, pem) = behind_tls("another.example").await;
    let (outcome, _) = call(&Webhook { client: trusting(&pem), ..webhook(&url) }, LONG).await;
    assert!(matches!(outcome, Err(Fault::Tls { .. })), "another host's certificate: {outcome:?}");
}

#[tokio::test]
async fn plain_http_where_tls_was_expected_is_a_fault_of_tls() {
    let hook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hook?token=hunter2", hook.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = hook.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
    });
    let fault = fault(&url).await;
    assert!(matches!(fault, Fault::Tls { .. }), "{fault:?}");
}

#[tokio::test]
async fn every_call_is_signed_when_there_is_a_key() {
    let hook = Hook::answering(&["200 OK"]).await;
    let webhook = Webhook { key: Some(SigningKey::new(KEY)), ..webhook(&hook.url) };
    assert_eq!(call(&webhook, LONG).await.0, Ok(200));
    let sent = &hook.calls()[0];
    assert_eq!(sent.header(TIMESTAMP).as_deref(), Some("1795234723"));
    let expected = format!("v1={}", by_the_book(KEY, format!("1795234723.{}", sent.body).as_bytes()));
    assert_eq!(sent.header(SIGNATURE), Some(expected));
}
