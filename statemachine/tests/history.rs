//! No execution fills its history, which Step Functions ends at 25,000 events: every loop of the machine has a pace.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use statemachine::definition;
use statemachine::walk::{Place, Scope, State, scopes, states};

/// Events of one execution (<https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>); with the next one
/// it fails.
const LIMIT: u64 = 25_000;
/// How long a migration may take; each of its phases may take all of it.
const LIFE: u64 = 30 * 86_400;
/// How long a function works before it says `again`, in seconds.
const WORK: u64 = 14 * 60;
/// Shortest that `watch` wants to wait, in seconds.
const LOOK: u64 = 30;
/// How long something may stay broken without a pause, in seconds, when half of a history is used up already.
const ENDURED: f64 = 3600.0;

/// How often a loop goes round.
enum Pace {
    /// Once in so many seconds, for as long as the migration takes.
    Every(u64),
    /// About so many times in all.
    Times(u64),
    /// At most so many times in all, which the machine itself counts.
    Counted(u64),
    /// Only while something is broken.
    Broken,
}

/// Every loop by its states, in the order of their names.
fn loops() -> Vec<(&'static str, Vec<&'static str>, Pace)> {
    use Pace::{Broken, Counted, Every, Times};
    vec![
        ("a batch is worked on", vec!["SeedBatch", "SeedBatchAgain"], Every(WORK)),
        ("a batch is worked on", vec!["TailBatch", "TailBatchAgain"], Every(WORK)),
        ("a batch is worked on", vec!["ValidateBatch", "ValidateBatchAgain"], Every(WORK)),
        ("a batch's function crashes", vec!["TailBatch", "TailBatchPause"], Broken),
        // Without progress a reconcile fails.
        ("children did not do everything", vec!["SeedComplete", "SeedMap", "SeedReconcile"], Times(50)),
        ("children did not do everything", vec!["ValidateMap", "ValidateReconcile", "ValidationComplete"], Times(50)),
        // Drained at the latest after drain_timeout.
        ("the drain takes long", vec!["DrainReady", "WaitForDrain"], Times(LIFE / WORK / 4)),
        ("partitions are newly found", vec!["TailComplete", "TailMap", "TailPause", "TailReconcile"], Times(100)),
        ("the tail cannot be asked", vec!["TailMap", "TailPause", "TailReconcile"], Broken),
        ("the tail cannot be asked", vec!["TailMapFailed", "TailMapFailedPause"], Broken),
        (
            "the operator decides again",
            vec!["CutoverDecided", "RehearsalHolds", "Rehearse", "WaitForCutover"],
            Times(50),
        ),
        (
            "the operator decides again",
            vec!["CutoverDecided", "Rehearse", "RehearsePause", "WaitForCutover"],
            Times(50),
        ),
        ("a gate does not open", vec!["CutoverGatePause", "WaitForCutover"], Broken),
        ("a gate does not open", vec!["ClientSwitchGatePause", "WaitForClientSwitch"], Broken),
        ("a gate does not open", vec!["ClientSwitchGatePauseResumed", "WaitForClientSwitchResumed"], Broken),
        ("a gate does not open", vec!["FinalizeGatePause", "WaitForFinalize"], Broken),
        (
            "the freeze gate does not open",
            vec!["CountOpening", "FreezeGatePause", "OpenFreezeAgain", "WaitForFreeze"],
            Counted(60),
        ),
        ("the watchdog cannot ask", vec!["ExpireFreeze", "ExpirePause"], Broken),
        ("a look", vec!["CountLook", "LookedEnough", "Watch", "WatchAgain", "WatchPause"], Counted(400)),
        ("a look fails", vec!["CountLook", "LookedEnough", "Watch", "WatchFaultPause"], Counted(0)),
        ("looks", vec!["CountMap", "WatchLook", "WatchMap", "WatchOn", "WatchedEnough"], Counted(250)),
        ("looks fail", vec!["CountMap", "WatchLook", "WatchMap", "WatchMapPause", "WatchedEnough"], Counted(0)),
        ("looks fail", vec!["CountMap", "WatchMap", "WatchMapPause", "WatchedEnough"], Counted(0)),
    ]
}

#[test]
fn every_loop_has_a_pace() {
    let machine = definition().unwrap();
    let found: BTreeSet<_> = scopes(&machine).iter().flat_map(cycles).collect();
    let known: BTreeSet<_> = loops().into_iter().map(|(_, names, _)| names).collect();
    assert_eq!(found, known);
}

/// The bounds that the machine itself counts are those that the sums below take.
#[test]
fn what_is_counted_is_bounded_as_stated() {
    let machine = definition().unwrap();
    let mut counters = 0;
    for state in states(&machine).into_iter().filter(|state| state.kind() == "Choice") {
        let bounds =
            state.value["Choices"].as_array().unwrap().iter().filter_map(|choice| choice["NumericLessThan"].as_u64());
        for bound in bounds {
            let paces =
                loops().into_iter().filter(|(_, names, _)| names.contains(&state.name)).map(|(_, _, pace)| pace);
            // Loops through one counter share its bound.
            let total: u64 = paces.map(|pace| if let Pace::Counted(times) = pace { times } else { LIMIT }).sum();
            assert_eq!(total, bound, "{}", state.name);
            counters += 1;
        }
    }
    assert_eq!(counters, 3);
    // So the watch lasts as long as a migration.
    let bound = |name: &str| {
        let state = states(&machine).into_iter().find(|state| state.name == name).unwrap();
        state.value["Choices"][0]["NumericLessThan"].as_u64().unwrap()
    };
    assert!(bound("LookedEnough") * bound("WatchedEnough") * LOOK >= LIFE);
}

