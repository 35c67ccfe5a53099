//! What IAM decided and what executions invoked, as `python/recorded_ministack` writes it down.

use std::{
    io::{BufRead, BufReader, Seek, SeekFrom},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, de::DeserializeOwned};

/// One decision about one action of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Decision {
    /// The principal's ARN, `arn:aws:sts::123456789012:assumed-role/ROLE/SESSION`.
    who: String,
    /// The action, `s3:PutObject` for example.
    pub action: String,
    /// What it was about.
    pub resource: String,
    /// Whether it was allowed.
    pub allowed: bool,
}

impl Decision {
    /// The role's name.
    pub fn role(&self) -> &str {
        self.who.split('/').nth(1).unwrap_or(&self.who)
    }
}

/// A function that an execution of the state machine invoked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Invocation {
    /// The execution's name; also for the children of its maps.
    pub execution: String,
    /// The function's name.
    pub function: String,
    /// The number of its version.
    pub version: String,
}

/// A record, a line for each entry.
#[derive(Debug, Clone)]
pub struct Record<T> {
    file: PathBuf,
    entries: PhantomData<T>,
}

impl<T: DeserializeOwned> Record<T> {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), entries: PhantomData }
    }

    /// Where the record ends now, for [`Record::since`].
    ///
    /// # Errors
    /// When there is none.
    pub fn mark(&self) -> anyhow::Result<u64> {
        Ok(std::fs::metadata(&self.file).with_context(|| format!("no record {}", self.file.display()))?.len())
    }

    /// The entries behind `mark`, in their order.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn since(&self, mark: u64) -> anyhow::Result<Vec<T>> {
        let mut file = std::fs::File::open(&self.file).with_context(|| format!("no record {}", self.file.display()))?;
        file.seek(SeekFrom::Start(mark))?;
        let mut entries = Vec::new();
        for line in BufReader::new(file).lines() {
            entries.push(serde_json::from_str(&line?).with_context(|| format!("{} is damaged", self.file.display()))?);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_behind_the_mark_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("decisions.jsonl");
        let line = |action: &str| {
            let who = "arn:aws:sts::123456789012:assumed-role/local-gate/session";
            format!(r#"{{"at": 1.5, "who": "{who}", "action": "{action}", "resource": "*", "allowed": false}}"#) + "\n"
        };
        std::fs::write(&file, line("s3:GetObject")).unwrap();
        let decisions = Record::<Decision>::new(&file);
        let mark = decisions.mark().unwrap();
        std::fs::write(&file, line("s3:GetObject") + &line("s3:PutObject")).unwrap();
        let found = decisions.since(mark).unwrap();
        assert_eq!((found.len(), found[0].role(), found[0].action.as_str()), (1, "local-gate", "s3:PutObject"));
        assert_eq!(decisions.since(0).unwrap().len(), 2);
    }
}
