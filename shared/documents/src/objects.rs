//! The bucket of a migration, as far as documents and offset runs need it.

use std::collections::HashMap;

use bytes::Bytes;
use migration::Result;

/// An object's content and user metadata.
#[derive(Debug, Clone)]
pub struct Object {
    /// The content.
    pub body: Bytes,
    /// User metadata.
    pub metadata: HashMap<String, String>,
}

/// What became of an object that was to be stored under a name that can be taken once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOnce {
    /// The object is ours.
    Stored,
    /// The key was taken; the object there is unchanged.
    Taken,
}

/// Objects of one migration by name. Errors are Transient when the call is worth repeating, Blocked when S3 refuses it.
pub trait Objects: Sync {
    /// Stores an object, whatever was there.
    fn put(&self, name: &str, body: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Stores an object unless its name is taken, decided in one step. A repeat of a call whose answer was lost finds the
    /// name taken by itself.
    fn put_new(&self, name: &str, body: Bytes) -> impl Future<Output = Result<PutOnce>> + Send;

    /// Reads an object, if it is there.
    fn get(&self, name: &str) -> impl Future<Output = Result<Option<Object>>> + Send;

    /// The address of `name`, for people.
    fn url(&self, name: &str) -> String;
}