/// Each history on its own: that of the migration, and that of a child of each Map. With every state entered once on top,
/// at its worst.
#[test]
#[allow(clippy::cast_precision_loss, reason = "seconds and events are small")]
fn thirty_days_fit_in_every_history() {
    let machine = definition().unwrap();
    for (owner, states) in histories(&machine) {
        let used = used(owner, &states);
        assert!(used <= LIMIT, "{owner}: {used} events");
        let left = LIMIT - used.min(LIMIT / 2);
        for (what, names, pace) in loops().into_iter().filter(|(_, names, _)| states.contains_key(names[0])) {
            let round: Vec<_> = names.iter().map(|name| states[name]).collect();
            for (events, seconds) in broken_rounds(&round) {
                let lasts = (left / events) as f64 * seconds;
                let broken = matches!(pace, Pace::Broken);
                assert!(!broken || lasts >= ENDURED, "{what}: {names:?} lasts {lasts} s with {events} events a round");
            }
        }
    }
}

/// Events and seconds of a round through `states` while something is broken: without retries, and with those of each retrier,
/// whose delays are half as long as written on average, for their jitter.
fn broken_rounds(states: &[State<'_>]) -> Vec<(u64, f64)> {
    let plain: u64 = states.iter().map(events).sum();
    let pause: u64 = states.iter().filter_map(|state| state.value["Seconds"].as_u64()).sum();
    let retriers = states.iter().flat_map(|state| state.value["Retry"].as_array().into_iter().flatten());
    let retried = retriers.map(|retrier| {
        let number = |field: &str| retrier[field].as_u64().unwrap_or(0);
        let delays = (0..number("MaxAttempts")).map(|attempt| (1 << attempt).min(number("MaxDelaySeconds")));
        (plain + 3 * number("MaxAttempts"), pause as f64 + delays.sum::<u64>() as f64 / 2.0)
    });
    retried.chain([(plain, pause as f64)]).collect()
}

/// What the loops of a history use up that turn while nothing is broken, and one way through all its states.
fn used(owner: &str, states: &BTreeMap<&str, State<'_>>) -> u64 {
    let once: u64 = states.values().map(worst).sum();
    let mut counted = 0;
    let mut paced = 0;
    for (_, names, pace) in loops().into_iter().filter(|(_, names, _)| states.contains_key(names[0])) {
        assert!(names.iter().all(|name| states.contains_key(name)), "{owner}: {names:?}");
        match pace {
            // What failed is counted, too.
            Pace::Counted(times) => counted += times * names.iter().map(|name| worst(&states[name])).sum::<u64>(),
            Pace::Times(times) => counted += times * names.iter().map(|name| events(&states[name])).sum::<u64>(),
            Pace::Every(seconds) => {
                paced += LIFE / seconds * names.iter().map(|name| events(&states[name])).sum::<u64>()
            }
            Pace::Broken => {}
        }
    }
    once + counted + paced
}

/// The states that share a history, by the Map whose children they are; those of branches belong to what is around them.
fn histories(machine: &Value) -> BTreeMap<&str, BTreeMap<&str, State<'_>>> {
    let mut belongs = BTreeMap::new();
    let mut histories: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for scope in scopes(machine) {
        let owner = match (scope.place, scope.owner) {
            (Place::Branch, Some(parallel)) => belongs[parallel],
            (Place::Processor, Some(map)) => map,
            _ => "the migration",
        };
        for (name, state) in scope.states {
            belongs.insert(name, owner);
            histories.entry(owner).or_default().insert(name, state);
        }
    }
    histories
}

/// Events of a state that does its work
/// (<https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html>): entered and exited, of a task
/// scheduled, started and succeeded between them, and submitted when it waits for its token; of a Map started and succeeded,
/// and its run as well; of a Parallel started and succeeded.
fn events(state: &State<'_>) -> u64 {
    match state.kind() {
        "Task" => 5 + u64::from(state.is_gate()),
        "Map" => 6,
        "Parallel" => 4,
        _ => 2,
    }
}

/// The same when all retries for one error were needed, each of which failed, was scheduled and started.
fn worst(state: &State<'_>) -> u64 {
    let retries =
        state.value["Retry"].as_array().into_iter().flatten().filter_map(|retrier| retrier["MaxAttempts"].as_u64());
    events(state) + 3 * retries.max().unwrap_or(0)
}

/// The ways from a state back to itself that pass no state twice, each as its states in the order of their names.
fn cycles<'a>(scope: &Scope<'a>) -> BTreeSet<Vec<&'a str>> {
    fn follow<'a>(scope: &Scope<'a>, way: &mut Vec<&'a str>, found: &mut BTreeSet<Vec<&'a str>>) {
        let (first, last) = (way[0], way[way.len() - 1]);
        for target in scope.states[last].targets() {
            if target == first {
                let mut names = way.clone();
                names.sort_unstable();
                found.insert(names);
            } else if target > first && !way.contains(&target) {
                way.push(target);
                follow(scope, way, found);
                way.pop();
            }
        }
    }
    let mut found = BTreeSet::new();
    for name in scope.states.keys() {
        follow(scope, &mut vec![*name], &mut found);
    }
    found
}
