//! How to call this program again: commands that a person can copy.

use std::path::PathBuf;

use migration::MigrationId;

use crate::deployed;

/// The flags that every verb about one migration takes.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine {
    /// `--migration-id`.
    pub(crate) migration_id: MigrationId,
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--journal-dir`.
    pub(crate) journal_dir: Option<PathBuf>,
}

impl CommandLine {
    /// The command `verb` about the same migration.
    pub(crate) fn command(&self, verb: &str) -> String {
        let mut line = format!("msk-kraft {verb} --migration-id {}", self.migration_id);
        line.push_str(&in_deployment());
        for (flag, path) in [("--config", &self.config), ("--journal-dir", &self.journal_dir)] {
            if let Some(path) = path {
                line.push_str(&format!(" {flag} {}", quoted(&path.to_string_lossy())));
            }
        }
        line
    }

    /// The command that decides `gate`, which takes neither configuration nor folder.
    pub(crate) fn ack(&self, gate: &str) -> String {
        format!("msk-kraft ack {gate} --migration-id {}{}", self.migration_id, in_deployment())
    }
}

/// The flag that says which deployment, when it was given.
fn in_deployment() -> String {
    deployed::named().map(|name| format!(" --deployment {}", quoted(name))).unwrap_or_default()
}

/// `text` as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let mut line = CommandLine { migration_id: "m1".parse().unwrap(), config: None, journal_dir: None };
        assert_eq!(line.command("resume"), "msk-kraft resume --migration-id m1");
        line.config = Some("it's mine/m.yaml".into());
        line.journal_dir = Some("./journal".into());
        assert_eq!(
            line.command("cutover"),
            r"msk-kraft cutover --migration-id m1 --config 'it'\''s mine/m.yaml' --journal-dir ./journal"
        );
        assert_eq!(line.ack("freeze"), "msk-kraft ack freeze --migration-id m1");
    }
}
