//! How far a download has come: a line that changes on a terminal, a line now and then elsewhere.

use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressFinish};

use crate::console::Console;

/// How often a line is said where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// Progress of a download.
#[derive(Debug)]
pub(super) struct Show<'a> {
    console: &'a Console,
    partitions: usize,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    done: usize,
    runs: usize,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl<'a> Show<'a> {
    /// Nothing of `partitions` partitions yet.
    pub(super) fn new(console: &'a Console, partitions: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
            bar.enable_steady_tick(Duration::from_millis(200));
            console.set_bar(&bar);
            bar
        });
        Self { console, partitions, state: RefCell::new(State { done: 0, runs: 0, said: Instant::now(), bar }) }
    }

    /// So many runs more were written.
    pub(super) fn runs(&self, runs: usize) {
        self.state.borrow_mut().runs += runs;
        self.tell();
    }

    /// One partition more is complete.
    pub(super) fn partition(&self) {
        self.state.borrow_mut().done += 1;
        self.tell();
    }

    fn tell(&self) {
        let mut state = self.state.borrow_mut();
        let State { done, runs, .. } = *state;
        let of = self.partitions;
        if let Some(bar) = &state.bar {
            bar.set_message(format!("{done}/{of} partitions, {} runs", HumanCount(runs as u64)));
        } else if state.said.elapsed() >= EVERY {
            state.said = Instant::now();
            self.console.say(format!("progress partitions={done}/{of} runs={runs}"));
        }
    }
}

impl Drop for Show<'_> {
    fn drop(&mut self) {
        self.console.clear_bar();
    }
}
