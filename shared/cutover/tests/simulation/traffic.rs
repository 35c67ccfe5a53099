//! Applications of the source: producers, transactions, consumers that commit. Most of them obey a freeze.

use std::time::Duration;

use kafka::ProducerIdentity;
use migration::TopicPartition;
use tokio::time::sleep;

use crate::dice::Dice;
use crate::groups::{Transacted, metadata};
use crate::rules;
use crate::source::{Entry, Kind, Log, Pending, Transaction, Writer};
use crate::world::{Shared, World};

/// Id of the producer that ignores the freeze.
const IGNORING: i64 = 666;

/// Whether producers that obey may write to the source.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    pub(crate) frozen: bool,
    /// Counts how often they were asked to stop.
    pub(crate) freezes: u32,
}

/// Fills a log before the world begins.
pub(crate) fn fill(log: &mut Log, dice: &mut Dice) {
    // Some have so many transactions that their offset runs do not fit into the journal.
    let (most, transactions) = if dice.chance(100) { (300, 700) } else { (30, 250) };
    for number in 0..dice.index(0..most) as i64 {
        let identity = dice.chance(600).then_some(ProducerIdentity { id: 50 + number, epoch: 0 });
        let at = Duration::ZERO;
        if dice.chance(transactions) {
            log.append(Entry { kind: Kind::Open(50 + number), ..batch(dice, Writer::Application, identity, at) });
            log.decide(50 + number, dice.chance(600), at);
        } else {
            log.append(batch(dice, Writer::Application, identity, at));
        }
    }
}

fn batch(dice: &mut Dice, writer: Writer, identity: Option<ProducerIdentity>, at: Duration) -> Entry {
    Entry { base: 0, records: dice.number(1..6), kind: Kind::Plain, writer, identity, at }
}

/// Applications go on, now and then.
pub(crate) async fn applications(shared: Shared) {
    loop {
        let pause = {
            let World { dice, witness, .. } = &mut *shared.lock();
            if witness.is_over() { dice.millis(1_000..30_000) } else { dice.millis(20..600) }
        };
        sleep(pause).await;
        step(&shared);
    }
}

fn step(shared: &Shared) {
    let world = &mut *shared.lock();
    let what = world.dice.index(0..10);
    match (world.producers.frozen, what) {
        (_, 8..) => consume(world),
        (true, 0..6) => end_one(shared, world),
        (true, _) => {}
        (false, 0..4) => produce(world),
        (false, 4..6) => begin(world),
        (false, _) => end_one(shared, world),
    }
}

/// A batch outside of transactions.
pub(crate) fn produce(world: &mut World) {
    let at = world.elapsed();
    let dice = &mut world.dice;
    let partition = dice.index(0..world.source.logs.len());
    let identity = dice.chance(600).then(|| ProducerIdentity { id: dice.number(50..60), epoch: 0 });
    let entry = batch(dice, Writer::Application, identity, at);
    world.source.logs[partition].append(entry);
}

/// A producer that ignores the freeze writes to a partition.
pub(crate) fn ignore(shared: &Shared, world: &mut World, in_transaction: bool) {
    let at = world.elapsed();
    let dice = &mut world.dice;
    let partition = dice.index(0..world.source.logs.len());
    let identity = (in_transaction || dice.chance(700)).then_some(ProducerIdentity { id: IGNORING, epoch: 0 });
    let entry = batch(dice, Writer::Ignoring, identity, at);
    if world.source.logs[partition].denies {
        if !world.setup.ignoring_is_super {
            world.note(|| format!("a producer ignores the freeze and is refused by {partition}"));
            return world.saw("writer held");
        }
        world.saw("super user not held");
    }
    if in_transaction && !world.source.transactions.contains_key(&IGNORING) {
        let base = world.source.logs[partition].append(Entry { kind: Kind::Open(IGNORING), ..entry });
        let mut txn = Transaction::default();
        txn.data.insert(partition, base);
        world.source.transactions.insert(IGNORING, txn);
        world.note(|| format!("a transaction that ignores the freeze writes to {partition} at {base}"));
        end(shared, world, IGNORING, true);
        return;
    }
    let base = world.source.logs[partition].append(entry);
    world.note(|| format!("a producer ignores the freeze and writes to {partition} at {base}"));
}

