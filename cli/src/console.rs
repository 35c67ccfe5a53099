//! The two outputs: data on stdout, everything said to a person on stderr.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::Mutex;

use indicatif::ProgressBar;
use migration::{Error, Result};
use serde::Serialize;

use crate::args::Output;

/// Where a verb prints.
#[derive(Debug)]
pub(crate) struct Console {
    output: Output,
    /// A bar on the terminal, which lines have to be printed around.
    bar: Mutex<Option<ProgressBar>>,
}

impl Console {
    /// A console that prints data as `output` says.
    pub(crate) const fn new(output: Output) -> Self {
        Self { output, bar: Mutex::new(None) }
    }

    /// Whether data is wanted for a program.
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Prints a line, or several, of data.
    pub(crate) fn data(&self, text: impl AsRef<str>) {
        // Nobody reads any more: the migration goes on all the same, so that is no reason to stop.
        self.around_bar(|| {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{}", text.as_ref().trim_end_matches('\n')).and_then(|()| out.flush());
        });
    }

    /// Prints `value` as JSON, readable for people too.
    ///
    /// # Errors
    /// Internal when it cannot be encoded.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        self.data(encode(serde_json::to_string_pretty(value))?);
        Ok(())
    }

    /// Prints `value` as one line of JSON.
    ///
    /// # Errors
    /// Internal when it cannot be encoded.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Result<()> {
        self.data(encode(serde_json::to_string(value))?);
        Ok(())
    }

    /// Says something to the person at the terminal.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        self.around_bar(|| {
            let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
        });
    }

    /// Shows `bar` until [`Console::clear_bar`].
    pub(crate) fn set_bar(&self, bar: &ProgressBar) {
        *self.lock() = Some(bar.clone());
    }

    /// Takes the bar off the terminal.
    pub(crate) fn clear_bar(&self) {
        if let Some(bar) = self.lock().take() {
            bar.finish_and_clear();
        }
    }

    fn around_bar(&self, print: impl FnOnce()) {
        match self.lock().clone() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn encode(encoded: serde_json::Result<String>) -> Result<String> {
    encoded.map_err(|error| Error::internal(format_args!("encode the output: {error}")))
}

/// Whether somebody can answer a question.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks `question` and returns the answer without the space around it; the wait ends with Ctrl-C at the latest.
pub(crate) fn ask(console: &Console, question: &str) -> tokio::sync::oneshot::Receiver<String> {
    console.clear_bar();
    let _ = write!(std::io::stderr().lock(), "{question} ");
    let (answered, answer) = tokio::sync::oneshot::channel();
    // A thread of its own: a read from a terminal cannot be given up, and must not keep the program from ending.
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::stdin().lock().read_line(&mut line);
        let _ = answered.send(line.trim().to_owned());
    });
    answer
}
