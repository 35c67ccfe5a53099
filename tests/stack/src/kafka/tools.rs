//! Kafka's own command line tools, found by their simple names.
//!
//! Main classes moved from `kafka.admin` and `kafka.tools` to `org.apache.kafka.tools` over several releases, so the
//! jars are asked where a class is.

use std::{path::Path, time::Duration};

use anyhow::Context;
use tokio::process::Command;

/// What a tool printed.
#[derive(Debug, Clone)]
pub struct ToolOutput {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The full name of the main class whose simple name is that of `tool`, in the jars of `lib`.
///
/// `tool` may be a simple name (`TopicCommand`) or a full one of any version (`kafka.admin.TopicCommand`).
///
/// # Errors
/// When no jar holds such a class.
pub fn main_class(lib: &Path, tool: &str) -> anyhow::Result<String> {
    let simple = tool.rsplit('.').next().unwrap_or(tool);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(lib).with_context(|| format!("reading {}", lib.display()))? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("kafka") || name.starts_with("zookeeper-3") {
            found.extend(classes_called(&std::fs::read(&path)?, simple));
        }
    }
    // The newest package first; where both exist the old one only forwards.
    found.sort_by_key(|class| !class.starts_with("org.apache.kafka.tools"));
    found.into_iter().next().with_context(|| format!("no class called {simple} in {}", lib.display()))
}

/// File names in a zip archive are stored as they are, so a search through the bytes finds them.
fn classes_called(jar: &[u8], simple: &str) -> Option<String> {
    let wanted = format!("/{simple}.class");
    let wanted = wanted.as_bytes();
    let at = jar.windows(wanted.len()).position(|window| window == wanted)?;
    let is_path = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'/' || *byte == b'_';
    let start = jar[..at].iter().rposition(|byte| !is_path(byte)).map_or(0, |before| before + 1);
    let path = std::str::from_utf8(&jar[start..at]).ok()?;
    // Central directory entries put bytes before the name that may look like a letter: packages begin with these.
    let from = ["org/apache/", "kafka/"].iter().filter_map(|root| path.find(root)).min()?;
    Some(format!("{}.{simple}", path[from..].replace('/', ".")))
}

/// Runs a tool to its end.
///
/// # Errors
/// When it cannot start, fails, or runs longer than `limit`; then with what it printed.
pub(crate) async fn run(mut command: Command, tool: &str, limit: Duration) -> anyhow::Result<ToolOutput> {
    let output = tokio::time::timeout(limit, command.kill_on_drop(true).output())
        .await
        .with_context(|| format!("{tool} did not end within {limit:?}"))?
        .with_context(|| format!("starting {tool}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(output.status.success(), "{tool} failed ({}):\n{stdout}{stderr}", output.status);
    Ok(ToolOutput { stdout, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_found_by_its_simple_name() {
        let jar = b"PK\x01\x02rubbish\x00\x00org/apache/kafka/tools/TopicCommand.class more";
        assert_eq!(classes_called(jar, "TopicCommand").unwrap(), "org.apache.kafka.tools.TopicCommand");
        assert_eq!(
            classes_called(b"\x07kafka/admin/AclCommand.class", "AclCommand").unwrap(),
            "kafka.admin.AclCommand"
        );
        assert!(classes_called(jar, "Command").is_none());
    }
}
