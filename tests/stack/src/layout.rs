//! Where the stack keeps its files, all of them below the workspace's `target/`.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The root of the workspace this crate was built in.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").components().collect::<PathBuf>().canonicalize_or_self()
}

/// The folder of this crate, which holds the pinned poms and requirements.
pub fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Downloads shared by all stacks of this workspace: `target/stack-cache`.
pub fn cache() -> PathBuf {
    workspace().join("target/stack-cache")
}

/// The folders of one stack, `target/stack/<name>`.
#[derive(Debug, Clone)]
pub struct Layout {
    home: PathBuf,
}

impl Layout {
    /// The layout of the stack called `name`.
    ///
    /// # Errors
    /// When the name could leave `target/stack` or be mistaken for an option.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        anyhow::ensure!(
            !name.is_empty() && !name.starts_with('-') && name.chars().all(fits),
            "the stack's name {name:?} may hold only letters, digits, '-' and '_', and not begin with '-'"
        );
        Ok(Self { home: workspace().join("target/stack").join(name) })
    }

    /// `target/stack/<name>`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Log files of every process.
    pub fn logs(&self) -> PathBuf {
        self.home.join("logs")
    }

    /// Data of the brokers and of ZooKeeper.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Generated configuration files.
    pub fn conf(&self) -> PathBuf {
        self.home.join("conf")
    }

    /// What the AWS stand-in held when the stack stopped.
    pub fn aws(&self) -> PathBuf {
        self.home.join("aws")
    }

    /// The folder through which the freeze webhook and the producers talk.
    pub fn webhook(&self) -> PathBuf {
        self.home.join("webhook")
    }

    /// The ports of this stack, so that a later start with `keep` takes the same.
    pub fn ports(&self) -> PathBuf {
        self.home.join("ports.json")
    }

    /// Creates the folders; without `keep` everything of an earlier start is removed first.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn prepare(&self, keep: bool) -> anyhow::Result<()> {
        if !keep && self.home.exists() {
            std::fs::remove_dir_all(&self.home).with_context(|| format!("removing {}", self.home.display()))?;
        }
        for dir in [self.logs(), self.data(), self.conf(), self.aws(), self.webhook()] {
            std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        }
        Ok(())
    }
}

trait CanonicalizeOrSelf {
    fn canonicalize_or_self(self) -> PathBuf;
}

impl CanonicalizeOrSelf for PathBuf {
    fn canonicalize_or_self(self) -> PathBuf {
        self.canonicalize().unwrap_or(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_target_folder() {
        assert!(Layout::new("demo-1").is_ok());
        for bad in ["", "..", "a/b", "-x", "a b"] {
            assert!(Layout::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_workspace_holds_this_crate() {
        assert!(workspace().join("tests/stack/Cargo.toml").exists());
    }
}
