//! The objects of a migration in one bucket under one prefix.

use std::collections::HashMap;
use std::time::SystemTime;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{Delete, ObjectIdentifier, ObjectLockMode};
use bytes::Bytes;
use documents::{Object, Objects, PutOnce};
use migration::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::sdk_error;
use crate::content::Content;

/// Objects in one [`Store::delete`] (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>).
pub const DELETED_AT_ONCE: usize = 1000;

/// A bucket and the prefix under which everything of one migration lies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    client: aws_sdk_s3::Client,
    bucket: String,
    prefix: String,
}

impl Store {
    /// Objects under `prefix` of `bucket`.
    pub fn new(client: aws_sdk_s3::Client, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into(), prefix: prefix.into() }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The whole key of `name`.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The `s3://` address of `name`.
    pub fn url(&self, name: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(name))
    }

    /// Stores `body` under `name`, whatever was there.
    ///
    /// # Errors
    /// See [`sdk_error`]; this holds for every call of the store.
    pub async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        let request = self.client.put_object().bucket(&self.bucket).key(self.key(name)).body(ByteStream::from(body));
        request.send().await.map_err(|error| sdk_error(&format!("store {}", self.url(name)), &error))?;
        Ok(())
    }

    /// Stores `body` under `name` so that nobody, the account's owner included, can delete or change it before `until`
    /// (S3 Object Lock in compliance mode,
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>). An object that is there stays as an
    /// older version.
    ///
    /// # Errors
    /// See [`Store::put`]; Blocked, with the way out, when the bucket has no Object Lock.
    pub async fn put_locked(&self, name: &str, body: Bytes, until: SystemTime) -> Result<()> {
        let request = self.client.put_object().bucket(&self.bucket).key(self.key(name)).body(ByteStream::from(body));
        let request =
            request.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(DateTime::from(until));
        let Err(error) = request.send().await else { return Ok(()) };
        // What S3 says of a bucket without Object Lock.
        let cannot_lock = error.code() == Some("InvalidRequest");
        let mut error = sdk_error(&format!("store {} with Object Lock", self.url(name)), &error);
        if cannot_lock {
            error.message.push_str(&format!(
                "; switch Object Lock on for {}, name a bucket that has it, or remove evidence.retention",
                self.bucket
            ));
        }
        Err(error)
    }

    /// Stores `content` and `metadata` under `name` unless the key is taken, decided by S3 in one step
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>). A repeat of a request whose
    /// answer was lost finds the key taken by itself.
    ///
    /// # Errors
    /// See [`Store::put`].
    pub async fn put_once(&self, name: &str, content: Content, metadata: HashMap<String, String>) -> Result<PutOnce> {
        let size = i64::try_from(content.size()).unwrap_or(i64::MAX);
        let request = self.client.put_object().bucket(&self.bucket).key(self.key(name)).if_none_match("*");
        let request = request.set_metadata(Some(metadata)).checksum_crc32_c(content.checksum());
        let request = request.content_length(size).body(content.into_stream());
        // TLS and the checksum protect the body; to sign it as well would hash every byte once more
        // (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>, unsigned payload).
        match request.customize().disable_payload_signing().send().await {
            Ok(_) => Ok(PutOnce::Stored),
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 412) => Ok(PutOnce::Taken),
            // 409: another conditional write of the key is under way and may still fail.
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 409) => {
                Err(Error::transient(format_args!("{} is being written by another invocation", self.url(name))))
            }
            Err(error) => Err(sdk_error(&format!("store {}", self.url(name)), &error)),
        }
    }

    /// The object `name`, if there is one.
    ///
    /// # Errors
    /// See [`Store::put`].
    pub async fn get(&self, name: &str) -> Result<Option<Object>> {
        let what = || format!("read {}", self.url(name));
        match self.client.get_object().bucket(&self.bucket).key(self.key(name)).send().await {
            Ok(output) => {
                let metadata = output.metadata.unwrap_or_default();
                let body = output.body.collect().await;
                let body = body.map_err(|error| Error::transient(format_args!("{}: {error}", what())))?.into_bytes();
                Ok(Some(Object { body, metadata }))
            }
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => Ok(None),
            Err(error) => Err(sdk_error(&what(), &error)),
        }
    }

    /// Names under `prefix` (relative to the store's) in key order, from after `start_after` when given.
    ///
    /// # Errors
    /// See [`Store::put`].
    pub async fn list(&self, prefix: &str, start_after: Option<&str>) -> Result<Vec<String>> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(prefix));
        let mut pages = request.set_start_after(start_after.map(|name| self.key(name))).into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| sdk_error(&format!("list {}", self.url(prefix)), &error))?;
            let keys = page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
            names.extend(keys.filter_map(|key| key.strip_prefix(&self.prefix).map(str::to_owned)));
        }
        Ok(names)
    }

    /// The first name under `prefix` in key order, if there is any.
    ///
    /// # Errors
    /// See [`Store::put`].
    pub async fn first(&self, prefix: &str) -> Result<Option<String>> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(prefix)).max_keys(1);
        let page = request.send().await.map_err(|error| sdk_error(&format!("list {}", self.url(prefix)), &error))?;
        let key = page.contents.unwrap_or_default().into_iter().find_map(|object| object.key);
        Ok(key.and_then(|key| key.strip_prefix(&self.prefix).map(str::to_owned)))
    }

    /// Deletes the objects `names`, at most [`DELETED_AT_ONCE`]; those that are deleted already are no error. Where the bucket
    /// keeps versions they stay, behind a delete marker
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html>).
    ///
    /// # Errors
    /// See [`Store::put`]; Blocked, naming an object, when S3 does not delete it.
    pub async fn delete(&self, names: &[String]) -> Result<()> {
        let broken = |error| Error::internal(format_args!("delete below {}: {error}", self.url("")));
        let objects = names.iter().map(|name| ObjectIdentifier::builder().key(self.key(name)).build());
        let objects: std::result::Result<Vec<_>, _> = objects.collect();
        let delete = Delete::builder().set_objects(Some(objects.map_err(broken)?)).quiet(true);
        let request = self.client.delete_objects().bucket(&self.bucket).delete(delete.build().map_err(broken)?);
        let what = format!("delete objects below {}", self.url(""));
        let answer = request.send().await.map_err(|error| sdk_error(&what, &error))?;
        let Some(refused) = answer.errors.unwrap_or_default().into_iter().next() else { return Ok(()) };
        let text = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        let (key, code, message) = (text(refused.key), text(refused.code), text(refused.message));
        let message = format!("{what}: s3://{}/{key}: {code}: {message}", self.bucket);
        // What S3 says of single objects in passing.
        let passes = matches!(code.as_str(), "InternalError" | "SlowDown" | "ServiceUnavailable" | "OperationAborted");
        Err(if passes { Error::transient(message) } else { Error::blocked(message) })
    }

    /// Stores `value` as JSON.
    ///
    /// # Errors
    /// See [`Store::put`].
    pub async fn put_json(&self, name: &str, value: &(impl Serialize + Sync)) -> Result<()> {
        let body =
            serde_json::to_vec(value).map_err(|error| Error::internal(format_args!("encode {name}: {error}")))?;
        self.put(name, body.into()).await
    }

    /// Reads JSON that [`Store::put_json`] stored.
    ///
    /// # Errors
    /// See [`Store::put`]; a missing object is Blocked, one that cannot be read is Internal.
    pub async fn get_json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let object = self.get(name).await?;
        let object =
            object.ok_or_else(|| Error::blocked(format_args!("{} is missing; was it deleted?", self.url(name))))?;
        serde_json::from_slice(&object.body)
            .map_err(|error| Error::internal(format_args!("{} cannot be read: {error}", self.url(name))))
    }
}

impl Objects for Store {
    async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        Self::put(self, name, body).await
    }

    async fn put_new(&self, name: &str, body: Bytes) -> Result<PutOnce> {
        self.put_once(name, body.into(), HashMap::new()).await
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        Self::get(self, name).await
    }

    fn url(&self, name: &str) -> String {
        Self::url(self, name)
    }
}
