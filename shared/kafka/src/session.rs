//! Signing in over SASL, and doing it again before the session ends (KIP-43, KIP-152, KIP-368).
//!
//! A broker that limits sessions closes the connection at the first request after the limit. Signing in again is a
//! conversation like the first one, on the open connection and with nothing in between: so it is the writer of requests
//! that does it, in front of a request that finds the session due. Nobody's timeout can cut it in half, requests before
//! it are answered first, and those behind it wait. Nothing is sent for a connection that nobody uses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use crate::api::Call;
use crate::auth::{Sasl, Scram, ScramError, Secret, TokenError};
use crate::codec::{decode, encode};
use crate::error::{Error, Result};
use crate::{Code, auth::MskIam};

/// Sends one frame and waits for its answer, with nothing else on its way.
pub(crate) trait Exchange: Send {
    /// Sends `frame`, whose request is `correlation`; the answer comes without its length.
    fn exchange(&mut self, correlation: i32, frame: Vec<Bytes>) -> impl Future<Output = Result<Bytes>> + Send;
}

/// The session of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    broker: Arc<str>,
    sasl: Sasl,
    /// When to sign in; nothing when the broker does not limit the session.
    due: Option<Instant>,
    /// Correlation id of the last request; other requests count upwards.
    correlation: i32,
}

impl Session {
    /// The session of a connection on which nobody is signed in yet.
    pub(crate) fn new(broker: Arc<str>, sasl: Sasl) -> Self {
        Self { broker, sasl, due: Some(Instant::now()), correlation: 0 }
    }

    /// Signs in if it is time to.
    ///
    /// # Errors
    /// [`Error::Authentication`] when the broker refuses. The connection is of no use then.
    pub(crate) async fn renew_if_due(&mut self, wire: &mut impl Exchange) -> Result<()> {
        if self.due.is_none_or(|due| Instant::now() < due) {
            return Ok(());
        }
        let lifetime = self.sign_in(wire).await?;
        self.due = lifetime.map(|lifetime| Instant::now() + renewal(lifetime));
        tracing::debug!(broker = %self.broker, mechanism = self.sasl.mechanism(), ?lifetime, "signed in");
        Ok(())
    }

    /// Returns how long the session lasts, if the broker limits it.
    async fn sign_in(&mut self, wire: &mut impl Exchange) -> Result<Option<Duration>> {
        let mechanism = StrBytes::from_static_str(self.sasl.mechanism());
        let handshake: SaslHandshakeResponse =
            self.call(wire, &SaslHandshakeRequest::default().with_mechanism(mechanism)).await?;
        self.check_handshake(&handshake)?;
        let last = match self.sasl.clone() {
            Sasl::ScramSha512 { username, password } => self.scram(wire, &username, &password).await?,
            Sasl::MskIam(iam) => self.bearer(wire, &iam).await?,
        };
        let millis = u64::try_from(last.session_lifetime_ms).ok().filter(|millis| *millis > 0);
        Ok(millis.map(Duration::from_millis))
    }

    async fn scram(
        &mut self,
        wire: &mut impl Exchange,
        username: &str,
        password: &Secret,
    ) -> Result<SaslAuthenticateResponse> {
        let scram = Scram::new(username, password).map_err(|error| self.scram_error(&error))?;
        let first = self.authenticate(wire, scram.first().into()).await?;
        let first = std::str::from_utf8(&first.auth_bytes);
        let first = first.map_err(|_| self.scram_error(&ScramError::Malformed("it is not UTF-8")))?;
        let (proof, proven) = scram.prove(first).map_err(|error| self.scram_error(&error))?;
        let last = self.authenticate(wire, proof.into()).await?;
        let verdict = std::str::from_utf8(&last.auth_bytes).map_err(|_| ScramError::Malformed("it is not UTF-8"));
        verdict.and_then(|text| proven.verify(text)).map_err(|error| self.scram_error(&error))?;
        Ok(last)
    }

