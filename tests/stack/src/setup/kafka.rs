//! Kafka's jars from Maven Central, by Maven itself, from the poms pinned in this crate.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use super::{once, run, stamped};
use crate::{layout, progress::Progress};

/// The version of both sides unless told otherwise.
pub const DEFAULT_VERSION: &str = "3.9.1";
/// Versions that run with ZooKeeper.
pub const SOURCE_VERSIONS: [&str; 2] = ["3.9.1", "2.8.2"];
/// Versions that run as KRaft.
pub const TARGET_VERSIONS: [&str; 2] = ["3.9.1", "4.3.1"];

pub(super) fn check_versions(versions: &[&str]) -> anyhow::Result<()> {
    for version in versions {
        anyhow::ensure!(
            SOURCE_VERSIONS.contains(version) || TARGET_VERSIONS.contains(version),
            "Kafka {version} is not pinned; source: {}; target: {}",
            SOURCE_VERSIONS.join(", "),
            TARGET_VERSIONS.join(", ")
        );
    }
    Ok(())
}

pub(super) fn lib(version: &str) -> PathBuf {
    layout::cache().join("kafka").join(version.replace('.', "_"))
}

fn pom(version: &str) -> PathBuf {
    layout::crate_dir().join("kafka").join(version).join("pom.xml")
}

pub(super) fn is_there(version: &str) -> bool {
    std::fs::read_to_string(pom(version)).is_ok_and(|pins| stamped(&lib(version), &pins))
}

pub(super) fn ensure(version: &str, progress: &Progress) -> anyhow::Result<()> {
    fetch(&pom(version), &lib(version), &format!("Kafka {version} from Maven Central"), progress)
}

/// Has Maven copy what `pom` depends on to `place`.
pub(super) fn fetch(pom: &Path, place: &Path, what: &str, progress: &Progress) -> anyhow::Result<()> {
    let pins = std::fs::read_to_string(pom).with_context(|| format!("reading {}", pom.display()))?;
    let step = progress.step(what);
    once(place, &pins, |fresh| {
        run(Command::new("mvn")
            .args(["-q", "-B", "dependency:copy-dependencies", "-f"])
            .arg(pom)
            .arg(format!("-DoutputDirectory={}", fresh.display())))
    })?;
    step.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offered_version_has_a_pom_that_pins_it() {
        for version in SOURCE_VERSIONS.iter().chain(&TARGET_VERSIONS) {
            let text = std::fs::read_to_string(pom(version)).unwrap();
            assert_eq!(text.matches(&format!("<version>{version}</version>")).count(), 2, "{version}");
        }
    }

    #[test]
    fn an_unpinned_version_is_refused_by_name() {
        let error = check_versions(&["0.8.0"]).unwrap_err().to_string();
        assert!(error.contains("0.8.0") && error.contains(DEFAULT_VERSION));
    }
}
