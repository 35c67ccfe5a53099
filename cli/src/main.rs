//! `msk-kraft`: the operator's command line.
//!
//! A migration runs in AWS. Its state machine knows the order of steps and its journal knows what is true; this program
//! starts executions, reads the journal and decides gates, and holds nothing that could be lost with the terminal.

mod advice;
mod args;
mod command_line;
mod commands;
mod config_changes;
mod console;
mod deployed;
mod executions;
mod follow;
mod interrupt;
mod lambda;
mod mirror;
mod naming;
mod planning;
mod progress;
mod render;
mod sealing;
mod session;
#[cfg(test)]
mod test_support;
mod words;

use std::io::Write as _;

use clap::Parser as _;
use migration::{Error, ErrorKind};

use crate::args::Cli;

#[tokio::main]
async fn main() {
    telemetry::init_cli();
    let cli = Cli::parse();
    deployed::choose(cli.deployment.clone());
    let code = tokio::select! {
        outcome = commands::run(cli.verb) => match outcome {
            Ok(exit) => exit.code(),
            Err(error) => {
                say(&explained(&error));
                1
            }
        },
        code = interrupt::received() => {
            say(&interrupt::explained());
            sealing::forget_brief().await;
            code
        }
    };
    // Not by returning: a thread may still wait for a line from the terminal.
    std::process::exit(code);
}

/// Nobody may be reading any more, which changes nothing.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// An error, and what its kind says about the way out where the message cannot.
fn explained(error: &Error) -> String {
    match error.kind {
        ErrorKind::Transient => format!("error: {error}\nThis may pass: the same command can be repeated safely."),
        ErrorKind::Internal => format!("error: {error}\nThis is a defect: please report it, with RUST_LOG=debug."),
        _ => format!("error: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_repeating_helps() {
        assert!(explained(&Error::transient("no route")).contains("repeated safely"));
        assert_eq!(explained(&Error::invalid("no such thing")), "error: no such thing");
    }
}
