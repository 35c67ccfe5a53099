//! A partition of a hundred million runs, of which no more than a part is ever in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use documents::{Object, PutOnce};
use proptest::prelude::*;

use super::super::FULL;
use super::super::sealed::Sealed;
use super::*;

/// Runs of the partition: one for each record, with a hole behind each.
const RUNS: i64 = 100_000_000;
/// Runs of the open stretch.
const OPEN: i64 = 40;

/// A bucket that makes each sealed object when it is asked for, and knows how many of them somebody holds.
#[derive(Debug)]
struct OnDemand {
    parts: Vec<Part>,
    /// Gets by name.
    gets: Mutex<HashMap<String, usize>>,
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Held {
    now: AtomicUsize,
    most: AtomicUsize,
    largest: AtomicUsize,
}

/// The bytes of one object while somebody holds them.
#[derive(Debug)]
struct Body {
    bytes: Vec<u8>,
    held: Arc<Held>,
}

impl Body {
    fn new(bytes: Vec<u8>, held: &Arc<Held>) -> Self {
        let now = held.now.fetch_add(1, Ordering::SeqCst) + 1;
        held.most.fetch_max(now, Ordering::SeqCst);
        held.largest.fetch_max(bytes.len(), Ordering::SeqCst);
        Self { bytes, held: held.clone() }
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.held.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl OnDemand {
    /// Parts of `FULL` runs up to the open stretch, as a long copy leaves them.
    fn new() -> (Self, PartitionProgress) {
        let mut parts = Vec::new();
        let mut target = 0;
        while target < RUNS - OPEN {
            let records = (FULL as i64).min(RUNS - OPEN - target);
            parts.push(Part { source: target * 2, target, records, runs: records as usize, epoch: 1 });
            target += records;
        }
        let mut progress = PartitionProgress::new(TopicPartition::new("orders", 3), 0, 0);
        (progress.source_next, progress.target_next) = (RUNS * 2, RUNS);
        progress.runs_key = parts.last().map(|part| part.name(&progress.partition));
        progress.runs_open = runs_of(target, OPEN).to_text();
        (Self { parts, gets: Mutex::default(), held: Arc::default() }, progress)
    }

    fn gets(&self) -> usize {
        self.gets.lock().unwrap().values().sum()
    }
}

fn runs_of(target: i64, records: i64) -> OffsetRuns {
    let mut runs = OffsetRuns::starting_at(target);
    (target..target + records).for_each(|record| runs.push(record * 2, 1).unwrap());
    runs
}

impl Objects for OnDemand {
    async fn put(&self, _: &str, _: Bytes) -> Result<()> {
        unreachable!("nobody copies here")
    }

    async fn put_new(&self, _: &str, _: Bytes) -> Result<PutOnce> {
        unreachable!("nobody copies here")
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        let partition = TopicPartition::new("orders", 3);
        let index = self.parts.iter().position(|part| part.name(&partition) == name);
        let Some(index) = index else { return Ok(None) };
        *self.gets.lock().unwrap().entry(name.to_owned()).or_default() += 1;
        let part = self.parts[index];
        let sealed = Sealed { parts: self.parts[..=index].to_vec(), runs: runs_of(part.target, part.records) };
        let body = Bytes::from_owner(Body::new(sealed.encode(), &self.held));
        Ok(Some(Object { body, metadata: HashMap::new() }))
    }

    fn url(&self, name: &str) -> String {
        format!("memory://{name}")
    }
}

/// Asks both ways about the record at `target`, and about the hole behind it; then looks at what is in memory.
fn ask(map: &mut OffsetMap<'_, OnDemand>, target: i64) {
    let source = target * 2;
    assert_eq!(futures::executor::block_on(map.find(source)).unwrap(), (target, Place::Record));
    assert_eq!(futures::executor::block_on(map.source_of(target)).unwrap(), Some(source));
    if target + 1 < RUNS {
        let behind = futures::executor::block_on(map.find(source + 1)).unwrap();
        assert_eq!(behind, (target + 1, Place::NextRecord));
    }
    let resident = map.recent.as_ref().map_or(0, |(_, runs)| runs.len());
    assert!(resident <= FULL, "{resident} runs are in memory");
    assert!(map.open.len() <= OPEN as usize);
}

#[test]
fn a_hundred_million_runs_are_looked_up_with_one_part_in_memory() {
    let (store, progress) = OnDemand::new();
    let mut map = futures::executor::block_on(OffsetMap::open(&store, &progress)).unwrap();
    assert_eq!(map.runs() as i64, RUNS);
    let parts = map.parts();
    assert_eq!(parts, 382);

    // Ascending: several in each part, and the last of each together with the first of the next.
    let step = FULL as i64 / 2 - 1;
    (0..RUNS).step_by(step as usize).for_each(|target| ask(&mut map, target));
    [RUNS - OPEN - 1, RUNS - OPEN, RUNS - 1].into_iter().for_each(|target| ask(&mut map, target));
    // The newest part was read when the map was opened.
    assert_eq!(store.gets(), parts + 1, "each part is read once");

    // In any order: at most one part for each question.
    let before = store.gets();
    let mut asked = BTreeSet::new();
    let mut target = 1;
    for _ in 0..60 {
        target = (target * 48_271) % RUNS;
        ask(&mut map, target);
        asked.insert(target);
    }
    assert_eq!(asked.len(), 60);
    assert!(store.gets() - before <= asked.len(), "{} gets", store.gets() - before);
    assert_eq!(store.held.most.load(Ordering::SeqCst), 1, "one object at a time");
    // Two bytes a run, and the list of the parts before it.
    let largest = store.held.largest.load(Ordering::SeqCst);
    assert!(largest < 2 * FULL + 16 * parts, "{largest} bytes");
}

#[test]
fn beyond_both_ends_nothing_is_read() {
    let (store, progress) = OnDemand::new();
    let mut map = futures::executor::block_on(OffsetMap::open(&store, &progress)).unwrap();
    let opened = store.gets();
    assert_eq!(futures::executor::block_on(map.source_of(RUNS)).unwrap(), None);
    assert_eq!(futures::executor::block_on(map.source_of(-1)).unwrap(), None);
    assert_eq!(futures::executor::block_on(map.find(RUNS * 2)).unwrap(), (RUNS, Place::End));
    assert_eq!(store.gets(), opened);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn without_sealed_parts_the_open_runs_answer(gaps in proptest::collection::vec(0_i64..4, 0..40), target in -2_i64..44) {
        let (store, _) = OnDemand::new();
        let mut runs = OffsetRuns::starting_at(0);
        let mut sources = Vec::new();
        let mut next = 5;
        for gap in gaps {
            next += gap;
            sources.push(next);
            runs.push(next, 1).unwrap();
            next += 1;
        }
        let mut progress = PartitionProgress::new(TopicPartition::new("orders", 3), 5, 5);
        progress.runs_open = runs.to_text();
        let mut map = futures::executor::block_on(OffsetMap::open(&store, &progress)).unwrap();
        let expected = usize::try_from(target).ok().and_then(|at| sources.get(at).copied());
        prop_assert_eq!(futures::executor::block_on(map.source_of(target)).unwrap(), expected);
        prop_assert_eq!(store.gets(), 0);
    }
}
