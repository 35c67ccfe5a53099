//! What somebody does at a certain step of a cutover, and what goes wrong at no certain time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::faults::OUTAGE;
use crate::setup::{Deed, Mischief};
use crate::traffic;
use crate::world::{Shared, World};

/// A request of the name `what` took effect: whoever waits for it does what he wants to do, once.
pub(crate) fn behind(shared: &Shared, world: &mut World, what: &'static str) {
    let Some(place) = world.setup.mischief.iter().position(|mischief| mischief.behind == what) else { return };
    let Mischief { after, deed, .. } = world.setup.mischief.swap_remove(place);
    let shared = shared.clone();
    tokio::spawn(async move {
        sleep(after).await;
        do_it(&shared, &mut shared.lock(), deed);
    });
}

fn do_it(shared: &Shared, world: &mut World, deed: Deed) {
    let at = world.elapsed();
    let index = world.dice.index(0..world.setup.partitions.len());
    world.note(|| format!("{deed:?}, partition {index}"));
    match deed {
        Deed::Write => traffic::ignore(shared, world, false),
        Deed::WriteInTransaction => traffic::ignore(shared, world, true),
        Deed::LoseRecord => {
            if world.source.logs[index].lose_last(at) {
                world.saw("source lost a record");
            }
        }
        Deed::WriteOnTarget | Deed::DeleteOnTarget => {
            let log = &mut world.target.logs[index];
            match deed {
                Deed::WriteOnTarget => log.records.push(None),
                _ => log.start = log.end().min(1),
            }
            if deed == Deed::WriteOnTarget || log.start > 0 {
                log.spoiled_at = Some(Instant::now());
                world.saw("target spoiled");
            }
        }
        Deed::CompactOnTarget => {
            let topic = world.setup.partitions[index].topic.clone();
            world.target.altered.entry(topic).or_insert_with(Instant::now);
            world.saw("target compacted");
        }
        Deed::JoinOnTarget | Deed::ShareOnTarget => {
            let ids: Vec<_> = world.groups.groups.keys().cloned().collect();
            if ids.is_empty() {
                return;
            }
            let id = &ids[world.dice.index(0..ids.len())];
            let group = world.target.group(id);
            match deed {
                Deed::JoinOnTarget => (group.is_active, group.was_active) = (true, true),
                _ => (group.is_share, group.was_share) = (true, true),
            }
            world.saw("group of the target changed");
        }
    }
}

/// A producer ignores the freeze for as long as it lasts, and beyond.
pub(crate) async fn ignore_always(shared: Shared) {
    loop {
        let (every, frozen) = {
            let world = shared.lock();
            (world.setup.ignores_every, world.producers.frozen && !world.witness.is_over())
        };
        sleep(every.unwrap_or(Duration::from_secs(10))).await;
        if every.is_some() && frozen {
            traffic::ignore(&shared, &mut shared.lock(), false);
        }
    }
}

/// What goes wrong at any time.
pub(crate) async fn trouble(shared: Shared) {
    loop {
        let pause = {
            let World { dice, witness, .. } = &mut *shared.lock();
            if witness.is_over() { dice.millis(5_000..30_000) } else { dice.millis(50..2_000) }
        };
        sleep(pause).await;
        let world = &mut *shared.lock();
        let now = Instant::now();
        let World { dice, faults, source, target, journal_down_until, .. } = world;
        if dice.chance(faults.stalls) {
            let index = dice.index(0..source.logs.len());
            source.logs[index].away_until = Some(now + dice.millis(100..45_000));
        }
        if dice.chance(faults.outages) && journal_down_until.is_none_or(|until| until < now) {
            *journal_down_until = Some(now + dice.millis(500..OUTAGE.as_millis() as u64));
        }
        let loading = dice.chance(faults.loading);
        if let Some(group) = target.groups.values_mut().next().filter(|_| loading) {
            group.loading_until = Some(now + dice.millis(100..40_000));
        }
    }
}
