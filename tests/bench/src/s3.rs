//! A stand-in for S3 that costs as little as possible, so that what is measured is the copy: objects in memory, no
//! signature looked at, no digest computed. It knows the calls that the functions make (conditional PUT, GET, ListObjectsV2
//! with `start-after`, HeadBucket) and counts them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::TryStreamExt;
use serde::Deserialize;
use tokio::net::TcpListener;

/// Where a GET tells how many requests there were, and a DELETE makes everything as new; no bucket may be called so.
pub(crate) const CONTROL_PATH: &str = "/-/requests";

/// Environment in which this keeps the memory of objects that are gone, in huge pages (`GLIBC_TUNABLES`, glibc 2.35). New
/// memory would cost more than all the rest of it: the system clears each page, and a virtual machine's host has to find it.
pub(crate) const MEMORY: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1",
);

/// Bytes that the stand-in takes from the system before anything is measured, and at once: more than the largest data set.
const TAKEN_BYTES: usize = 5 << 28;
const TAKEN_AT_ONCE: usize = 1 << 18;

/// Most keys in one answer of ListObjectsV2.
const PAGE: usize = 1000;

/// What a request needs.
#[derive(Debug, Clone, Default)]
struct Objects(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// By `<bucket>/<key>`.
    objects: BTreeMap<String, Object>,
    requests: BTreeMap<&'static str, u64>,
}

/// An object: its content in the pieces in which it came.
#[derive(Debug, Clone)]
struct Object {
    content: Vec<Bytes>,
    metadata: HeaderMap,
}

impl Objects {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, operation: &'static str) {
        *self.lock().requests.entry(operation).or_default() += 1;
    }
}

/// Serves on `port` of this machine until the process is ended.
///
/// # Errors
/// When the port is taken.
pub(crate) async fn serve(port: u16) -> anyhow::Result<()> {
    take_memory();
    Ok(axum::serve(TcpListener::bind(("127.0.0.1", port)).await?, router()).await?)
}

/// Takes memory from the system, which [`MEMORY`] keeps when it is freed here.
fn take_memory() {
    let blocks: Vec<_> = (0..TAKEN_BYTES / TAKEN_AT_ONCE).map(|_| vec![1_u8; TAKEN_AT_ONCE]).collect();
    drop(std::hint::black_box(blocks));
}

fn router() -> Router {
    Router::new()
        .route(CONTROL_PATH, get(counts).delete(clear))
        .route("/{bucket}", get(list).head(head))
        .route("/{bucket}/", get(list).head(head))
        .route("/{bucket}/{*key}", get(read).put(store))
        .with_state(Objects::default())
}

async fn counts(State(objects): State<Objects>) -> Response {
    axum::Json(objects.lock().requests.clone()).into_response()
}

async fn clear(State(objects): State<Objects>) {
    *objects.lock() = Inner::default();
}

async fn head(State(objects): State<Objects>) {
    objects.count("HeadBucket");
}

