//! Ctrl-C, and being told to stop.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

/// Ends when this process is interrupted (SIGINT) or told to stop (SIGTERM). Both are caught from the call on, so that
/// whoever waits for it can stop what it started.
///
/// # Errors
/// When signals cannot be caught.
pub fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Does `work` until it ends or this process is asked to stop; none then. What was under way is dropped, which stops every
/// process that it started.
///
/// # Errors
/// Those of `work`; when signals cannot be caught.
pub async fn unless_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Option<T>> {
    let asked_to_stop = asked_to_stop()?;
    tokio::select! {
        outcome = work => outcome.map(Some),
        () = asked_to_stop => Ok(None),
    }
}

/// What a program that starts stacks ends with: 130 when it was interrupted (`outcome` is none), and then `interrupted` on
/// standard error, which says what is left; 1 with the error there; else 0.
#[expect(clippy::print_stderr, reason = "it speaks for programs")]
pub fn exit_code(program: &str, outcome: anyhow::Result<Option<()>>, interrupted: &str) -> ExitCode {
    match outcome {
        Ok(Some(())) => ExitCode::SUCCESS,
        Ok(None) => {
            eprintln!("\ninterrupted; {interrupted}");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\n{program}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
