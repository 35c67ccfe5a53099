//! Consumers on the target. They are switched when the migration says that it is ready; impatient ones begin where their offset
//! is there. As members of their groups they keep everybody else from committing; a while later they leave, and now and
//! then a person moves a group back by hand.

use std::time::Duration;

use tokio::time::sleep;

use crate::target::{By, Committed, Group};
use crate::world::{Shared, World};

/// A group that was switched keeps its members for as long as this: longer than a request of the migration can still be on
/// its way to the coordinator.
pub(crate) const STAYS: Duration = Duration::from_secs(150);

/// Consumers begin, go on and leave.
pub(crate) async fn consume(shared: Shared) {
    let mut joined: Vec<(String, Duration)> = Vec::new();
    let mut left: Vec<(String, Duration)> = Vec::new();
    loop {
        let pause = {
            let World { dice, witness, .. } = &mut *shared.lock();
            if witness.is_over() { dice.millis(1_000..20_000) } else { dice.millis(100..1_000) }
        };
        sleep(pause).await;
        let world = &mut *shared.lock();
        let now = world.elapsed();
        if world.witness.may_begin(world.setup.eager) {
            join_some(world, &mut joined);
        }
        for (id, _) in &joined {
            go_on(world, id);
        }
        let (leaving, staying) = joined.into_iter().partition(|(_, since)| now > *since + STAYS);
        joined = staying;
        for (id, since) in leaving as Vec<(String, Duration)> {
            if world.dice.chance(200) {
                world.note(|| format!("the members of {id} leave"));
                world.target.group(&id).is_active = false;
                left.push((id, now));
            } else {
                joined.push((id, since));
            }
        }
        left.retain(|(id, _)| !move_back(world, id));
    }
}

/// Some groups with offsets begin, each of them once.
fn join_some(world: &mut World, joined: &mut Vec<(String, Duration)>) {
    let now = world.elapsed();
    let World { dice, target, .. } = world;
    let idle = target.groups.iter_mut().filter(|(_, group)| !group.was_active && !group.offsets.is_empty());
    let mut new = Vec::new();
    for (id, group) in idle {
        if dice.chance(250) {
            (group.is_active, group.was_active) = (true, true);
            new.push((id.clone(), now));
        }
    }
    for (id, _) in &new {
        world.note(|| format!("{id} begins on the target"));
    }
    joined.extend(new);
}

/// The members of a group commit what they have consumed.
fn go_on(world: &mut World, id: &str) {
    let World { dice, target, setup, .. } = world;
    let Some(Group { offsets, .. }) = target.groups.get_mut(id) else { return };
    for (partition, committed) in offsets {
        let end = setup.index_of(partition).map_or(0, |index| target.logs[index].end());
        if committed.offset < end && dice.chance(300) {
            let offset = dice.number(committed.offset + 1..end + 1);
            *committed = Committed { offset, metadata: "consumed".to_owned(), by: By::Consumer };
        }
    }
}

/// A person moves a group back, so that it reads something again, some time after the switch. Whether that happened.
fn move_back(world: &mut World, id: &str) -> bool {
    let is_switched = world.witness.ready_at.is_some_and(|at| at.elapsed() > STAYS);
    if !is_switched || !world.dice.chance(100) {
        return false;
    }
    let World { dice, target, .. } = world;
    let Some(Group { offsets, .. }) = target.groups.get_mut(id) else { return false };
    for committed in offsets.values_mut().filter(|committed| committed.offset > 0) {
        let offset = dice.number(0..committed.offset);
        *committed = Committed { offset, metadata: String::new(), by: By::Operator };
    }
    world.note(|| format!("{id} is moved back by hand"));
    world.saw("moved back by hand");
    true
}
