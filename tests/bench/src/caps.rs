//! Limits of processor time for brokers, by the kernel's control groups. Where the brokers are the slowest part, as is
//! expected on MSK, it shows whether a copier keeps them busy, and not what the stand-ins for AWS take of the same processors.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Microseconds for which a share is given out. Short, so that a broker without any of it left does not pause for long.
const PERIOD_US: u32 = 10_000;

/// The hierarchy of cgroup v1's controller, and that of cgroup v2.
const V1: &str = "/sys/fs/cgroup/cpu";
const V2: &str = "/sys/fs/cgroup";

/// The groups of processes with limits; dropped when the processes have ended, it leaves nothing behind.
#[derive(Debug, Default)]
pub(crate) struct Caps(Vec<PathBuf>);

impl Caps {
    /// Gives the process `pid`, and those that it starts, no more than `percent` of one processor's time from now on.
    ///
    /// # Errors
    /// When there are no control groups for processors, or this user may not change them.
    pub(crate) fn add(&mut self, name: &str, pid: u32, percent: u32) -> anyhow::Result<()> {
        let (root, limits) = limits(percent)?;
        let group = root.join(format!("msk-kraft-bench-{name}"));
        fs::create_dir_all(&group).with_context(|| format!("{} cannot be created", group.display()))?;
        self.0.push(group.clone());
        for (file, value) in limits.into_iter().chain([("cgroup.procs", pid.to_string())]) {
            let file = group.join(file);
            fs::write(&file, value).with_context(|| format!("{} cannot be written", file.display()))?;
        }
        Ok(())
    }
}

impl Drop for Caps {
    fn drop(&mut self) {
        for group in &self.0 {
            // A group that is not empty yet stays, and is taken again the next time.
            let _ = fs::remove_dir(group);
        }
    }
}

/// Where groups are, and what limits one of them to `percent` of a processor.
fn limits(percent: u32) -> anyhow::Result<(&'static Path, Vec<(&'static str, String)>)> {
    let quota = PERIOD_US * percent / 100;
    if Path::new(V1).join("cgroup.procs").exists() {
        let limits = vec![("cpu.cfs_period_us", PERIOD_US.to_string()), ("cpu.cfs_quota_us", quota.to_string())];
        return Ok((Path::new(V1), limits));
    }
    let controllers = fs::read_to_string(Path::new(V2).join("cgroup.subtree_control")).unwrap_or_default();
    anyhow::ensure!(
        controllers.split_whitespace().any(|name| name == "cpu"),
        "there are no control groups for processors"
    );
    Ok((Path::new(V2), vec![("cpu.max", format!("{quota} {PERIOD_US}"))]))
}
