//! moto and cargo-lambda from PyPI, by pip, into a virtual environment.

use std::{path::PathBuf, process::Command};

use anyhow::Context;

use super::{once, run, stamped};
use crate::{layout, progress::Progress};

pub(super) fn venv() -> PathBuf {
    layout::cache().join("venv")
}

fn requirements() -> PathBuf {
    layout::crate_dir().join("python/requirements.txt")
}

fn pins() -> anyhow::Result<String> {
    std::fs::read_to_string(requirements()).with_context(|| format!("reading {}", requirements().display()))
}

pub(super) fn is_there() -> anyhow::Result<bool> {
    Ok(stamped(&venv(), &pins()?))
}

pub(super) fn ensure(progress: &Progress) -> anyhow::Result<()> {
    let step = progress.step("moto and cargo-lambda from PyPI");
    once(&venv(), &pins()?, |fresh| {
        run(Command::new("python3").args(["-m", "venv"]).arg(fresh))?;
        // The scripts in bin/ name the folder they were installed in, which is about to be renamed; only the modules
        // and cargo-lambda's own binary are used, and these do not.
        run(Command::new(fresh.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"])
            .arg(requirements()))
    })?;
    step.done();
    Ok(())
}
