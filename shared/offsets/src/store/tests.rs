use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use bytes::Bytes;
use documents::{Object, PutOnce};
use proptest::prelude::*;

use super::*;

/// Objects in memory, and what was asked of them.
#[derive(Debug, Default)]
struct Memory {
    objects: Mutex<BTreeMap<String, Bytes>>,
    traffic: Mutex<Traffic>,
    /// What happens to the next put.
    fault: Mutex<Option<Fault>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Traffic {
    written: usize,
    read: usize,
    largest: usize,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It never arrives.
    Refused,
    /// It is done, and the answer is lost.
    AnswerLost,
}

impl Objects for Memory {
    async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        let fault = self.fault.lock().unwrap().take();
        if !matches!(fault, Some(Fault::Refused)) {
            let mut traffic = self.traffic.lock().unwrap();
            traffic.written += body.len();
            traffic.largest = traffic.largest.max(body.len());
            self.objects.lock().unwrap().insert(name.to_owned(), body);
        }
        fault.map_or(Ok(()), |fault| Err(Error::transient(format_args!("{fault:?}"))))
    }

    async fn put_new(&self, name: &str, body: Bytes) -> Result<PutOnce> {
        let taken = self.objects.lock().unwrap().contains_key(name);
        if taken {
            return Ok(PutOnce::Taken);
        }
        self.put(name, body).await.map(|()| PutOnce::Stored)
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        let body = self.objects.lock().unwrap().get(name).cloned();
        self.traffic.lock().unwrap().read += body.as_ref().map_or(0, Bytes::len);
        Ok(body.map(|body| Object { body, metadata: HashMap::new() }))
    }

    fn url(&self, name: &str) -> String {
        format!("memory://{name}")
    }
}

/// Progress that stands before the source offset `at`.
fn progress(at: i64) -> PartitionProgress {
    PartitionProgress::new(TopicPartition::new("orders", 3), at, at)
}

/// The runs of records `from..to` of `sources`.
fn runs_of(sources: &[i64], from: usize, to: usize) -> OffsetRuns {
    let mut runs = OffsetRuns::starting_at(from as i64);
    sources[from..to].iter().for_each(|source| runs.push(*source, 1).unwrap());
    runs
}

/// One copying invocation.
#[derive(Debug, Clone)]
struct Copier {
    epoch: u64,
    progress: PartitionProgress,
}