async fn store(
    State(objects): State<Objects>,
    Path((bucket, key)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    objects.count("PutObject");
    if headers.contains_key("x-amz-decoded-content-length") {
        return refused(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
    }
    let Ok(content) = body.into_data_stream().try_collect().await else {
        return refused(StatusCode::BAD_REQUEST, "IncompleteBody");
    };
    let once = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "*");
    let mut inner = objects.lock();
    let name = format!("{bucket}/{key}");
    if once && inner.objects.contains_key(&name) {
        return refused(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    }
    inner.objects.insert(name, Object { content, metadata: metadata(&headers) });
    ([(header::ETAG, "\"0\"")], "").into_response()
}

/// The headers that come back with the object.
fn metadata(headers: &HeaderMap) -> HeaderMap {
    let kept = |name: &HeaderName| name.as_str().starts_with("x-amz-meta-") || name == header::CONTENT_TYPE;
    let entry = |(name, value): (&HeaderName, &HeaderValue)| (name.clone(), value.clone());
    headers.iter().filter(|(name, _)| kept(name)).map(entry).collect()
}

async fn read(State(objects): State<Objects>, Path((bucket, key)): Path<(String, String)>) -> Response {
    objects.count("GetObject");
    let object = objects.lock().objects.get(&format!("{bucket}/{key}")).cloned();
    let Some(Object { content, metadata }) = object else { return refused(StatusCode::NOT_FOUND, "NoSuchKey") };
    let length: usize = content.iter().map(Bytes::len).sum();
    let pieces = futures::stream::iter(content.into_iter().map(Ok::<_, std::convert::Infallible>));
    (metadata, [(header::CONTENT_LENGTH, length.to_string())], Body::from_stream(pieces)).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Listing {
    #[serde(default)]
    prefix: String,
    start_after: Option<String>,
    continuation_token: Option<String>,
}

async fn list(State(objects): State<Objects>, Path(bucket): Path<String>, Query(listing): Query<Listing>) -> Response {
    objects.count("ListObjectsV2");
    let prefix = format!("{bucket}/{}", listing.prefix);
    // A token is the last key of the page before.
    let after = listing.continuation_token.or(listing.start_after).map(|key| format!("{bucket}/{key}"));
    let inner = objects.lock();
    let from = after.clone().unwrap_or_default().max(prefix.clone());
    let names = inner.objects.range(from..).map(|(name, _)| name).take_while(|name| name.starts_with(&prefix));
    let mut keys: Vec<&str> = names
        .filter(|name| after.as_ref().is_none_or(|after| *name > after))
        .filter_map(|name| name.strip_prefix(&bucket)?.strip_prefix('/'))
        .take(PAGE + 1)
        .collect();
    let more = keys.len() > PAGE;
    keys.truncate(PAGE);
    let next = keys.last().filter(|_| more).map(|key| format!("<NextContinuationToken>{key}</NextContinuationToken>"));
    let contents: String = keys.iter().map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
    let xml = format!(
        "<ListBucketResult><IsTruncated>{more}</IsTruncated>{}{contents}</ListBucketResult>",
        next.unwrap_or_default()
    );
    ([(header::CONTENT_TYPE, "application/xml")], xml).into_response()
}

fn refused(status: StatusCode, code: &str) -> Response {
    let xml = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    (status, [(header::CONTENT_TYPE, "application/xml")], xml).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use documents::PutOnce;
    use runtime::Store;

    use super::*;

    /// A store as the functions have it, on a stand-in of its own.
    async fn store() -> Store {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router()).await });
        Store::new(stack::s3(&endpoint), "bucket", "prefix/")
    }

    #[tokio::test]
    async fn a_key_is_taken_once_and_read_with_its_metadata() {
        let store = store().await;
        let metadata = HashMap::from([("index".to_owned(), "{\"a\":1}".to_owned())]);
        let body = Bytes::from(vec![7; 3_000_000]);
        let first = store.put_once("a/1.log", body.clone().into(), metadata.clone()).await.unwrap();
        let second = store.put_once("a/1.log", Bytes::new().into(), HashMap::new()).await.unwrap();
        assert_eq!((first, second), (PutOnce::Stored, PutOnce::Taken));
        let object = store.get("a/1.log").await.unwrap().unwrap();
        assert_eq!((object.body, object.metadata), (body, metadata));
        assert!(store.get("a/2.log").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_listing_goes_on_behind_a_key_and_over_pages() {
        let store = store().await;
        for number in 0..PAGE + 5 {
            store.put(&format!("a/{number:05}"), Bytes::new()).await.unwrap();
        }
        store.put("b/0", Bytes::new()).await.unwrap();
        assert_eq!(store.list("a/", None).await.unwrap().len(), PAGE + 5);
        let behind = store.list("a/", Some("a/01002")).await.unwrap();
        assert_eq!(behind, ["a/01003", "a/01004"]);
    }
}
