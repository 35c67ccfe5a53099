//! The bucket, without the way to it.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use documents::{Object, PutOnce};

/// Objects by name.
#[derive(Debug, Default)]
pub(crate) struct Bucket(pub(crate) BTreeMap<String, Bytes>);

impl Bucket {
    pub(crate) fn put(&mut self, name: &str, body: Bytes) {
        self.0.insert(name.to_owned(), body);
    }

    pub(crate) fn put_new(&mut self, name: &str, body: Bytes) -> PutOnce {
        if self.0.contains_key(name) {
            return PutOnce::Taken;
        }
        self.put(name, body);
        PutOnce::Stored
    }

    pub(crate) fn get(&self, name: &str) -> Option<Object> {
        self.0.get(name).map(|body| Object { body: body.clone(), metadata: HashMap::new() })
    }
}
