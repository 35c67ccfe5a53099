//! What clients and the log cleaner do to a partition of the source.

use bytes::Bytes;
use kafka::batch::Record;

use crate::dice::Dice;
use crate::faults::Faults;
use crate::source::SourceLog;
use crate::wire::Batch;

/// Producers that write in transactions.
const TRANSACTIONAL: [i64; 3] = [1, 2, 3];

/// How old records are in worlds of old records: two years.
const OLD_MS: i64 = 2 * 365 * 24 * 60 * 60 * 1000;

/// A log of which `gone` records were copied and deleted, and perhaps some more were deleted before.
pub(crate) fn fresh(gone: i64, dice: &mut Dice) -> SourceLog {
    SourceLog::starting_at(gone + if dice.chance(500) { 0 } else { dice.number(1..5000) })
}

/// One thing happens to `log`.
pub(crate) fn step(log: &mut SourceLog, faults: &Faults, clock_ms: i64, dice: &mut Dice) {
    let time = clock_ms - if faults.old_records { OLD_MS } else { 0 };
    match dice.index(0..20) {
        0..=9 => log.append(batch(None, time, dice)),
        10..=14 => log.append(batch(Some(dice.pick(&TRANSACTIONAL)), time, dice)),
        15..=17 => {
            let open = log.open();
            if !open.is_empty() {
                let (producer, commit) = (dice.pick(&open), dice.chance(600));
                log.end_transaction(producer, commit, time);
            }
        }
        _ => log.roll(),
    }
    if dice.chance(faults.compaction) {
        let (from, to) = (log.start(), log.end());
        log.compact(dice.number(from..to + 1), 400, dice);
    }
    if dice.chance(faults.deletion) {
        // Little by little, as retention does, or all that is there, as a consumer that deletes what it has read.
        let (from, to) = (log.start(), log.end());
        let purged = if dice.chance(500) {
            dice.number(from..to.min(from + 60) + 1)
        } else {
            to - dice.number(0..to.min(from + 9) - from + 1)
        };
        log.delete_before(purged);
    }
    if dice.chance(faults.damage) {
        let from = dice.number(log.start()..log.end() + 1);
        log.damage(from, dice);
    }
}

/// Ends what is open, so that everything is stable.
pub(crate) fn settle(log: &mut SourceLog, clock_ms: i64, dice: &mut Dice) {
    for producer in log.open() {
        log.end_transaction(producer, dice.chance(500), clock_ms);
    }
}

fn batch(transactional: Option<i64>, time: i64, dice: &mut Dice) -> Batch {
    let count = if dice.chance(20) { dice.index(200..2000) } else { dice.index(1..12) };
    let big = dice.chance(8);
    Batch {
        codec: dice.number(0..5) as i16,
        append_time: dice.chance(100).then_some(time + 7),
        transactional: transactional.is_some(),
        producer: transactional.unwrap_or_else(|| dice.pick(&[-1, 77])),
        epoch: if transactional.is_some() { 0 } else { -1 },
        sequence: -1,
        records: (0..count).map(|at| record(time - dice.number(0..50), big && at == 0, dice)).collect(),
        ..Batch::default()
    }
}

fn record(timestamp: i64, big: bool, dice: &mut Dice) -> Record {
    let size = if big { dice.index(100_000..1_200_000) } else { dice.pick(&[0, 1, 8, 8, 8, 8, 30, 200]) };
    let mut maybe = |size: usize| (!dice.chance(100)).then(|| dice.bytes(size));
    let (key, value) = (maybe(6), maybe(size));
    let names = [Bytes::from_static(b"h"), Bytes::from_static(b""), Bytes::from_static(b"trace")];
    let headers = if dice.chance(850) { 0 } else { dice.index(1..4) };
    let headers = (0..headers).map(|_| {
        let name = names[dice.index(0..names.len())].clone();
        (name, (!dice.chance(200)).then(|| dice.bytes(4)))
    });
    Record { offset: 0, timestamp, key, value, headers: headers.collect() }
}
