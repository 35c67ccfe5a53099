//! Logs, metrics and traces, set up the same way in every binary.
//!
//! Functions log JSON lines to stdout, where Lambda picks them up; the CLI logs text to stderr and keeps stdout for data.
//! `RUST_LOG` chooses what is logged, `info` when unset.

pub mod metrics;
pub mod traces;

use tracing_subscriber::EnvFilter;

/// Starts JSON logs on stdout, as functions want them. Does nothing when logging was started before.
pub fn init_function() {
    let _ = tracing_subscriber::fmt().json().with_env_filter(filter("info")).with_target(false).try_init();
}

/// Starts text logs on stderr, as people want them; warnings and worse unless `RUST_LOG` says more.
pub fn init_cli() {
    let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter("warn")).try_init();
}

fn filter(default: &str) -> EnvFilter {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| default.to_owned());
    // Below info the AWS SDK logs request bodies, and with them task tokens.
    EnvFilter::new(format!("{wanted},aws_=info,hyper=info"))
}
