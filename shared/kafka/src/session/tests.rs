use std::collections::VecDeque;

use aws_credential_types::Credentials;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, decode_request_header_from_buffer};

use super::*;

/// A broker that answers with what it was given, one by one.
#[derive(Default)]
struct Script {
    answers: VecDeque<Bytes>,
    asked: Vec<(ApiKey, Bytes)>,
}

impl Script {
    fn then<R: Encodable + HeaderVersion>(mut self, version: i16, answer: &R) -> Self {
        let mut frame = bytes::BytesMut::new();
        let header = kafka_protocol::messages::ResponseHeader::default();
        header.encode(&mut frame, R::header_version(version)).unwrap();
        answer.encode(&mut frame, version).unwrap();
        self.answers.push_back(frame.freeze());
        self
    }

    fn handshake(code: i16, offered: &[&'static str]) -> Self {
        let offered = offered.iter().map(|name| StrBytes::from_static_str(name)).collect();
        Self::default().then(1, &SaslHandshakeResponse::default().with_error_code(code).with_mechanisms(offered))
    }

    fn answers(self, message: &'static [u8], lifetime: i64) -> Self {
        let answer = SaslAuthenticateResponse::default().with_auth_bytes(Bytes::from_static(message));
        self.then(2, &answer.with_session_lifetime_ms(lifetime))
    }

    fn refuses(self, message: &'static str) -> Self {
        let answer = SaslAuthenticateResponse::default().with_error_code(Code::SaslAuthenticationFailed.code());
        self.then(2, &answer.with_error_message(Some(StrBytes::from_static_str(message))))
    }

    /// What the client said in its SaslAuthenticate requests.
    fn said(&self) -> Vec<Bytes> {
        let authenticate = self.asked.iter().filter(|(api, _)| *api == ApiKey::SaslAuthenticate);
        authenticate
            .map(|(_, body)| SaslAuthenticateRequest::decode(&mut body.clone(), 2).unwrap().auth_bytes)
            .collect()
    }
}

impl Exchange for Script {
    async fn exchange(&mut self, correlation: i32, frame: Vec<Bytes>) -> Result<Bytes> {
        let mut body = Bytes::from(frame.concat()).slice(4..);
        let header = decode_request_header_from_buffer(&mut body).unwrap();
        assert_eq!(header.correlation_id, correlation);
        assert!(correlation < 0, "other requests count upwards");
        self.asked.push((ApiKey::try_from(header.request_api_key).unwrap(), body));
        self.answers.pop_front().ok_or_else(|| Error::Closed { broker: "b:1".into() })
    }
}

fn scram() -> Session {
    Session::new("b:1".into(), Sasl::ScramSha512 { username: "alice".into(), password: "hunter2".to_owned().into() })
}

fn iam() -> Session {
    let credentials = Credentials::new("AKIDEXAMPLE", "hunter2", None, None, "test");
    Session::new("b:1".into(), Sasl::MskIam(MskIam::new("us-east-1", credentials)))
}

#[tokio::test]
async fn a_listener_with_other_mechanisms_is_described() {
    let mut script = Script::handshake(Code::UnsupportedSaslMechanism.code(), &["OAUTHBEARER", "PLAIN"]);
    let error = scram().renew_if_due(&mut script).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("b:1 refuses SCRAM-SHA-512: this listener offers OAUTHBEARER, PLAIN instead"), "{text}");
    assert_eq!(error.kind(), migration::ErrorKind::Blocked);
    let mut script = Script::handshake(Code::IllegalSaslState.code(), &[]);
    let error = scram().renew_if_due(&mut script).await.unwrap_err();
    assert!(error.to_string().contains("does not ask who the client is"), "{error}");
}

#[tokio::test]
async fn a_refused_password_names_the_user_and_not_the_password() {
    let mut script = Script::handshake(0, &[]).refuses("Authentication failed during authentication");
    let error = scram().renew_if_due(&mut script).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Authentication failed during") && text.contains("\"alice\""), "{text}");
    assert!(!text.contains("hunter2") && !error.is_retryable(), "{text}");
}

#[tokio::test]
async fn a_limit_of_connections_is_waited_for() {
    let mut script = Script::handshake(0, &[]).refuses("[a1b2]: Too many connects");
    let error = iam().renew_if_due(&mut script).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("Too many connects"), "{error}");
}

#[tokio::test]
async fn a_refused_token_is_acknowledged_and_its_reason_told() {
    let mut script = Script::handshake(0, &[]).answers(b"{\"status\":\"expired\"}", 0).refuses("no");
    let error = iam().renew_if_due(&mut script).await.unwrap_err();
    assert!(error.to_string().contains("{\"status\":\"expired\"}; check that the role"), "{error}");
    assert_eq!(script.said()[1], "\x01");
}

#[tokio::test(start_paused = true)]
async fn a_limited_session_is_renewed_in_time_and_an_unlimited_one_never() {
    let mut session = iam();
    let mut script = Script::handshake(0, &[]).answers(b"", 40_000);
    session.renew_if_due(&mut script).await.unwrap();
    assert!(script.said()[0].starts_with(b"n,,\x01auth=Bearer "), "{:?}", script.said()[0]);
    tokio::time::advance(Duration::from_secs(29)).await;
    session.renew_if_due(&mut script).await.unwrap();
    assert_eq!(script.asked.len(), 2);

    tokio::time::advance(Duration::from_secs(2)).await;
    let mut script = Script::handshake(0, &[]).answers(b"", 0);
    session.renew_if_due(&mut script).await.unwrap();
    assert_eq!(script.asked.len(), 2);
    tokio::time::advance(Duration::from_secs(100_000)).await;
    session.renew_if_due(&mut script).await.unwrap();
    assert_eq!(script.asked.len(), 2);
}

#[test]
fn renewals_are_more_than_a_second_apart() {
    assert!(renewal(Duration::from_millis(100)) > Duration::from_secs(1));
    assert_eq!(renewal(Duration::from_secs(900)), Duration::from_secs(675));
}