    /// OAUTHBEARER (RFC 7628; KIP-255).
    async fn bearer(&mut self, wire: &mut impl Exchange, iam: &MskIam) -> Result<SaslAuthenticateResponse> {
        const SEPARATOR: char = '\x01';
        let token = iam.token().await.map_err(|error| match error {
            // Who provides credentials may be out of reach for a moment.
            TokenError::Credentials(_) => Error::Io { broker: self.broker.clone(), message: error.to_string() },
            TokenError::Signing(_) => self.refused(error.to_string()),
        })?;
        let message = format!("n,,{SEPARATOR}auth=Bearer {token}{SEPARATOR}{SEPARATOR}");
        let answer = self.authenticate(wire, message.into()).await?;
        if answer.auth_bytes.is_empty() {
            return Ok(answer);
        }
        // A refusal comes as a challenge, which the client has to acknowledge before the broker says so in a code.
        let reason = String::from_utf8_lossy(&answer.auth_bytes).into_owned();
        match self.authenticate(wire, SEPARATOR.to_string().into()).await {
            Err(Error::Authentication { broker, mechanism, .. }) => {
                Err(Error::Authentication { broker, mechanism, message: self.advice(&reason) })
            }
            other => other.and(Err(self.refused(reason))),
        }
    }

    async fn authenticate(&mut self, wire: &mut impl Exchange, message: Bytes) -> Result<SaslAuthenticateResponse> {
        let answer: SaslAuthenticateResponse =
            self.call(wire, &SaslAuthenticateRequest::default().with_auth_bytes(message)).await?;
        let Some(code) = Code::try_from_code(answer.error_code) else { return Ok(answer) };
        let said = answer.error_message.as_deref().unwrap_or_default();
        // MSK limits how many connections a second may sign in with IAM, and says it like this.
        if said.contains("Too many connects") {
            return Err(Error::Io { broker: self.broker.clone(), message: said.to_owned() });
        }
        Err(self.refused(if said.is_empty() { code.to_string() } else { said.to_owned() }))
    }

    async fn call<C: Call>(&mut self, wire: &mut impl Exchange, request: &C) -> Result<C::Response> {
        // No versions are negotiated: every supported broker has the ones of the table.
        let version = C::VERSIONS.max;
        self.correlation = self.correlation.checked_sub(1).unwrap_or(-1);
        let frame = encode(&self.broker, request, version, self.correlation)?;
        let answer = wire.exchange(self.correlation, frame).await?;
        decode::<C>(&self.broker, answer, version)
    }

    fn check_handshake(&self, answer: &SaslHandshakeResponse) -> Result<()> {
        let Some(code) = Code::try_from_code(answer.error_code) else { return Ok(()) };
        let message = match code {
            Code::UnsupportedSaslMechanism => {
                let offered: Vec<&str> = answer.mechanisms.iter().map(|mechanism| &**mechanism).collect();
                format!("this listener offers {} instead; check that the port fits auth.mode", offered.join(", "))
            }
            Code::IllegalSaslState => {
                "this listener does not ask who the client is; check that the port fits auth.mode".to_owned()
            }
            other => other.to_string(),
        };
        Err(self.error(message))
    }

    fn scram_error(&self, error: &ScramError) -> Error {
        self.refused(error.to_string())
    }

    fn refused(&self, reason: String) -> Error {
        self.error(self.advice(&reason))
    }

    /// `reason` with what there is to check.
    fn advice(&self, reason: &str) -> String {
        match &self.sasl {
            Sasl::ScramSha512 { username, .. } => format!(
                "{reason}; check user {username:?} and its password, and on MSK that its secret is associated with the \
                 cluster"
            ),
            Sasl::MskIam(_) => format!(
                "{reason}; check that the role may kafka-cluster:Connect to this cluster, its region, and this machine's \
                 clock"
            ),
        }
    }

    fn error(&self, message: String) -> Error {
        Error::Authentication { broker: self.broker.clone(), mechanism: self.sasl.mechanism(), message }
    }
}

/// When to sign in again: late enough to be rare, early enough that requests which wait behind others still arrive in
/// time. Brokers refuse it within a second of the last time (`KafkaChannel.maybeBeginServerReauthentication`).
fn renewal(lifetime: Duration) -> Duration {
    (lifetime * 3 / 4).max(Duration::from_millis(1100))
}

#[cfg(test)]
mod tests;