impl Copier {
    /// Appends the next `records` of `sources` as far as there are.
    fn append(&mut self, store: &Memory, sources: &[i64], records: usize) -> Result<()> {
        let from = self.progress.target_next as usize;
        let to = (from + records).min(sources.len());
        let runs = runs_of(sources, from, to);
        futures::executor::block_on(append(store, &mut self.progress, &runs, self.epoch))?;
        self.progress.target_next = to as i64;
        if let Some(last) = sources[from..to].last() {
            self.progress.source_next = last + 1;
        }
        Ok(())
    }
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// The owner appends so many records.
    Append(usize),
    /// What the owner appended is in the journal.
    Checkpoint,
    /// The owner is overtaken by another, which begins where the journal stands; it does not know and may go on.
    Overtaken,
    /// The one that was overtaken appends so many records.
    Zombie(usize),
    /// The owner's next object meets a fault.
    Fault(Fault),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fault = prop_oneof![Just(Fault::Refused), Just(Fault::AnswerLost)];
    let step = prop_oneof![
        6 => (0_usize..400).prop_map(Step::Append),
        4 => Just(Step::Checkpoint),
        2 => Just(Step::Overtaken),
        3 => (0_usize..400).prop_map(Step::Zombie),
        1 => fault.prop_map(Step::Fault),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Ascending source offsets, mostly with a marker behind each.
fn sources() -> impl Strategy<Value = Vec<i64>> {
    let gaps = proptest::collection::vec(prop_oneof![1 => Just(0_i64), 4 => Just(1), 1 => 2_i64..40], 6000);
    (0_i64..1 << 40, gaps).prop_map(|(mut next, gaps)| {
        let mut sources = Vec::with_capacity(gaps.len());
        for gap in gaps {
            next += gap;
            sources.push(next);
            next += 1;
        }
        sources
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_the_journal_refers_to_is_what_was_copied(sources in sources(), steps in steps()) {
        let store = Memory::default();
        let mut journal = progress(sources[0]);
        let mut owner = Copier { epoch: 1, progress: journal.clone() };
        let mut zombie = None;
        for step in steps {
            let ended = match step {
                Step::Append(records) => owner.append(&store, &sources, records).is_err(),
                Step::Checkpoint => {
                    journal = owner.progress.clone();
                    false
                }
                Step::Overtaken => true,
                Step::Zombie(records) => {
                    // Whatever becomes of it concerns nobody.
                    let _ = zombie.as_mut().map(|zombie: &mut Copier| zombie.append(&store, &sources, records));
                    false
                }
                Step::Fault(fault) => {
                    *store.fault.lock().unwrap() = Some(fault);
                    false
                }
            };
            if ended {
                let next = Copier { epoch: owner.epoch + 1, progress: journal.clone() };
                zombie = Some(std::mem::replace(&mut owner, next));
            }
            let loaded = futures::executor::block_on(load(&store, &journal)).unwrap();
            prop_assert_eq!(loaded, runs_of(&sources, 0, journal.target_next as usize));
            prop_assert!(journal.runs_open.len() <= OPEN_MAX);
        }
    }

    #[test]
    fn every_source_offset_is_found(sources in sources(), pieces in proptest::collection::vec(1_usize..900, 1..20)) {
        let store = Memory::default();
        let mut copier = Copier { epoch: 1, progress: progress(sources[0]) };
        pieces.iter().for_each(|records| copier.append(&store, &sources, *records).unwrap());
        let copied = &sources[..copier.progress.target_next as usize];
        let mut map = futures::executor::block_on(OffsetMap::open(&store, &copier.progress)).unwrap();
        let (start, end) = (copier.progress.source_start, copier.progress.source_next);
        for source in (start - 3).max(0)..end + 3 {
            let below = copied.partition_point(|copied| *copied < source);
            let place = match source {
                _ if source < start => Place::BelowStart,
                _ if source > end => Place::Beyond,
                _ if source == end => Place::End,
                _ if copied[below] == source => Place::Record,
                _ => Place::NextRecord,
            };
            let found = futures::executor::block_on(map.find(source)).unwrap();
            prop_assert_eq!(found, (below as i64, place), "{}", source);
        }
    }

    #[test]
    fn a_damaged_object_is_an_error_and_never_a_panic(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let sources: Vec<_> = (0..300).map(|n| n * 3).collect();
        let runs = runs_of(&sources, 0, 300);
        let part = Part::of(&runs, 7).unwrap();
        let mut bytes = Sealed { parts: vec![part], runs }.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = Sealed::decode(&bytes);
        prop_assert!(Sealed::decode(&bytes[..at]).is_err());
    }
}

/// A partition with a run for each record, appended `piece` records at a time.
fn transactional(records: usize, piece: usize) -> (Memory, Copier, Vec<i64>) {
    let sources: Vec<_> = (0..records as i64).map(|record| record * 2).collect();
    let store = Memory::default();
    let mut copier = Copier { epoch: 1, progress: progress(0) };
    while (copier.progress.target_next as usize) < records {
        copier.append(&store, &sources, piece).unwrap();
    }
    (store, copier, sources)
}

#[test]
fn many_runs_are_sealed_in_linear_time_and_bounded_memory() {
    let (store, copier, sources) = transactional(1_200_000, 50);
    let map = futures::executor::block_on(OffsetMap::open(&store, &copier.progress)).unwrap();
    let most = sources.len() / FULL + FULL.ilog2() as usize;
    assert!(map.parts() <= most, "{} parts", map.parts());
    // Two bytes a run; the lists of parts are the rest.
    let traffic = *store.traffic.lock().unwrap();
    let once = 2 * sources.len();
    assert!(traffic.written < once * (FULL.ilog2() as usize), "{traffic:?}");
    assert!(traffic.read < once * (FULL.ilog2() as usize + 2), "{traffic:?}");
    assert!(traffic.largest < 2 * 2 * FULL + 4096, "{traffic:?}");
    let loaded = futures::executor::block_on(load(&store, &copier.progress)).unwrap();
    assert_eq!(loaded, runs_of(&sources, 0, sources.len()));
}

#[test]
fn a_deleted_object_is_named() {
    let (store, copier, _) = transactional(2000, 50);
    let newest = copier.progress.runs_key.clone().unwrap();
    store.objects.lock().unwrap().retain(|name, _| *name == newest);
    let error = futures::executor::block_on(load(&store, &copier.progress)).unwrap_err();
    assert_eq!(error.kind, migration::ErrorKind::Blocked);
    assert!(error.message.contains("memory://runs/orders/3/0000") && error.message.contains("deleted"), "{error}");
    assert_eq!(error.context.partition, Some(3));
}

#[test]
fn another_part_under_the_name_is_an_error() {
    let (store, copier, _) = transactional(2000, 50);
    let newest = copier.progress.runs_key.clone().unwrap();
    let mut objects = store.objects.lock().unwrap();
    let body = objects[&newest].clone();
    objects.values_mut().for_each(|object| object.clone_from(&body));
    drop(objects);
    let error = futures::executor::block_on(load(&store, &copier.progress)).unwrap_err();
    assert!(error.message.contains("holds another part"), "{error}");
}
