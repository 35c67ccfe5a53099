//! Keys of one share of all, by hash.

use std::collections::HashMap;

use kafka::batch::RecordView;
use sha2::{Digest, Sha256};

/// The first bytes of a key's SHA-256.
type Hash = [u8; 16];

/// The keys that live on the target, of the share `part` of `of`: with the target offset of each one's newest record.
#[derive(Debug)]
pub(super) struct Share {
    part: u64,
    of: u64,
    live: HashMap<Hash, i64>,
}

impl Share {
    /// No key yet.
    pub(super) fn new(part: u64, of: u64) -> Self {
        Self { part, of, live: HashMap::new() }
    }

    /// Takes the next record of the target: a value lets its key live, a tombstone ends it.
    pub(super) fn on_target(&mut self, record: &RecordView<'_>) {
        let Some(hash) = self.hash(record) else { return };
        match record.value {
            Some(_) => self.live.insert(hash, record.offset),
            None => self.live.remove(&hash),
        };
    }

    /// Takes a record of the source, or one that came to the target later: its key is accounted for.
    pub(super) fn elsewhere(&mut self, record: &RecordView<'_>) {
        if let Some(hash) = self.hash(record) {
            self.live.remove(&hash);
        }
    }

    /// Keys held.
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Target offsets of the keys that are left.
    pub(super) fn into_offsets(self) -> Vec<i64> {
        self.live.into_values().collect()
    }

    /// The hash of a record's key, when it is one of this share.
    fn hash(&self, record: &RecordView<'_>) -> Option<Hash> {
        let digest: [u8; 32] = Sha256::digest(record.key?).into();
        let first: &[u8; 8] = digest.first_chunk()?;
        let hash: &Hash = digest.first_chunk()?;
        (u64::from_be_bytes(*first) % self.of == self.part).then_some(*hash)
    }
}
