//! Traces with OpenTelemetry: a span for each invocation of a function. Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set.
//!
//! Spans go to a collector over OTLP/HTTP, such as that of a Lambda layer on `http://localhost:4318`. Nothing of a payload goes with
//! them but the migration's id and the operation. The state machine hands no context on; a migration's spans have one trace id
//! all the same, because it is made from the migration's id.

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span as SdkSpan};
use sha2::{Digest, Sha256};

/// Variable with the collector's address, as OpenTelemetry names it
/// (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Where spans go; nowhere when traces are off. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    provider: Option<SdkTracerProvider>,
}

/// The span of one invocation.
#[derive(Debug, Default)]
pub struct Span {
    span: Option<SdkSpan>,
}

impl Traces {
    /// Traces of the function `service`, as the environment wants them. A collector that cannot be used is a warning in the log:
    /// no migration stops for its traces.
    pub fn from_env(service: &str) -> Self {
        let Some(endpoint) = std::env::var(ENDPOINT).ok().filter(|endpoint| !endpoint.is_empty()) else {
            return Self::default();
        };
        Self::to(&endpoint, service).unwrap_or_else(|error| {
            tracing::warn!("no traces: {ENDPOINT}={endpoint} cannot be used: {error}");
            Self::default()
        })
    }

    fn to(endpoint: &str, service: &str) -> Result<Self, opentelemetry_otlp::ExporterBuildError> {
        // The exporter's client wants one, also where it talks to the machine itself. Another one that is there already serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build()?;
        let resource = Resource::builder()
            .with_service_name(format!("msk-kraft-{service}"))
            .with_attribute(KeyValue::new("deployment.name", crate::metrics::deployment()))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { provider: Some(provider) })
    }

    /// Begins the span `name` of the migration with this id.
    pub fn begin(&self, name: &str, migration: Option<&str>) -> Span {
        let Some(provider) = &self.provider else { return Span::default() };
        let tracer = provider.tracer("msk-kraft");
        let builder = tracer.span_builder(name.to_owned()).with_kind(SpanKind::Server);
        let parent = migration.map_or_else(Context::new, |id| Context::new().with_remote_span_context(context_of(id)));
        let mut span = tracer.build_with_context(builder, &parent);
        if let Some(migration) = migration {
            span.set_attribute(KeyValue::new("msk_kraft.migration", migration.to_owned()));
        }
        Span { span: Some(span) }
    }

    /// Sends what is there, before the function is frozen between two invocations. Blocks until the collector has answered, for
    /// seconds when it does not.
    pub fn flush(&self) {
        if let Some(Err(error)) = self.provider.as_ref().map(SdkTracerProvider::force_flush) {
            tracing::warn!("traces were not sent: {error}");
        }
    }

    /// Whether spans go anywhere.
    pub const fn are_on(&self) -> bool {
        self.provider.is_some()
    }
}

impl Span {
    /// Ends the span; with the kind of the error when the invocation failed.
    pub fn end(mut self, failure: Option<&str>) {
        if let Some(span) = &mut self.span {
            if let Some(kind) = failure {
                span.set_attribute(KeyValue::new("error.type", kind.to_owned()));
                span.set_status(Status::error(kind.to_owned()));
            }
            span.end();
        }
    }
}

/// The place in a trace that all invocations of a migration hang from.
fn context_of(migration: &str) -> SpanContext {
    let digest = Sha256::digest(migration);
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&digest[..16]);
    span.copy_from_slice(&digest[16..24]);
    let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::default())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Takes one request and returns its body.
    fn collector() -> (String, std::thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let taken = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
            loop {
                let count = stream.read(&mut chunk).unwrap();
                request.extend_from_slice(&chunk[..count]);
                let head = request.windows(4).position(|end| end == b"\r\n\r\n");
                let Some(head) = head else { continue };
                let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
                assert!(text.starts_with("post /v1/traces "), "{text}");
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                if request.len() >= head + 4 + length.unwrap() {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                    return request.split_off(head + 4);
                }
            }
        });
        (address, taken)
    }

    #[test]
    fn a_span_reaches_the_collector_in_the_trace_of_its_migration() {
        let (address, taken) = collector();
        let traces = Traces::to(&address, "gate").unwrap();
        traces.begin("gate enter", Some("prod-to-kraft")).end(Some("Blocked"));
        traces.flush();
        let body = taken.join().unwrap();
        let holds = |bytes: &[u8]| body.windows(bytes.len()).any(|window| window == bytes);
        assert!(holds(&context_of("prod-to-kraft").trace_id().to_bytes()));
        assert!(holds(b"gate enter") && holds(b"prod-to-kraft") && holds(b"Blocked") && holds(b"msk-kraft-gate"));
    }

    #[test]
    fn without_a_collector_nothing_is_traced() {
        let traces = Traces::default();
        assert!(!traces.are_on());
        let span = traces.begin("gate enter", Some("m"));
        assert!(span.span.is_none());
        span.end(None);
        traces.flush();
    }

    #[test]
    fn migrations_have_traces_of_their_own() {
        assert_ne!(context_of("a").trace_id(), context_of("b").trace_id());
        assert_eq!(context_of("a"), context_of("a"));
    }
}