/// A transaction that writes records, commits offsets, or both.
fn begin(world: &mut World) {
    let at = world.elapsed();
    let id = world.source.next_producer;
    world.source.next_producer += 1;
    let dice = &mut world.dice;
    let mut txn = Transaction { is_hidden: dice.chance(100), ..Transaction::default() };
    let (writes, commits) = dice.pick(&[(true, false), (true, true), (true, true), (false, true)]);
    if writes {
        for _ in 0..dice.index(1..3) {
            let partition = dice.index(0..world.source.logs.len());
            let identity = Some(ProducerIdentity { id, epoch: 0 });
            let entry = Entry { kind: Kind::Open(id), ..batch(dice, Writer::Application, identity, at) };
            let base = world.source.logs[partition].append(entry);
            txn.data.entry(partition).or_insert(base);
        }
    }
    if commits {
        let input = dice.index(0..world.source.logs.len());
        let (group, partition) = (dice.pick(&["eos-0", "eos-1"]), world.setup.partitions[input].clone());
        let is_first = dice.chance(400);
        let mut pending = world.source.pending();
        let is_taken = pending.any(|(_, _, pending)| pending.group == group && pending.partition == partition);
        // For some of them it is the group's first commit.
        let group = if is_first || is_taken { format!("first-{id}") } else { group.to_owned() };
        drop(pending);
        txn.offsets.push(Pending { group, offset: further(world, &partition, input), partition });
    }
    world.source.transactions.insert(id, txn);
}

/// Offsets of an exactly-once application never go back.
fn further(world: &mut World, partition: &TopicPartition, input: usize) -> i64 {
    let log = &world.source.logs[input];
    let committed = world.groups.groups.values().filter_map(|group| group.offsets.get(partition));
    let committed = committed.map(|(offset, _)| *offset).filter(|offset| *offset <= log.end()).max();
    let from = committed.unwrap_or(log.start).max(log.start);
    world.dice.number(from..log.end().max(from) + 1)
}

/// Ends one of the open transactions, if there is one that is not left open.
fn end_one(shared: &Shared, world: &mut World) {
    let now = world.elapsed();
    let open = world.source.transactions.iter().filter(|(_, txn)| txn.ended.is_none());
    let open: Vec<_> =
        open.filter(|(_, txn)| txn.held_until.is_none_or(|until| until <= now)).map(|(id, _)| *id).collect();
    if !open.is_empty() {
        let id = world.dice.pick(&open);
        let commit = world.dice.chance(750);
        end(shared, world, id, commit);
    }
}

/// Ends a transaction. Its markers are written one by one, soon.
fn end(shared: &Shared, world: &mut World, id: i64, commit: bool) {
    let longest = world.setup.markers_take.as_millis() as u64;
    let World { dice, source, groups, .. } = world;
    let Some(txn) = source.transactions.get_mut(&id) else { return };
    txn.ended = Some(commit);
    if commit && !txn.data.is_empty() {
        groups.transacted.extend(transacted(txn));
    }
    txn.unmarked = txn.data.keys().copied().collect();
    for partition in txn.unmarked.clone() {
        let (shared, after) = (shared.clone(), dice.millis(1..longest));
        tokio::spawn(async move {
            sleep(after).await;
            let world = &mut *shared.lock();
            let at = world.elapsed();
            world.source.logs[partition].decide(id, commit, at);
            if let Some(txn) = world.source.transactions.get_mut(&id) {
                txn.unmarked.remove(&partition);
            }
            forget(world, id);
        });
    }
    let (shared, after) = (shared.clone(), dice.millis(1..longest));
    tokio::spawn(async move {
        sleep(after).await;
        decide_offsets(&mut shared.lock(), id, commit);
    });
}

