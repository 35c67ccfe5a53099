//! What went wrong in a run, written down as it happens.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The account of a run; every line also goes to standard error at once.
#[derive(Debug)]
pub struct Diary {
    began: Instant,
    counts: Mutex<BTreeMap<String, u32>>,
}

impl Default for Diary {
    fn default() -> Self {
        Self { began: Instant::now(), counts: Mutex::default() }
    }
}

impl Diary {
    /// Writes a line.
    #[expect(clippy::print_stderr, reason = "a failed run is read from its beginning, and a test shows it then")]
    pub fn note(&self, text: impl std::fmt::Display) {
        eprintln!("[{:6.1} s] {text}", self.began.elapsed().as_secs_f64());
    }

    /// Counts something that happened.
    pub fn count(&self, what: &str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(what.to_owned()).or_default() += 1;
    }

    /// How often each thing happened.
    pub fn counts(&self) -> BTreeMap<String, u32> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
