//! What a demonstration shows at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use e2e::{Rehearsal, Verdict};
use serde_json::Value;

/// Prints the journal, the time of each phase, the freeze, the outcomes and where everything lies.
pub(crate) async fn print(rehearsal: &Rehearsal, verdict: &Verdict, took: Duration) -> anyhow::Result<()> {
    super::heading("Journal");
    print!("{}", rehearsal.cli.run("journal", &[]).await?.ok()?.stdout);
    super::heading("Time in each phase");
    for (phase, seconds) in phase_seconds(&verdict.bundle)? {
        println!("{phase:24} {seconds:8.1} s");
    }
    super::heading("Producer freeze");
    println!("{}", freeze(rehearsal, verdict));
    super::heading("Validation");
    print_validation(&verdict.bundle["validation"]);
    super::heading("Judges");
    let records = &verdict.judge["records"];
    println!(
        "records compared: {} of {} partitions, {} differences",
        records["equal_records"], records["partitions"], verdict.judge["differences"]
    );
    println!("consumer groups compared: {}", verdict.judge["groups"]);
    match &verdict.live {
        Some(live) => println!("live clients, across the switch: {live}"),
        None => println!("live clients: not followed, since this run was resumed"),
    }
    super::heading("Evidence");
    let dir = rehearsal.dir.join("evidence");
    println!("s3://{}/migrations/{}/evidence.json", stack::EVIDENCE_BUCKET, rehearsal.id());
    println!("a copy of its parts lies in {}; verify it with:", dir.display());
    println!("  cd {}", dir.display());
    println!("  openssl pkeyutl -verify -pubin -inkey public_key.pem -rawin -in bundle.json -sigfile bundle.sig");
    println!("\nfinalized in {:.0} s; the stack stops now", took.as_secs_f64());
    Ok(())
}

/// Seconds between a phase's first event and the next phase's, in the order of the journal.
fn phase_seconds(bundle: &Value) -> anyhow::Result<Vec<(String, f64)>> {
    let events = bundle["journal"].as_array().context("the evidence holds the journal")?;
    let at = |event: &Value| -> Option<f64> {
        let text = event["at"].as_str()?;
        seconds_of_day(text)
    };
    let mut order = Vec::new();
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for pair in events.windows(2) {
        let phase = pair[0]["to"].as_str().unwrap_or_default().to_owned();
        let Some((from, to)) = at(&pair[0]).zip(at(&pair[1])) else { continue };
        if !order.contains(&phase) {
            order.push(phase.clone());
        }
        // Past midnight the clock starts again.
        *sums.entry(phase).or_default() += (to - from).rem_euclid(86_400.0);
    }
    Ok(order.into_iter().map(|phase| (phase.clone(), sums[&phase])).collect())
}

/// Seconds since midnight of a timestamp such as `2026-04-25T06:15:07.512121Z`.
fn seconds_of_day(timestamp: &str) -> Option<f64> {
    let clock = timestamp.split_once('T')?.1.trim_end_matches('Z');
    let mut parts = clock.split(':').map(|part| part.parse::<f64>().ok());
    Some(parts.next()?? * 3600.0 + parts.next()?? * 60.0 + parts.next()??)
}

/// The freeze as the cutover measured it, and as the producers felt it: up to their first record on the target, with
/// the switch of the clients in between.
fn freeze(rehearsal: &Rehearsal, verdict: &Verdict) -> String {
    let seconds = |ms: &Value| ms.as_f64().unwrap_or_default() / 1000.0;
    let ready = seconds(&verdict.bundle["cutover"]["freeze_ms"]);
    let mut line = format!("from the freeze to READY_FOR_CLIENT_SWITCH: {ready:.2} s");
    let log = std::fs::read_to_string(rehearsal.stack.logs().join("live.log")).unwrap_or_default();
    let account: Option<Value> = log.lines().last().and_then(|last| serde_json::from_str(last).ok());
    if let Some(account) = account {
        let felt = seconds(&account["switch_gap_ms"]);
        line.push_str(&format!("\nbetween two acknowledged records of a producer, across the switch: {felt:.2} s"));
    }
    line
}

fn print_validation(validation: &Value) {
    println!("overall: {}", validation["overall"].as_str().unwrap_or("unknown"));
    let checks = [
        "topic_parity",
        "counts_and_offsets",
        "spot_check_records",
        "sentinel_presence",
        "consumer_group_reconciliation",
    ];
    for check in checks {
        println!("{check:32} {}", validation[check]["outcome"].as_str().unwrap_or("unknown"));
    }
}
