//! The Java sources in `tests/stack/java`, compiled once for each content they had.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::layout;

/// Compiles the classes of `io.mskkraft.<package>` against `libs` (a class path) when their sources are not those of the last
/// time, and returns the folder of the classes. A time stamp would not do: a checkout can bring sources that are older than
/// the classes of others.
///
/// # Errors
/// With the compiler's output when it does not compile.
pub async fn compile(package: &str, libs: &str) -> anyhow::Result<PathBuf> {
    let sources = sources(package)?;
    let mut content = Sha256::new();
    content.update(libs);
    for source in &sources {
        content.update(source.file_name().unwrap_or_default().as_encoded_bytes());
        content.update(std::fs::read(source).with_context(|| format!("reading {}", source.display()))?);
    }
    let name = format!("{package}-{}", hex::encode(&content.finalize()[..8]));
    let classes = layout::cache().join("java-classes").join(&name);
    if classes.is_dir() {
        return Ok(classes);
    }
    // Both clusters may want the same at the same time, in this process or in others.
    std::fs::create_dir_all(layout::cache().join("java-classes"))?;
    let unfinished = tempfile::Builder::new().prefix(&name).tempdir_in(layout::cache().join("java-classes"))?;
    let mut javac = Command::new("javac");
    let output = javac.arg("-d").arg(unfinished.path()).args(["-cp", libs]).args(&sources).output().await;
    let output = output.context("starting javac; install a JDK (Debian: openjdk-17-jdk-headless)")?;
    ensure!(output.status.success(), "javac failed:\n{}", String::from_utf8_lossy(&output.stderr));
    if std::fs::rename(unfinished.path(), &classes).is_err() {
        ensure!(classes.is_dir(), "no classes in {}", classes.display());
    }
    Ok(classes)
}

/// The package's source files, always in the same order.
fn sources(package: &str) -> anyhow::Result<Vec<PathBuf>> {
    let folder = layout::crate_dir().join("java/io/mskkraft").join(package);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    let java = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "java");
    let mut sources: Vec<_> = paths.into_iter().filter(java).collect();
    sources.sort();
    Ok(sources)
}
