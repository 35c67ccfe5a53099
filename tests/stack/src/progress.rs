//! What the stack is doing, on standard error.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Shows steps as they run, or nothing at all.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
}

impl Progress {
    /// Progress on standard error; `quiet` shows nothing.
    pub fn new(quiet: bool) -> Self {
        Self { bars: (!quiet).then(MultiProgress::new) }
    }

    /// Begins a step, which is shown until it is done or dropped.
    pub fn step(&self, name: &str) -> Step {
        let bar = match &self.bars {
            Some(bars) => bars.add(ProgressBar::new_spinner()),
            None => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Step { bar, name: name.to_owned(), since: Instant::now(), bars: self.bars.clone() }
    }
}

/// A step that is running.
#[derive(Debug)]
pub struct Step {
    bar: ProgressBar,
    bars: Option<MultiProgress>,
    name: String,
    since: Instant,
}

impl Step {
    /// Ends the step and leaves one line behind with the time it took.
    pub fn done(self) {
        self.bar.finish_and_clear();
        if let Some(bars) = &self.bars {
            let line = format!("  {} ({:.1} s)", self.name, self.since.elapsed().as_secs_f64());
            if bars.println(&line).is_err() || bars.is_hidden() {
                tracing::info!("{}", line.trim());
            }
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
