//! What comes from PyPI, by pip, each into a virtual environment of its own: moto and cargo-lambda; ministack.

use std::{path::PathBuf, process::Command};

use anyhow::Context;

use super::{once, run, stamped};
use crate::{layout, progress::Progress};

/// A virtual environment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Venv {
    /// What it is for, as the set-up says it.
    what: &'static str,
    /// Its folder in the cache.
    name: &'static str,
    /// The file with its pins.
    pins: &'static str,
}

/// What every stack needs.
pub(super) const MOTO: Venv = Venv { what: "moto and cargo-lambda from PyPI", name: "venv", pins: "requirements.txt" };
/// What a deployed stack needs.
pub(super) const MINISTACK: Venv = Venv { what: "ministack from PyPI", name: "ministack", pins: "ministack.txt" };

impl Venv {
    pub(super) fn place(self) -> PathBuf {
        layout::cache().join(self.name)
    }

    fn requirements(self) -> PathBuf {
        layout::crate_dir().join("python").join(self.pins)
    }

    fn pins(self) -> anyhow::Result<String> {
        let path = self.requirements();
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    pub(super) fn is_there(self) -> anyhow::Result<bool> {
        Ok(stamped(&self.place(), &self.pins()?))
    }

    pub(super) fn ensure(self, progress: &Progress) -> anyhow::Result<()> {
        let step = progress.step(self.what);
        once(&self.place(), &self.pins()?, |fresh| {
            run(Command::new("python3").args(["-m", "venv"]).arg(fresh))?;
            // The scripts in bin/ name the folder they were installed in, which is about to be renamed; only the modules
            // and cargo-lambda's own binary are used, and these do not.
            run(Command::new(fresh.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"])
                .arg(self.requirements()))
        })?;
        step.done();
        Ok(())
    }
}
