//! `infra/description.json` says what the crate says. `MSK_KRAFT_BLESS=1` writes it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

fn description() -> Value {
    serde_json::to_value(deployment::description::description()).unwrap()
}

#[test]
fn the_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/description.json");
    let current = serde_json::to_string_pretty(&description()).unwrap() + "\n";
    if std::env::var_os("MSK_KRAFT_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &current).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == current,
        "{} is not what this crate makes: MSK_KRAFT_BLESS=1 cargo test -p deployment",
        path.display()
    );
}

#[test]
fn every_substitution_of_the_definition_is_given() {
    let asl = include_str!("../../../statemachine/migration.asl.json");
    let wanted: BTreeSet<_> = asl.split("${").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    let description = description();
    let given = description["state_machine"]["substitutions"].as_object().unwrap();
    assert_eq!(given.keys().map(String::as_str).collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn every_symbol_is_used_and_every_name_is_one() {
    let description = description();
    let known: BTreeSet<_> = description["resources"].as_object().unwrap().keys().map(String::as_str).collect();
    let functions = description["functions"].as_array().unwrap().iter();
    let roles = description["roles"].as_object().unwrap().values();
    let owners = functions.chain(roles).chain([&description["state_machine"]]);
    let statements: Vec<_> = owners.flat_map(|owner| owner["statements"].as_array().unwrap()).collect();
    let used: BTreeSet<_> = statements.iter().map(|statement| statement["resources"].as_str().unwrap()).collect();
    assert_eq!(used, known);
    let sids: BTreeSet<_> = statements.iter().map(|statement| statement["sid"].as_str().unwrap()).collect();
    assert_eq!(sids.len(), statements.len());
}

#[test]
fn alarms_are_complete() {
    for alarm in description()["alarms"].as_array().unwrap() {
        let metrics = alarm["metrics"].as_array().unwrap();
        let expression = alarm["expression"].as_str();
        assert!(expression.is_some() || metrics.len() == 1, "{alarm}");
        for metric in metrics.iter().filter(|_| expression.is_some()) {
            assert!(expression.unwrap().contains(metric["id"].as_str().unwrap()), "{alarm}");
        }
        assert!(alarm["datapoints"].as_u64() <= alarm["evaluation_periods"].as_u64(), "{alarm}");
        let page = alarm["runbook"].as_str().unwrap().split('#').next().unwrap();
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page).exists(), "{page}");
    }
}
