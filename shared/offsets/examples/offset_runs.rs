//! What a partition costs in which every record is a run of its own, as one transaction for each record makes it:
//! `cargo run --release -p offsets --example offset_runs -- [runs] [runs appended at a time]`.

#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use documents::{Object, Objects, PutOnce};
use migration::progress::PartitionProgress;
use migration::{Result, TopicPartition};
use offsets::OffsetRuns;
use offsets::store::{OffsetMap, append, load};

/// Objects in memory, and what was asked of them.
#[derive(Debug, Default)]
struct Memory {
    objects: Mutex<HashMap<String, Bytes>>,
    /// Puts, bytes of them, gets, bytes of them, largest object.
    traffic: Mutex<[usize; 5]>,
}

impl Memory {
    fn count(&self, at: usize, bytes: usize) {
        let mut traffic = self.traffic.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        traffic[at] += 1;
        traffic[at + 1] += bytes;
        traffic[4] = traffic[4].max(bytes);
    }

    fn objects(&self) -> std::sync::MutexGuard<'_, HashMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Objects for Memory {
    async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        self.count(0, body.len());
        self.objects().insert(name.to_owned(), body);
        Ok(())
    }

    async fn put_new(&self, name: &str, body: Bytes) -> Result<PutOnce> {
        let taken = self.objects().contains_key(name);
        if taken {
            return Ok(PutOnce::Taken);
        }
        self.put(name, body).await.map(|()| PutOnce::Stored)
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        let body = self.objects().get(name).cloned();
        self.count(2, body.as_ref().map_or(0, Bytes::len));
        Ok(body.map(|body| Object { body, metadata: HashMap::new() }))
    }

    fn url(&self, name: &str) -> String {
        name.to_owned()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let argument = |at: usize, default| std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (runs, piece): (i64, i64) = (argument(1, 5_000_000), argument(2, 50));
    let store = Memory::default();
    let mut progress = PartitionProgress::new(TopicPartition::new("orders", 0), 0, 0);
    let begun = Instant::now();
    while progress.target_next < runs {
        let mut new = OffsetRuns::starting_at(progress.target_next);
        (progress.target_next..progress.target_next + piece).try_for_each(|record| new.push(record * 2, 1))?;
        append(&store, &mut progress, &new, 1).await?;
        progress.target_next += piece;
    }
    let [puts, written, gets, read, largest] = *store.traffic.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!("append  {runs} runs, {piece} at a time: {:.2?}", begun.elapsed());
    println!("        {puts} puts of {written} bytes, {gets} gets of {read} bytes, largest object {largest} bytes");
    let begun = Instant::now();
    let all = load(&store, &progress).await?;
    let in_memory = all.len() * size_of::<offsets::OffsetRun>();
    println!("load    {} runs: {:.2?}, {in_memory} bytes in memory", all.len(), begun.elapsed());
    let begun = Instant::now();
    let mut map = OffsetMap::open(&store, &progress).await?;
    let (target, place) = map.find(runs).await?;
    println!("lookup  source offset {runs} is target offset {target} ({place:?}): {:.2?}", begun.elapsed());
    println!("        {} sealed parts, {} bytes of open runs in the journal", map.parts(), progress.runs_open.len());
    Ok(())
}
