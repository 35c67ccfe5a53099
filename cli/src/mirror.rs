//! A copy of the journal on this machine, `<dir>/<id>/journal.jsonl`.
//!
//! The journal is in DynamoDB; the copy is for reading with other tools and is never read back.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use journal::Event;
use migration::{Error, MigrationId, Result};

/// The copy of one migration's journal.
#[derive(Debug)]
pub(crate) struct Mirror {
    path: PathBuf,
}

impl Mirror {
    /// The copy of `id` under `dir`; creates nothing yet.
    pub(crate) fn new(dir: &Path, id: &MigrationId) -> Self {
        Self { path: dir.join(id.as_str()).join("journal.jsonl") }
    }

    /// Makes the file hold exactly `events`: what is missing is appended; a file that differs, because it was edited or
    /// a write was cut off, is replaced as a whole.
    ///
    /// # Errors
    /// Blocked when the file or its folder cannot be written.
    pub(crate) fn write(&self, events: &[Event]) -> Result<()> {
        self.try_write(lines(events)?.as_bytes()).map_err(|error| {
            Error::blocked(format_args!("cannot write {}: {error}; check --journal-dir", self.path.display()))
        })
    }

    fn try_write(&self, wanted: &[u8]) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let found = match fs::read(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        match wanted.strip_prefix(found.as_slice()) {
            Some([]) if !found.is_empty() => Ok(()),
            Some(missing) => fs::OpenOptions::new().create(true).append(true).open(&self.path)?.write_all(missing),
            None => self.replace(wanted),
        }
    }

    fn replace(&self, wanted: &[u8]) -> std::io::Result<()> {
        // In the same folder, so that the rename is one step; with the process's number, so that two do not share it.
        let temporary = self.path.with_extension(format!("jsonl.{}", std::process::id()));
        let mut file = fs::File::create(&temporary)?;
        file.write_all(wanted)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)
    }
}

/// The events as lines of JSON, each with its newline.
///
/// # Errors
/// Internal when an event cannot be encoded.
pub(crate) fn lines(events: &[Event]) -> Result<String> {
    let mut text = String::new();
    for event in events {
        let line = serde_json::to_string(event);
        text.push_str(&line.map_err(|error| Error::internal(format_args!("encode an event: {error}")))?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::way;
    use migration::Phase;

    fn mirror() -> (tempfile::TempDir, Mirror, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::new(dir.path(), &"m1".parse().unwrap());
        let path = dir.path().join("m1/journal.jsonl");
        (dir, mirror, path)
    }

    #[test]
    fn missing_lines_are_appended_and_nothing_else_is_touched() {
        let (_dir, mirror, path) = mirror();
        let events = way(Phase::Seed);
        mirror.write(&events[..2]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), lines(&events[..2]).unwrap());
        mirror.write(&events).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), lines(&events).unwrap());
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        mirror.write(&events).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
    }

    #[test]
    fn a_line_that_was_cut_off_is_completed() {
        let (_dir, mirror, path) = mirror();
        let events = way(Phase::Seed);
        mirror.write(&events).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            mirror.write(&events).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_file_that_differs_is_replaced() {
        let (dir, mirror, path) = mirror();
        let events = way(Phase::Seed);
        mirror.write(&events).unwrap();
        for other in ["edited\n".to_owned(), lines(&way(Phase::Tail)).unwrap()] {
            fs::write(&path, other).unwrap();
            mirror.write(&events).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), lines(&events).unwrap());
        }
        assert_eq!(fs::read_dir(dir.path().join("m1")).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("m1"), "a file").unwrap();
        let error = Mirror::new(dir.path(), &"m1".parse().unwrap()).write(&way(Phase::Seed)).unwrap_err();
        assert!(error.message.contains("--journal-dir"), "{error}");
    }
}
