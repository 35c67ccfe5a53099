//! Ports of a stack: free ones, remembered by name so that a kept stack advertises the same addresses again.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    net::TcpListener,
    path::Path,
};

use anyhow::Context;

/// Ports are taken below the range the kernel gives to outgoing connections, which could otherwise grab one between
/// its choice and its use.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// Ports by the name of what listens there.
#[derive(Debug, Default, Clone)]
pub struct Ports {
    by_name: BTreeMap<String, u16>,
}

impl Ports {
    /// Reads the ports of an earlier start; none when there was no earlier start.
    ///
    /// # Errors
    /// When the file is there and cannot be read or is damaged.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(other) => return Err(other).with_context(|| format!("reading {}", path.display())),
        };
        let by_name = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Self { by_name })
    }

    /// Writes the ports for a later start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&self.by_name)?;
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// The port called `name`: the remembered one, else a free one.
    ///
    /// # Errors
    /// When the remembered port is taken by another program, or no port is free.
    pub fn get(&mut self, name: &str) -> anyhow::Result<u16> {
        if let Some(&port) = self.by_name.get(name) {
            anyhow::ensure!(
                is_free(port),
                "port {port} of {name}, kept from the last start, is in use by something else"
            );
            return Ok(port);
        }
        let port = self.free().with_context(|| format!("no free port for {name}"))?;
        self.by_name.insert(name.to_owned(), port);
        Ok(port)
    }

    fn free(&self) -> Option<u16> {
        let span = RANGE.end - RANGE.start;
        // RandomState is the standard library's only source of randomness, and enough to keep two stacks apart.
        let start = (RandomState::new().build_hasher().finish() % u64::from(span)) as u16;
        (0..span)
            .map(|step| RANGE.start + (start + step) % span)
            .find(|port| !self.by_name.values().any(|taken| taken == port) && is_free(*port))
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_ports_and_never_share_one() {
        let mut ports = Ports::default();
        let first = ports.get("a").unwrap();
        let second = ports.get("b").unwrap();
        assert_ne!(first, second);
        assert_eq!(ports.get("a").unwrap(), first);
    }

    #[test]
    fn ports_survive_a_restart() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut ports = Ports::default();
        let port = ports.get("a").unwrap();
        ports.save(file.path()).unwrap();
        assert_eq!(Ports::load(file.path()).unwrap().get("a").unwrap(), port);
    }

    #[test]
    fn a_remembered_port_in_use_is_reported() {
        let mut ports = Ports::default();
        let port = ports.get("a").unwrap();
        let _holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert!(ports.get("a").unwrap_err().to_string().contains("in use"));
    }
}
