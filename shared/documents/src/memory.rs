//! A bucket in memory, for tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use migration::Result;

use crate::{Object, Objects, PutOnce};

/// Objects by name, without user metadata.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Bytes>>);

impl Memory {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of `name`, if it is there.
    pub fn content(&self, name: &str) -> Option<Bytes> {
        self.objects().get(name).cloned()
    }
}

impl Objects for Memory {
    async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        self.objects().insert(name.to_owned(), body);
        Ok(())
    }

    async fn put_new(&self, name: &str, body: Bytes) -> Result<PutOnce> {
        let mut objects = self.objects();
        if objects.contains_key(name) {
            return Ok(PutOnce::Taken);
        }
        objects.insert(name.to_owned(), body);
        Ok(PutOnce::Stored)
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        Ok(self.content(name).map(|body| Object { body, metadata: HashMap::new() }))
    }

    fn url(&self, name: &str) -> String {
        format!("memory://{name}")
    }
}
