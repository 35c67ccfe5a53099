//! What every document has in common.

use bytes::Bytes;
use migration::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::objects::{Objects, PutOnce};

/// The field that holds the schema version.
const SCHEMA: &str = "schema";

/// A document of a migration. It is stored as a JSON object with its schema version in the field `schema`.
pub trait Document: Serialize + DeserializeOwned {
    /// What an error calls it, such as "the rehearsal".
    const NAME: &'static str;
    /// The version that this build writes. It reads this one and every one before it.
    const VERSION: u32;
}

/// Stores `document` under `key`, whatever was there.
///
/// # Errors
/// Those of the bucket.
pub async fn write<D: Document + Sync>(objects: &impl Objects, key: &str, document: &D) -> Result<()> {
    objects.put(key, encode(document)?).await
}

/// Stores `document` under `key` unless there is one already.
///
/// # Errors
/// Those of the bucket.
pub async fn write_new<D: Document + Sync>(objects: &impl Objects, key: &str, document: &D) -> Result<PutOnce> {
    objects.put_new(key, encode(document)?).await
}

/// Reads the document under `key`.
///
/// # Errors
/// Blocked when it is missing, Invalid when a newer version of msk-kraft wrote it, Internal when it cannot be read; otherwise
/// those of the bucket.
pub async fn read<D: Document>(objects: &impl Objects, key: &str) -> Result<D> {
    let document = read_if_there(objects, key).await?;
    document.ok_or_else(|| Error::blocked(format_args!("{} is missing: {} was deleted", D::NAME, objects.url(key))))
}

/// Reads the document under `key`, if there is one.
///
/// # Errors
/// As [`read`].
pub async fn read_if_there<D: Document>(objects: &impl Objects, key: &str) -> Result<Option<D>> {
    let Some(object) = objects.get(key).await? else { return Ok(None) };
    decode(&object.body).map(Some).map_err(|mut error| {
        error.message = format!("{}: {}", objects.url(key), error.message);
        error
    })
}

/// The JSON of `document`, with its version.
///
/// # Errors
/// Internal when it is no JSON object.
pub fn encode<D: Document>(document: &D) -> Result<Bytes> {
    let unusable = |why: &str| Error::internal(format_args!("{} cannot be stored: {why}", D::NAME));
    let mut json = serde_json::to_value(document).map_err(|error| unusable(&error.to_string()))?;
    let fields = json.as_object_mut().ok_or_else(|| unusable("it is no JSON object"))?;
    fields.insert(SCHEMA.to_owned(), D::VERSION.into());
    Ok(serde_json::to_vec(&json).map_err(|error| unusable(&error.to_string()))?.into())
}

/// Reads [`encode`]'s form.
///
/// # Errors
/// Invalid for a newer version, Internal for what cannot be read.
pub fn decode<D: Document>(bytes: &[u8]) -> Result<D> {
    let unusable = |error| Error::internal(format_args!("{} cannot be read: {error}", D::NAME));
    let mut json: Value = serde_json::from_slice(bytes).map_err(unusable)?;
    let version = json.as_object_mut().and_then(|fields| fields.remove(SCHEMA)).and_then(|version| version.as_u64());
    // Documents from before there were versions count as the first.
    if version.unwrap_or(1) > u64::from(D::VERSION) {
        return Err(Error::invalid(format_args!(
            "{} was written by a newer version of msk-kraft (schema {}, this one knows {}): go on with that version",
            D::NAME,
            version.unwrap_or_default(),
            D::VERSION
        )));
    }
    serde_json::from_value(json).map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::ErrorKind;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: String,
    }

    impl Document for Note {
        const NAME: &'static str = "the note";
        const VERSION: u32 = 2;
    }

    #[test]
    fn a_document_says_its_version_and_a_newer_one_is_refused_by_name() {
        let note = Note { text: "x".to_owned() };
        let stored = encode(&note).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&stored).unwrap()["schema"], 2);
        assert_eq!(decode::<Note>(&stored).unwrap(), note);
        assert_eq!(decode::<Note>(br#"{"text": "x"}"#).unwrap(), note, "from before there were versions");
        let error = decode::<Note>(br#"{"schema": 3, "words": []}"#).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.starts_with("the note was written by a newer version"), "{error}");
        assert_eq!(decode::<Note>(b"[]").unwrap_err().kind, ErrorKind::Internal);
    }
}
