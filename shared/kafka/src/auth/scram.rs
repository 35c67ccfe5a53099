//! SCRAM-SHA-512 from the client's side (RFC 5802; KIP-84). Names and passwords are UTF-8 as they are: Kafka prepares
//! none (`ScramFormatter.normalize`), so neither does this.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::SecureRandom;
use ring::{digest, hmac, pbkdf2};

use super::Secret;

/// Bytes of a SHA-512 hash.
const HASH: usize = digest::SHA512_OUTPUT_LEN;
/// Fewest iterations that Kafka stores (`ScramMechanism`). Fewer make a password easy to guess for whoever asks for them.
const MIN_ITERATIONS: u32 = 4096;
/// Most iterations that are worked off for a broker: a second or so.
const MAX_ITERATIONS: u32 = 1 << 20;
/// No channel binding and no other identity to act as, and that in base64.
const GS2_HEADER: &str = "n,,";
const GS2_HEADER_BASE64: &str = "biws";

/// Why a conversation ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    /// The server said so.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// The server does not know the password either.
    #[error("the broker could not prove that it knows the password: it may not be the one it says it is")]
    Impostor,
    /// This machine has none to make a nonce of.
    #[error("the operating system gives no random numbers")]
    NoRandomness,
    /// Against the protocol.
    #[error("the broker's message is against RFC 5802: {0}")]
    Malformed(&'static str),
}

/// One conversation, before the client's first message.
#[derive(Debug)]
pub(crate) struct Scram {
    password: Secret,
    first_bare: String,
    nonce: String,
}

/// The conversation between the client's last message and the server's.
#[derive(Debug)]
pub(crate) struct Proven {
    server_key: hmac::Key,
    message: String,
}

impl Scram {
    /// A conversation about `username`, with a fresh nonce.
    pub(crate) fn new(username: &str, password: &Secret) -> Result<Self, ScramError> {
        let mut nonce = [0; 24];
        ring::rand::SystemRandom::new().fill(&mut nonce).map_err(|_| ScramError::NoRandomness)?;
        Ok(Self::with_nonce(username, password, BASE64.encode(nonce)))
    }

    fn with_nonce(username: &str, password: &Secret, nonce: String) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        Self { password: password.clone(), first_bare: format!("n={name},r={nonce}"), nonce }
    }

    /// The client's first message.
    pub(crate) fn first(&self) -> String {
        format!("{GS2_HEADER}{}", self.first_bare)
    }

    /// The client's last message, in answer to the server's first.
    pub(crate) fn prove(&self, server_first: &str) -> Result<(String, Proven), ScramError> {
        let nonce = attribute(server_first, "r").ok_or(ScramError::Malformed("there is no nonce"))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::Malformed("the nonce is not an extension of the client's"));
        }
        let salt = attribute(server_first, "s").and_then(|salt| BASE64.decode(salt).ok());
        let salt = salt.ok_or(ScramError::Malformed("there is no salt"))?;
        let iterations = attribute(server_first, "i").and_then(|count| count.parse::<NonZeroU32>().ok());
        let iterations = iterations.filter(|count| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&count.get()));
        let iterations = iterations.ok_or(ScramError::Malformed("the number of iterations is out of bounds"))?;

        let mut salted = [0; HASH];
        let password = self.password.expose().as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, &salt, password, &mut salted);
        let salted = hmac::Key::new(hmac::HMAC_SHA512, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA512, client_key.as_ref());
        let without_proof = format!("c={GS2_HEADER_BASE64},r={nonce}");
        let message = format!("{},{server_first},{without_proof}", self.first_bare);
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, stored_key.as_ref()), message.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server_key = hmac::Key::new(hmac::HMAC_SHA512, hmac::sign(&salted, b"Server Key").as_ref());
        Ok((format!("{without_proof},p={}", BASE64.encode(proof)), Proven { server_key, message }))
    }
}

impl Proven {
    /// Checks the server's last message: that it knows the password too.
    pub(crate) fn verify(&self, server_final: &str) -> Result<(), ScramError> {
        if let Some(refusal) = attribute(server_final, "e") {
            return Err(ScramError::Refused(refusal.to_owned()));
        }
        let signature = attribute(server_final, "v").and_then(|signature| BASE64.decode(signature).ok());
        let signature = signature.ok_or(ScramError::Malformed("there is no signature"))?;
        hmac::verify(&self.server_key, self.message.as_bytes(), &signature).map_err(|_| ScramError::Impostor)
    }
}

/// Value of the attribute `name` of a message: `a=1,b=2`.
fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677 (user, password, nonces, salt and iterations) with SHA-512 in place of SHA-256, computed by
    /// Python's `hashlib.pbkdf2_hmac` and `hmac`.
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
    const SERVER_FINAL: &str =
        "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";

    fn conversation() -> Scram {
        Scram::with_nonce("user", &"pencil".to_owned().into(), "rOprNGfwEbeRWgbNEkqO".to_owned())
    }

    #[test]
    fn the_example_of_the_rfc_is_reproduced() {
        let scram = conversation();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (message, proven) = scram.prove(SERVER_FIRST).unwrap();
        assert_eq!(message, CLIENT_FINAL);
        assert_eq!(proven.verify(SERVER_FINAL), Ok(()));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let (_, proven) = conversation().prove(SERVER_FIRST).unwrap();
        assert_eq!(proven.verify(&SERVER_FINAL.replace('A', "B")), Err(ScramError::Impostor));
        assert_eq!(proven.verify("v="), Err(ScramError::Impostor));
        assert_eq!(proven.verify("e=invalid-proof"), Err(ScramError::Refused("invalid-proof".to_owned())));
        assert!(matches!(proven.verify("x=1"), Err(ScramError::Malformed(_))));
    }

    #[test]
    fn a_server_must_extend_the_nonce_and_ask_for_enough_work() {
        let scram = conversation();
        for bad in [
            SERVER_FIRST.replace("rOpr", "xOpr"),
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".to_owned(),
            SERVER_FIRST.replace("i=4096", "i=4095"),
            SERVER_FIRST.replace("i=4096", "i=99999999"),
            SERVER_FIRST.replace("i=4096", "i=0"),
            SERVER_FIRST.replace("s=W22Z", "s=*"),
            String::new(),
        ] {
            assert!(matches!(scram.prove(&bad), Err(ScramError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn names_are_escaped_and_nonces_differ() {
        let secret = Secret::from("p".to_owned());
        assert_eq!(Scram::with_nonce("a=b,c", &secret, "n".to_owned()).first(), "n,,n=a=3Db=2Cc,r=n");
        assert_ne!(Scram::new("u", &secret).unwrap().first(), Scram::new("u", &secret).unwrap().first());
    }
}
