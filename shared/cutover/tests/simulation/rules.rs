//! The source's ACLs: who may what, when leaders come to know it, and what must hold of them at every moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka::{AclBinding, AclOperation, AclPermission, AclResource};
use tokio::time::sleep;
use write_fence::rules::{allow, deny};

use crate::dice::Dice;
use crate::setup::Setup;
use crate::world::{Shared, World};

/// What others have set before the world begins.
pub(crate) fn draw(setup: &Setup, dice: &mut Dice) -> BTreeSet<AclBinding> {
    let mut rules = BTreeSet::new();
    for topic in ["orders", "bills"] {
        if dice.chance(250) {
            rules.insert(AclBinding {
                principal: "User:alice".to_owned(),
                operation: AclOperation::Read,
                permission: AclPermission::Allow,
                ..deny(topic)
            });
        }
        // Whoever has stopped writers himself has let readers go on.
        if dice.chance(100) {
            rules.insert(deny(topic));
            rules.insert(allow(topic));
        }
    }
    // Without a rule of its own nobody could read there.
    if !setup.is_open {
        rules.insert(AclBinding {
            name: "*".to_owned(),
            principal: "User:everybody-here".to_owned(),
            operation: AclOperation::Read,
            permission: AclPermission::Allow,
            ..deny("*")
        });
    }
    rules
}

/// Whether a rule is about `topic`.
fn is_ruled(rules: &BTreeSet<AclBinding>, topic: &str) -> bool {
    rules.iter().any(|rule| rule.is_about(AclResource::Topic, topic))
}

/// Whether the migration may read `topic`.
pub(crate) fn may_read(world: &World, topic: &Arc<str>) -> bool {
    world.setup.is_open && !is_ruled(&world.source.foreign, topic)
}

/// Whether the migration may write to `topic`, as the broker says that is asked.
pub(crate) fn may_write(world: &World, topic: &str) -> bool {
    !world.source.rules.contains(&deny(topic))
}

/// Whether some leader of `topic` refuses to write now; one that is away does so when it is back.
pub(crate) fn is_refused(world: &World, topic: &str) -> bool {
    let mut logs = world.setup.partitions.iter().zip(&world.source.logs);
    logs.any(|(partition, log)| &*partition.topic == topic && log.denies)
}

/// Rules on the source that others did not set.
pub(crate) fn ours(world: &World) -> Vec<AclBinding> {
    world.source.rules.difference(&world.source.foreign).cloned().collect()
}

/// Changes the rules. Leaders come to know the change one by one.
pub(crate) fn change(shared: &Shared, world: &mut World, with: impl FnOnce(&mut BTreeSet<AclBinding>)) {
    with(&mut world.source.rules);
    world.source.rules_edition += 1;
    judge(world);
    let (edition, longest) = (world.source.rules_edition, world.setup.rules_take.as_millis() as u64);
    for (index, partition) in world.setup.partitions.iter().enumerate() {
        let denies = world.source.rules.contains(&deny(&partition.topic));
        let (shared, after) = (shared.clone(), world.dice.millis(1..longest));
        tokio::spawn(async move {
            sleep(after).await;
            let log = &mut shared.lock().source.logs[index];
            if log.rules_edition < edition {
                (log.rules_edition, log.denies) = (edition, denies);
            }
        });
    }
}

/// What others have set is untouched, and nobody but writers is kept out.
fn judge(world: &mut World) {
    if let Some(gone) = world.source.foreign.difference(&world.source.rules).next() {
        world.broken(format!("a rule of somebody else is gone: {gone}"));
    }
    for topic in ["orders", "bills"] {
        let (rules, foreign) = (&world.source.rules, &world.source.foreign);
        let was_open = world.setup.is_open && !is_ruled(foreign, topic);
        let (denies, allows) = (rules.contains(&deny(topic)), rules.contains(&allow(topic)));
        if was_open && denies && !allows {
            world.broken(format!("topic {topic} is closed to everybody"));
        } else if !was_open && allows && !foreign.contains(&allow(topic)) {
            world.broken(format!("topic {topic} is opened to everybody"));
        }
    }
}