/// The marker in the topic of the groups is written.
fn decide_offsets(world: &mut World, id: i64, commit: bool) {
    let Some(txn) = world.source.transactions.get_mut(&id) else { return };
    for Pending { group, partition, offset } in std::mem::take(&mut txn.offsets) {
        if commit {
            world.note(|| format!("transaction {id} commits {offset} of {partition} for {group}"));
            world.groups.commit(&group, &partition, (offset, String::new()));
        }
    }
    forget(world, id);
}

/// Forgets a transaction of which everything is written.
fn forget(world: &mut World, id: i64) {
    let done = |txn: &Transaction| txn.ended.is_some() && txn.unmarked.is_empty() && txn.offsets.is_empty();
    if world.source.transactions.get(&id).is_some_and(done) {
        world.source.transactions.remove(&id);
    }
}

/// A consumer commits, also while producers stand still.
fn consume(world: &mut World) {
    let plain: Vec<_> = world.groups.groups.keys().filter(|id| id.starts_with('g')).cloned().collect();
    if plain.is_empty() {
        return;
    }
    let World { dice, groups, source, setup, .. } = world;
    let id = &plain[dice.index(0..plain.len())];
    let input = dice.index(0..source.logs.len());
    let log = &source.logs[input];
    let committed = (dice.number(log.start..log.end() + 1), metadata(dice));
    groups.commit(id, &setup.partitions[input], committed);
}

/// Producers are asked to stop: no transaction begins any more, and some are left open for too long.
pub(crate) fn freeze(world: &mut World) {
    if world.dice.chance(world.faults.hanging) {
        begin(world);
    }
    world.producers.frozen = true;
    world.producers.freezes += 1;
    let (now, limit) = (world.elapsed(), world.setup.limits.max_producer_freeze.as_secs());
    let World { dice, faults, source, .. } = world;
    for txn in source.transactions.values_mut().filter(|txn| txn.ended.is_none()) {
        if dice.chance(faults.hanging) {
            txn.held_until = Some(now + dice.millis(500..limit * 2_000));
        }
    }
    world.note(|| "producers stop".to_owned());
}

/// Producers that stopped for the freeze number `freeze` are let go towards the source, and write at once.
pub(crate) fn let_go(world: &mut World, freeze: u32) {
    if !world.producers.frozen || world.producers.freezes != freeze {
        return;
    }
    world.freeze_ends("producers are let go");
    // Somebody who is late may set rules behind the gate's back; he is on record.
    let is_settled = world.journal.fence.as_ref().is_none_or(|stored| stored.fence.setters.is_empty());
    if is_settled && !rules::ours(world).is_empty() {
        world.broken("producers are let go under a write fence".to_owned());
    }
    let is_refused = |topic: &str| rules::may_write(world, topic) && rules::is_refused(world, topic);
    // A leader that never knew of the fence may come to know it and its end one after the other.
    let was_proven = world.journal.fence.as_ref().is_some_and(|stored| stored.fence.proven_at.is_some());
    if is_settled && was_proven && ["orders", "bills"].into_iter().any(is_refused) {
        world.broken("producers are let go while leaders still refuse them".to_owned());
    }
    if world.witness.marked.is_some() {
        world.broken("producers are let go towards the source behind the mark".to_owned());
    }
    world.producers.frozen = false;
    world.note(|| "producers are let go".to_owned());
    for _ in 0..world.dice.index(1..4) {
        produce(world);
    }
}

/// What is remembered of a committed transaction with records of this wave.
fn transacted(txn: &Transaction) -> impl Iterator<Item = Transacted> + '_ {
    txn.offsets.iter().map(|pending| Transacted {
        group: pending.group.clone(),
        partition: pending.partition.clone(),
        offset: pending.offset,
        data: txn.data.clone(),
    })
}
