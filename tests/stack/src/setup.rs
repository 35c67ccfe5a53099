//! Fetching what the stack is made of, once, through the registries' own clients.
//!
//! Every part is fetched into a folder beside its final place and moved there in one rename, so a folder that exists
//! is complete; a stamp file in it names what it was made from, so a changed pin is noticed. Two set-ups at once are
//! kept apart by a lock file.

mod kafka;
mod python;
mod tools;

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context;

use python::{MINISTACK, MOTO};

pub use kafka::{DEFAULT_VERSION, SOURCE_VERSIONS, TARGET_VERSIONS};

use crate::{layout, progress::Progress};

const STAMP: &str = ".complete";

/// What is on disk after [`ensure`].
#[derive(Debug, Clone)]
pub struct Tools {
    /// `java` of version 17 or later.
    pub java: PathBuf,
    /// The Python environment that holds moto and cargo-lambda.
    pub venv: PathBuf,
}

/// Checks the machine and fetches whatever is missing for the given Kafka versions; milliseconds when all is there.
///
/// # Errors
/// Lists every missing program with its Debian package; or says which fetch failed and shows the client's output.
pub async fn ensure(versions: &[&str], progress: &Progress) -> anyhow::Result<Tools> {
    kafka::check_versions(versions)?;
    let versions: Vec<String> = versions.iter().map(|version| (*version).to_owned()).collect();
    let progress = progress.clone();
    tokio::task::spawn_blocking(move || ensure_blocking(&versions, &progress)).await?
}

/// Fetches the jars of a pom into `target/stack-cache/<name>` unless they are there, and returns that folder.
///
/// # Errors
/// When Maven is missing or fails.
pub async fn jars(name: &str, pom: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
    let (place, pom, progress) = (layout::cache().join(name), pom.to_owned(), progress.clone());
    let what = format!("{name} from Maven Central");
    tokio::task::spawn_blocking(move || {
        let _lock = exclusive()?;
        kafka::fetch(&pom, &place, &what, &progress)?;
        Ok(place)
    })
    .await?
}

/// Checks the machine for Node.js, fetches ministack unless it is there, and returns its Python environment.
///
/// # Errors
/// Lists every missing program with its Debian package; or shows what pip said.
pub async fn ministack(progress: &Progress) -> anyhow::Result<PathBuf> {
    let progress = progress.clone();
    tokio::task::spawn_blocking(move || {
        tools::check_deploying()?;
        if !MINISTACK.is_there()? {
            let _lock = exclusive()?;
            MINISTACK.ensure(&progress)?;
        }
        Ok(MINISTACK.place())
    })
    .await?
}

/// The packages that `folder`'s `package-lock.json` pins, by npm.
///
/// # Errors
/// With what npm said.
pub async fn node_modules(folder: &Path, progress: &Progress) -> anyhow::Result<()> {
    let (folder, progress) = (folder.to_owned(), progress.clone());
    tokio::task::spawn_blocking(move || {
        let pins = std::fs::read_to_string(folder.join("package-lock.json"))
            .with_context(|| format!("{} has no package-lock.json", folder.display()))?;
        let stamp = folder.join("node_modules").join(STAMP);
        let _lock = exclusive()?;
        if std::fs::read_to_string(&stamp).is_ok_and(|found| found == pins) {
            return Ok(());
        }
        let step = progress.step("the CDK from npm");
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))?;
        std::fs::write(stamp, pins)?;
        step.done();
        Ok(())
    })
    .await?
}

/// The folder with the jars of a Kafka version.
pub fn kafka_lib(version: &str) -> PathBuf {
    kafka::lib(version)
}

/// The class path with the jars of a Kafka version.
pub fn kafka_classpath(version: &str) -> String {
    format!("{}/*", kafka_lib(version).display())
}

fn ensure_blocking(versions: &[String], progress: &Progress) -> anyhow::Result<Tools> {
    let all_there = MOTO.is_there()? && versions.iter().all(|version| kafka::is_there(version));
    let java = tools::check(!all_there)?;
    if !all_there {
        let _lock = exclusive()?;
        std::thread::scope(|scope| {
            let python = scope.spawn(|| MOTO.ensure(progress));
            // One after the other: Maven's local repository is not meant for concurrent writers.
            let kafka = versions.iter().try_for_each(|version| kafka::ensure(version, progress));
            let python = python.join().unwrap_or_else(|_| Err(anyhow::anyhow!("setting up Python panicked")));
            python.and(kafka)
        })?;
    }
    Ok(Tools { java, venv: MOTO.place() })
}

/// Keeps other set-ups out while it lives.
fn exclusive() -> anyhow::Result<File> {
    std::fs::create_dir_all(layout::cache())?;
    let lock = File::create(layout::cache().join("lock"))?;
    lock.lock().context("waiting for another set-up")?;
    Ok(lock)
}

/// Makes `place` by running `fill` on an empty folder beside it, unless its stamp already says `pins`.
fn once(place: &Path, pins: &str, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if stamped(place, pins) {
        return Ok(());
    }
    let fresh = place.with_extension("partial");
    for stale in [place, &fresh] {
        if stale.exists() {
            std::fs::remove_dir_all(stale).with_context(|| format!("removing {}", stale.display()))?;
        }
    }
    std::fs::create_dir_all(&fresh).with_context(|| format!("creating {}", fresh.display()))?;
    fill(&fresh)?;
    std::fs::write(fresh.join(STAMP), pins)?;
    std::fs::rename(&fresh, place).with_context(|| format!("moving {} into place", place.display()))
}

fn stamped(place: &Path, pins: &str) -> bool {
    std::fs::read_to_string(place.join(STAMP)).is_ok_and(|found| found == pins)
}

/// Runs a client to its end, quietly.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{command:?} failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_part_is_not_made_again_until_its_pins_change() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("part");
        let mut made = 0;
        for (pins, expected) in [("1", 1), ("1", 1), ("2", 2)] {
            once(&place, pins, |fresh| {
                made += 1;
                Ok(std::fs::write(fresh.join("file"), pins)?)
            })
            .unwrap();
            assert_eq!(made, expected);
            assert_eq!(std::fs::read_to_string(place.join("file")).unwrap(), pins);
        }
    }

    #[test]
    fn an_interrupted_part_is_made_from_scratch() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("part");
        once(&place, "1", |fresh| {
            std::fs::write(fresh.join("half"), "")?;
            anyhow::bail!("the line went dead")
        })
        .unwrap_err();
        assert!(!stamped(&place, "1"));
        once(&place, "1", |_| Ok(())).unwrap();
        assert!(stamped(&place, "1") && !place.join("half").exists());
    }
}
