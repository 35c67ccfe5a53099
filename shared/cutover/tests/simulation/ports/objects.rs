//! The bucket as a cutover function sees it.

use bytes::Bytes;
use documents::{Object, Objects, PutOnce};
use migration::Result;

use crate::request::{Invocation, To};
use crate::world::World;

impl Objects for Invocation {
    async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        let name = name.to_owned();
        self.aws(To::Bucket, "put", move |world| world.bucket.put(&name, body.clone())).await
    }

    async fn put_new(&self, name: &str, body: Bytes) -> Result<PutOnce> {
        let (number, name) = (self.number, name.to_owned());
        let put = move |world: &mut World| {
            let put = world.bucket.put_new(&name, body.clone());
            if put == PutOnce::Stored {
                world.witness.stores(number, &name);
            } else {
                world.saw("plan taken");
            }
            put
        };
        self.aws(To::Bucket, "put new", put).await
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        let name = name.to_owned();
        let get = move |world: &mut World| {
            let found = world.bucket.get(&name);
            if found.is_some() && name.contains("/commits/") {
                world.saw("chunk skipped on repeat");
            }
            found
        };
        self.aws(To::Bucket, "get", get).await
    }

    fn url(&self, name: &str) -> String {
        format!("s3://bucket/{name}")
    }
}
