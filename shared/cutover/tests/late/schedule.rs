//! The operator, who repeats the command until nothing is left, and the world around it.

use std::time::Duration;

use migration::ErrorKind;
use tokio::time::{sleep, timeout};

use crate::invocation::invoke;
use crate::world::{Shared, World};

/// Calls after which faults end, and after which the run counts as stuck.
const CALLS: usize = 8;
const STUCK: usize = 40;

/// Longest time that somebody waits for an invocation.
const LONGEST: Duration = Duration::from_secs(900);

/// Appends until nothing is left, and waits for everything to end.
///
/// # Errors
/// In words, when it comes to no end, or an invocation ends as none should.
pub(crate) async fn live(world: &Shared) -> Result<(), String> {
    let around = tokio::spawn(around(world.clone()));
    let done = operator(world).await;
    settle(world).await;
    world.lock().unwrap().over = true;
    around.await.map_err(|error| error.to_string())?;
    done
}

/// Waits until no invocation and no request is under way.
async fn settle(world: &Shared) {
    loop {
        {
            let world = world.lock().unwrap();
            if world.running == 0 && world.under_way == 0 {
                return;
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn operator(world: &Shared) -> Result<(), String> {
    for call in 0..STUCK {
        if call == CALLS {
            // Whatever was left alone is over before the last word.
            world.lock().unwrap().calm_down();
            settle(world).await;
        }
        let mut invocation = invoke(world);
        let (twin, patience, kills) = {
            let World { dice, faults, .. } = &mut *world.lock().unwrap();
            let kills = dice.chance(faults.kills);
            let ends_early = kills || dice.chance(faults.abandons);
            let patience = if ends_early { dice.millis(5..1_500) } else { LONGEST };
            (dice.chance(faults.twins).then(|| dice.millis(0..800)), patience, kills)
        };
        if let Some(after) = twin {
            let world = world.clone();
            tokio::spawn(async move {
                sleep(after).await;
                world.lock().unwrap().saw("twin");
                invoke(&world).await.unwrap()
            });
        }
        match timeout(patience, &mut invocation).await.map(Result::unwrap) {
            Ok(Ok(report)) if report.number.is_none() && call >= CALLS => return Ok(()),
            Ok(Ok(report)) => {
                if call > 0 && report.again {
                    world.lock().unwrap().saw("completed by another");
                }
            }
            Ok(Err(error)) if matches!(error.kind, ErrorKind::Transient | ErrorKind::Fenced) => {}
            Ok(Err(error)) => return Err(format!("an invocation ended with {error:?}")),
            Err(_) if kills => {
                invocation.abort();
                world.lock().unwrap().saw("invocation killed");
            }
            Err(_) => world.lock().unwrap().saw("invocation left alone"),
        }
        let pause = world.lock().unwrap().dice.millis(0..2_000);
        sleep(pause).await;
    }
    Err("late records are left".to_owned())
}

/// Replication, clients, forgotten producers, brokers and retention.
async fn around(world: Shared) {
    loop {
        let pause = {
            let world = &mut *world.lock().unwrap();
            if world.over {
                return;
            }
            step(world);
            world.dice.millis(10..120)
        };
        sleep(pause).await;
    }
}

fn step(world: &mut World) {
    let number = world.dice.index(0..world.targets.len());
    if world.dice.chance(700) {
        let entries = world.targets[number].entries.len();
        world.targets[number].replicated = entries;
    }
    if world.dice.chance(200) && world.targets[number].entries.len() < 400 {
        let id = world.next_id();
        world.targets[number].client_writes(vec![id]);
        world.saw("client wrote");
    }
    let faults = world.faults.clone();
    if world.dice.chance(faults.leaders) && world.targets[number].change_leader() {
        world.note(|| format!("t{number}: another leader"));
        world.saw("leader lost records");
    }
    let is_quiet = world.armed.is_empty() && world.under_way == 0;
    // A broker looks for producers to forget every ten minutes: what it has is replicated by then.
    let is_replicated = world.targets.iter().all(|log| log.replicated == log.entries.len());
    if world.dice.chance(faults.forgets) && is_quiet && is_replicated {
        world.targets.iter_mut().for_each(crate::logs::TargetLog::forget);
        world.note(|| "producers are forgotten".to_owned());
        world.saw("producer forgotten");
    }
    if world.dice.chance(faults.removals) {
        let to = world.dice.number(0..world.sources[number].end + 1);
        if world.sources[number].remove_below(to) {
            world.note(|| format!("t{number}: the source removes below {to}"));
            world.saw("source removed records");
        }
        if world.dice.chance(300) && world.targets[number].remove_all() {
            world.note(|| format!("t{number}: the target removes everything"));
            world.saw("target removed records");
        }
    }
    let batches = world.targets[number].entries.len();
    if world.dice.chance(faults.compactions) && batches > 0 {
        let which = world.dice.index(0..batches);
        if world.targets[number].compact(which) {
            world.note(|| format!("t{number}: compaction removes the batch {which}"));
            world.saw("target compacted");
        }
    }
    if world.dice.chance(faults.writes) && world.sources[number].history.len() < 300 {
        world.write_late(number);
        world.saw("late record written meanwhile");
    }
}
