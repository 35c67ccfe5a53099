//! `msk-kraft`: the operator's command line.
//!
//! A migration runs in AWS. Its state machine knows the order of steps and its journal knows what is true; this program
//! starts executions, reads the journal and decides gates, and holds nothing that could be lost with the terminal.

mod advice;
mod args;
mod command_line;
mod commands;
mod console;
mod executions;
mod follow;
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

use std::io::Write as _;

use clap::Parser as _;
use migration::{Error, ErrorKind};

use crate::args::Cli;
use crate::session::UNDER_WAY;

/// Exit code after Ctrl-C, as shells know it.
const INTERRUPTED: i32 = 130;

#[tokio::main]
async fn main() {
    telemetry::init_cli();
    let cli = Cli::parse();
    let code = tokio::select! {
        outcome = commands::run(cli.verb) => match outcome {
            Ok(exit) => exit.code(),
            Err(error) => {
                say(&explained(&error));
                1
            }
        },
        _ = tokio::signal::ctrl_c() => {
            say(&interrupted());
            sealing::forget_brief().await;
            INTERRUPTED
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

fn interrupted() -> String {
    match UNDER_WAY.get() {
        Some(line) => format!(
            "\ninterrupted: the migration {} goes on in AWS\n  look at it: {}\n  follow it:  {}",
            line.migration_id,
            line.command("status"),
            line.command("resume")
        ),
        None => "\ninterrupted".to_owned(),
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
