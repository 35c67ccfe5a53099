//! A bucket in memory, for unit tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use bytes::Bytes;
use documents::{Object, Objects, PutOnce};
use migration::Result;

/// Objects by name.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, Bytes>>);

impl Objects for Memory {
    async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        self.0.lock().unwrap().insert(name.to_owned(), body);
        Ok(())
    }

    async fn put_new(&self, name: &str, body: Bytes) -> Result<PutOnce> {
        let mut objects = self.0.lock().unwrap();
        if objects.contains_key(name) {
            return Ok(PutOnce::Taken);
        }
        objects.insert(name.to_owned(), body);
        Ok(PutOnce::Stored)
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        let body = self.0.lock().unwrap().get(name).cloned();
        Ok(body.map(|body| Object { body, metadata: HashMap::new() }))
    }

    fn url(&self, name: &str) -> String {
        format!("memory://{name}")
    }
}
