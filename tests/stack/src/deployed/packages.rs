//! The functions' packages from the binaries that are built already: one zip each with a stripped `bootstrap`. They are for
//! this machine; `make package` makes those for AWS.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use crate::{layout, progress::Progress};

/// Packs the binaries called `functions` in `bin_dir`, unless their packages are newer, and returns the packages' folder.
///
/// # Errors
/// When a binary is missing, or strip or Python fail.
pub(super) async fn pack(bin_dir: &Path, functions: &[String], progress: &Progress) -> anyhow::Result<PathBuf> {
    let folder = layout::workspace().join("target/local-packages");
    let step = progress.step("packages of the functions");
    let packed = functions.iter().map(|function| {
        let (binary, folder) = (bin_dir.join(function), folder.clone());
        tokio::task::spawn_blocking(move || pack_one(&binary, &folder))
    });
    for packed in futures::future::join_all(packed).await {
        packed??;
    }
    step.done();
    Ok(folder)
}

fn pack_one(binary: &Path, folder: &Path) -> anyhow::Result<()> {
    let name = binary.file_name().context("a binary without a name")?;
    let zip = folder.join(name).with_extension("zip");
    let changed = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified());
    let built = changed(binary).with_context(|| format!("{} is not there: cargo build", binary.display()))?;
    if changed(&zip).is_ok_and(|packed| packed > built) {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let work = tempfile::tempdir_in(folder)?;
    run(Command::new("strip").arg("-o").arg(work.path().join("bootstrap")).arg(binary))?;
    let fresh = work.path().join("fresh.zip");
    run(Command::new("python3").args(["-m", "zipfile", "-c"]).arg(&fresh).arg("bootstrap").current_dir(work.path()))?;
    std::fs::rename(&fresh, &zip).with_context(|| format!("moving {} into place", zip.display()))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    anyhow::ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_made_once_for_each_build() {
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("gate");
        std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
        let (folder, zip) = (dir.path().join("packages"), dir.path().join("packages/gate.zip"));
        pack_one(&binary, &folder).unwrap();
        let listed = Command::new("python3").args(["-m", "zipfile", "-l"]).arg(&zip).output().unwrap();
        assert!(String::from_utf8_lossy(&listed.stdout).contains("bootstrap"));
        let first = std::fs::metadata(&zip).unwrap().modified().unwrap();
        pack_one(&binary, &folder).unwrap();
        assert_eq!(std::fs::metadata(&zip).unwrap().modified().unwrap(), first);
        assert!(pack_one(&dir.path().join("other"), &folder).unwrap_err().to_string().contains("not there"));
    }
}
