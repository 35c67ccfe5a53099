//! A file that is there as a whole or not at all.

use std::fs::{self, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use migration::{Error, Result};
use tempfile::NamedTempFile;

/// A file under way. Until [`WholeFile::finish`] it has another name, and without it it goes away again.
#[derive(Debug)]
pub(super) struct WholeFile {
    path: PathBuf,
    force: bool,
    file: BufWriter<NamedTempFile>,
}

impl WholeFile {
    /// Refuses a file that is there, unless `force`.
    ///
    /// # Errors
    /// Invalid, with the way out.
    pub(super) fn check(path: &Path, force: bool) -> Result<()> {
        if !force && path.exists() {
            return Err(exists(path));
        }
        Ok(())
    }

    /// Begins the file `path`, and its folder where that is missing.
    ///
    /// # Errors
    /// Blocked when it cannot be written.
    pub(super) fn create(path: PathBuf, force: bool) -> Result<Self> {
        let begin = || {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            // What the umask leaves, as for any other file; in the same folder, so that the rename is one step.
            let mut builder = tempfile::Builder::new();
            builder.prefix(".msk-kraft-").permissions(Permissions::from_mode(0o666)).tempfile_in(folder)
        };
        let file = begin().map_err(|error| cannot(&path, &error))?;
        Ok(Self { path, force, file: BufWriter::with_capacity(1 << 16, file) })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// Invalid when somebody else wrote it meanwhile; Blocked when it cannot be written.
    pub(super) fn finish(self) -> Result<PathBuf> {
        let Self { path, force, file } = self;
        let file = file.into_inner().map_err(|error| cannot(&path, error.error()))?;
        file.as_file().sync_all().map_err(|error| cannot(&path, &error))?;
        let named = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
        match named {
            Ok(_) => Ok(path),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists(&path)),
            Err(error) => Err(cannot(&path, &error.error)),
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn exists(path: &Path) -> Error {
    Error::invalid(format_args!("{} exists: name another --out-dir, or add --force", path.display()))
}

fn cannot(path: &Path, error: &std::io::Error) -> Error {
    Error::blocked(format_args!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/a.csv");
        let mut file = WholeFile::create(path.clone(), false).unwrap();
        file.write_all(b"text").unwrap();
        assert!(!path.exists());
        assert_eq!(file.finish().unwrap(), path);
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        let plain = dir.path().join("plain");
        fs::write(&plain, "").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain), "readable for whoever may read other files");
    }

    #[test]
    fn nothing_is_left_of_a_file_that_was_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = WholeFile::create(dir.path().join("a.csv"), false).unwrap();
        file.write_all(&[b'x'; 100_000]).unwrap();
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_by_force_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let begun = WholeFile::create(path.clone(), false).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        assert!(WholeFile::check(&path, false).unwrap_err().message.contains("--force"));
        assert!(begun.finish().unwrap_err().message.contains("--force"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
        WholeFile::create(path.clone(), true).unwrap().finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
