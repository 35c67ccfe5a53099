//! What has to be true in the end, judged by records and not by what the function says.

use documents::document::decode;
use documents::late_append::{Append, LateAppend, LateAppended, done_key, key};

use crate::world::World;

/// Judges a world in which nothing is under way any more.
///
/// # Errors
/// In words, what is broken.
pub(crate) fn judge(world: &World) -> Result<(), String> {
    let appends = appends(world)?;
    (0..world.sources.len()).try_for_each(|number| judge_partition(world, number, &appends))
}

fn appends(world: &World) -> Result<Vec<Append>, String> {
    let mut appends = Vec::new();
    for number in 1.. {
        let Some(plan) = world.objects.get(&key(number)) else { break };
        let plan: LateAppend = decode(plan).map_err(|error| error.to_string())?;
        let done = world.objects.get(&done_key(number)).map(|done| decode::<LateAppended>(done).unwrap());
        if done.is_none() {
            return Err(format!("append {number} is not done"));
        }
        appends.push(Append { number, plan, done });
    }
    Ok(appends)
}

fn judge_partition(world: &World, number: usize, appends: &[Append]) -> Result<(), String> {
    let name = World::partition(number);
    let (source, target) = (&world.sources[number], &world.targets[number]);
    let planned = |offset: i64| {
        appends.iter().find(|append| {
            let ranges = append.plan.partitions.iter().filter(|range| range.partition == name);
            ranges.clone().any(|range| (range.from..range.to).contains(&offset))
        })
    };
    let problem = |append: &Append| {
        let landed = append.done.iter().flat_map(|done| &done.partitions).find(|landed| landed.partition == name);
        landed.and_then(|landed| landed.problem.clone())
    };
    // Late records in the order of the target, each with its place there.
    let late: std::collections::BTreeMap<u64, i64> = source.history.iter().map(|(at, id)| (*id, *at)).collect();
    let mut found: Vec<(i64, i64)> = Vec::new();
    for entry in &target.entries {
        let offsets = entry.offset..;
        found.extend(entry.ids.iter().zip(offsets).filter_map(|(id, place)| Some((*late.get(id)?, place))));
    }
    let mut once = std::collections::BTreeSet::new();
    if let Some((at, _)) = found.iter().find(|(at, _)| !once.insert(*at)) {
        return Err(format!("{name}: source offset {at} is on the target twice"));
    }
    // What was under way when an append was given up comes behind later ones.
    let is_given_up = |at: i64| target.removed && planned(at).and_then(problem).is_some();
    let ordered: Vec<_> = found.iter().map(|(at, _)| *at).filter(|at| !is_given_up(*at)).collect();
    if let Some(pair) = ordered.windows(2).find(|pair| pair[0] > pair[1]) {
        return Err(format!("{name}: source offset {} lies on the target behind {}", pair[1], pair[0]));
    }
    for append in appends.iter().filter(|append| problem(append).is_some()) {
        let own = found.iter().filter(|(at, _)| planned(*at).is_some_and(|planned| planned.number == append.number));
        if !own.is_sorted() {
            return Err(format!("{name}: the records of append {} are not in order", append.number));
        }
    }
    for (at, _) in &source.history {
        let place = found.iter().find(|(source, _)| source == at).map(|(_, place)| *place);
        match (planned(*at), place) {
            (Some(append), None) if problem(append).is_some() && target.removed => {}
            (Some(append), None) => {
                return Err(format!("{name}: source offset {at} of append {} is not on the target", append.number));
            }
            (None, Some(place)) => return Err(format!("{name}: source offset {at} is at {place}, and in no append")),
            (None, None) if *at < source.start => {}
            (None, None) => return Err(format!("{name}: source offset {at} was not appended")),
            (Some(append), Some(place)) => {
                let landed = append.done.iter().flat_map(|done| &done.partitions).find(|one| one.partition == name);
                let is_outside = landed.and_then(|one| Some(!(one.first?..one.next?).contains(&place)));
                if is_outside == Some(true) && !target.removed {
                    return Err(format!(
                        "{name}: source offset {at} is at {place}, and on record elsewhere: {landed:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}
