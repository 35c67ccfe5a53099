//! What every document has in common.

use bytes::Bytes;
use migration::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

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
    let json = serde_json::to_vec(document).map_err(|error| unusable(&error.to_string()))?;
    let fields = json.strip_prefix(b"{").ok_or_else(|| unusable("it is no JSON object"))?;
    let comma = if fields == b"}" { "" } else { "," };
    let version = format!("{{\"{SCHEMA}\":{}{comma}", D::VERSION);
    Ok([version.as_bytes(), fields].concat().into())
}

/// What of a document is read first.
#[derive(Deserialize)]
struct Version {
    schema: Option<u64>,
}

/// Reads [`encode`]'s form. A type with some of a document's fields reads those alone, and needs no memory for the rest.
///
/// # Errors
/// Invalid for a newer version, Internal for what cannot be read.
pub fn decode<D: Document>(bytes: &[u8]) -> Result<D> {
    let unusable = |error| Error::internal(format_args!("{} cannot be read: {error}", D::NAME));
    let Version { schema } = serde_json::from_slice(bytes).map_err(unusable)?;
    // Documents from before there were versions count as the first.
    if let Some(newer) = schema.filter(|version| *version > u64::from(D::VERSION)) {
        return Err(Error::invalid(format_args!(
            "{} was written by a newer version of msk-kraft (schema {newer}, this one knows {}): go on with that version",
            D::NAME,
            D::VERSION
        )));
    }
    serde_json::from_slice(bytes).map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::ErrorKind;
    use serde_json::Value;

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

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing {}

    impl Document for Nothing {
        const NAME: &'static str = "nothing";
        const VERSION: u32 = 1;
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct List(Vec<u8>);

    impl Document for List {
        const NAME: &'static str = "the list";
        const VERSION: u32 = 1;
    }

    #[test]
    fn a_document_is_an_object_with_fields_or_without() {
        assert_eq!(&encode(&Nothing {}).unwrap()[..], br#"{"schema":1}"#);
        assert_eq!(decode::<Nothing>(&encode(&Nothing {}).unwrap()).unwrap(), Nothing {});
        assert_eq!(encode(&List(vec![1])).unwrap_err().message, "the list cannot be stored: it is no JSON object");
        assert_eq!(
            decode::<Nothing>(&encode(&Note { text: "x".to_owned() }).unwrap()).unwrap_err().kind,
            ErrorKind::Invalid
        );
    }
}
