//! Signed calls to the stand-in, as anybody who has credentials there.

use std::{path::Path, time::SystemTime};

use anyhow::Context;
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::Value;

use crate::aws::REGION;

/// Somebody who may call AWS: an endpoint, and credentials of the account's root or of a role's session.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    endpoint: String,
    credentials: Credentials,
}

/// One call, before it is signed.
struct Call<'a> {
    service: &'a str,
    method: Method,
    path: String,
    headers: Vec<(&'a str, String)>,
    body: Vec<u8>,
}

impl Caller {
    /// The root of the stand-in's account, which may do everything.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub(super) fn root(endpoint: &str, certificate: &Path) -> anyhow::Result<Self> {
        let credentials = Credentials::new("test", "test", None, None, "stack");
        Ok(Self { client: client(certificate)?, endpoint: endpoint.to_owned(), credentials })
    }

    /// The same with the credentials of a role's session.
    pub(super) fn with(&self, credentials: Credentials) -> Self {
        Self { credentials, ..self.clone() }
    }

    /// What a program of this caller has in its environment.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        let given = &self.credentials;
        let mut env = vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), given.access_key_id().to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), given.secret_access_key().to_owned()),
        ];
        env.extend(given.session_token().map(|token| ("AWS_SESSION_TOKEN".to_owned(), token.to_owned())));
        env
    }

    /// Calls a service that speaks JSON by target names, `AmazonSSM.GetParameter` of `ssm` for example.
    ///
    /// # Errors
    /// When there is no answer, or it is an error; then with its text.
    pub async fn json(&self, service: &str, target: &str, body: &Value) -> anyhow::Result<Value> {
        let headers =
            vec![("content-type", "application/x-amz-json-1.1".to_owned()), ("x-amz-target", target.to_owned())];
        let body = body.to_string().into_bytes();
        let call = Call { service, method: Method::POST, path: "/".to_owned(), headers, body };
        let answer = self.call(call).await.with_context(|| target.to_owned())?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).with_context(|| format!("{target} gave an answer that is not JSON"))
    }

    /// Calls a service that takes forms and answers with XML, `GetRole` of `iam` for example.
    ///
    /// # Errors
    /// When there is no answer, or it is an error; then with its text.
    pub async fn form(&self, service: &str, action: &str, fields: &[(&str, &str)]) -> anyhow::Result<String> {
        let version = match service {
            "sts" => "2011-06-15",
            "sns" => "2010-03-31",
            _ => "2010-05-08",
        };
        let fields = [("Action", action), ("Version", version)].into_iter().chain(fields.iter().copied());
        let pairs = fields.map(|(name, value)| format!("{name}={}", encoded(value)));
        let body = pairs.collect::<Vec<_>>().join("&").into_bytes();
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        let call = Call { service, method: Method::POST, path: "/".to_owned(), headers, body };
        let answer = self.call(call).await.with_context(|| format!("{service}:{action}"))?;
        String::from_utf8(answer).context("an answer that is not UTF-8")
    }

    /// The content of an object.
    ///
    /// # Errors
    /// When it is not there or may not be read.
    pub async fn object(&self, bucket: &str, key: &str) -> anyhow::Result<Vec<u8>> {
        let path = format!("/{bucket}/{key}");
        let call = Call { service: "s3", method: Method::GET, path, headers: Vec::new(), body: Vec::new() };
        self.call(call).await.with_context(|| format!("no object {key} in {bucket}"))
    }

    /// Puts `body` under a subresource of a bucket, `object-lock` for example.
    ///
    /// # Errors
    /// When S3 refuses it.
    pub(super) async fn put_bucket(&self, bucket: &str, what: &str, body: &str) -> anyhow::Result<()> {
        let (path, body) = (format!("/{bucket}?{what}"), body.as_bytes().to_vec());
        let call = Call { service: "s3", method: Method::PUT, path, headers: Vec::new(), body };
        self.call(call).await.with_context(|| format!("{what} of {bucket}")).map(drop)
    }

    /// Tells the stand-in itself how to behave, which is no call of AWS.
    ///
    /// # Errors
    /// When it refuses.
    pub(super) async fn healthy(&self) -> bool {
        let asked = self.client.get(format!("{}/_ministack/health", self.endpoint)).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    async fn call(&self, call: Call<'_>) -> anyhow::Result<Vec<u8>> {
        let url = format!("{}{}", self.endpoint, call.path);
        let mut settings = SigningSettings::default();
        if call.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder().identity(&identity).region(REGION).name(call.service);
        let params = params.time(SystemTime::now()).settings(settings).build()?.into();
        let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let signable = SignableRequest::new(call.method.as_str(), &url, headers, SignableBody::Bytes(&call.body))?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        let mut request = self.client.request(call.method, &url).body(call.body);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        for (name, value) in instructions.headers() {
            request = request.header(name, value);
        }
        let answer = request.send().await.with_context(|| format!("no answer from {url}"))?;
        let status = answer.status();
        let body = answer.bytes().await?;
        anyhow::ensure!(status.is_success(), "{}", refusal(status, &body));
        Ok(body.to_vec())
    }
}

/// An HTTP client that trusts the stand-in's certificate and nothing else.
pub(super) fn client(certificate: &Path) -> anyhow::Result<Client> {
    // One provider for the whole process; a second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = std::fs::read(certificate).with_context(|| format!("reading {}", certificate.display()))?;
    let trusted = Certificate::from_pem(&pem).context("the stand-in's certificate")?;
    Client::builder().tls_certs_only([trusted]).build().context("an HTTP client")
}

fn refusal(status: StatusCode, body: &[u8]) -> String {
    format!("{status}: {}", String::from_utf8_lossy(body))
}

/// `text` in a form: everything but letters, digits and `-._~` as `%XX`.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// The text between `<name>` and `</name>`, the first of that name, with XML's five entities read.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let mut text = text.to_owned();
    for (entity, character) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")] {
        text = text.replace(entity, character);
    }
    Some(text)
}

/// `text` with its `%XX` read; IAM answers with documents in that form.
pub(super) fn decoded(text: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).context("a document that is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded_and_documents_decoded() {
        let text = r#"{"Sid": "Ä~"}"#;
        assert_eq!(encoded(text), "%7B%22Sid%22%3A%20%22%C3%84~%22%7D");
        assert_eq!(decoded(&encoded(text)).unwrap(), text);
        assert_eq!(decoded("100%").unwrap(), "100%");
    }

    #[test]
    fn an_elements_text_is_found_with_its_entities_read() {
        let xml = "<A><B>&lt;x&gt; &amp;amp;</B><B>second</B></A>";
        assert_eq!(element(xml, "B").as_deref(), Some("<x> &amp;"));
        assert_eq!(element(xml, "C"), None);
    }
}
