//! The questions that runbooks ask of the evidence with `jq`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy's exception for tests does not cover helpers in tests/"
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use evidence::{Envelope, Key};
use migration::report::validation::{Check, Exception};
use migration::report::{CheckName, Outcome, Overall, ValidationReport};
use serde_json::json;

/// A validation in which a late record was accepted.
fn report() -> ValidationReport {
    let sound = || Check { checked: 3, ..Check::default() };
    let exception = Exception {
        place: "orders/3".to_owned(),
        message: "1 late record(s)".to_owned(),
        reason: "a heartbeat".to_owned(),
        accepted_by: "ada@ops".to_owned(),
        accepted_at: "2026-04-25T06:15:07.500000Z".to_owned(),
    };
    ValidationReport {
        migration_id: "m-1".parse().unwrap(),
        attempt: 2,
        overall: Overall::PassedWithExceptions,
        topic_parity: sound(),
        counts_and_offsets: Check {
            outcome: Outcome::Accepted,
            accepted: 1,
            exceptions_total: 1,
            exceptions: vec![exception],
            ..sound()
        },
        spot_check_records: sound(),
        sentinel_presence: Check { outcome: Outcome::Warning, warned: 1, ..sound() },
        consumer_group_reconciliation: sound(),
        acceptances: Vec::new(),
    }
}

/// What a pipe of `jq` calls makes of `input`; nothing where there is no `jq`.
fn jq(input: &[u8], filters: &[&[&str]]) -> Option<String> {
    let mut text = input.to_vec();
    for arguments in filters {
        let started = Command::new("jq").args(*arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut child) = started else {
            println!("skipped: there is no jq here");
            return None;
        };
        child.stdin.take().unwrap().write_all(&text).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        text = output.stdout;
    }
    Some(String::from_utf8(text).unwrap().trim().to_owned())
}

#[test]
fn a_runbooks_questions_are_answered() {
    let bundle = json!({"migration_id": "m-1", "validation": report()}).to_string();
    let evidence = Envelope::seal(bundle, &Key::demo()).unwrap().to_json().unwrap();
    let Some(overall) = jq(&evidence, &[&["-r", ".bundle_json"], &["-r", ".validation.overall"]]) else { return };
    assert_eq!(overall, "PASSED_WITH_EXCEPTIONS");
    let outcomes = "{
        topic_parity: .validation.topic_parity.outcome,
        counts_and_offsets: .validation.counts_and_offsets.outcome,
        spot_check_records: .validation.spot_check_records.outcome,
        sentinel_presence: .validation.sentinel_presence.outcome,
        consumer_group_reconciliation: .validation.consumer_group_reconciliation.outcome
    }";
    let outcomes = jq(&evidence, &[&["-r", ".bundle_json"], &["-c", outcomes]]).unwrap();
    let expected = ["PASSED", "ACCEPTED", "PASSED", "WARNING", "PASSED"];
    let expected =
        CheckName::ALL.iter().zip(expected).map(|(check, outcome)| format!("{:?}:{outcome:?}", check.name()));
    assert_eq!(outcomes, format!("{{{}}}", expected.collect::<Vec<_>>().join(",")));
    let exceptions = ".validation | to_entries[] | select(.value | objects | has(\"exceptions\")) | .value.exceptions[]
        | [.place, .reason, .accepted_by] | join(\" \")";
    let exceptions = jq(&evidence, &[&["-r", ".bundle_json"], &["-r", exceptions]]).unwrap();
    assert_eq!(exceptions, "orders/3 a heartbeat ada@ops");
}
