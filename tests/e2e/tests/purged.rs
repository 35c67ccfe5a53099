//! Records that the source deletes before they are copied, as Kafka Streams does with repartition topics and consumers of queues
//! do: a gap that everybody is told of, or a stop that names the way out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::{Duration, Instant};

use e2e::{Cli, Rehearsal, config, evidence, records, small};
use kafka::{Cluster, OffsetSpec, TopicPartition, all_ok};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stack::{Options, Side};

const REPARTITION: &str = "app-count-repartition";
const QUEUE: &str = "queue";
/// Records of each topic when the copy begins.
const BEFORE: i64 = 500;
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than the source holds a fetch (`MAX_WAIT` of the reader), so that none is on its way any more.
const IN_FLIGHT: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_before_it_is_copied_is_a_gap_on_record_or_a_stop_with_a_way_out() {
    let options = Options { name: "e2e-purged".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "purged").await.unwrap();
    let source = small::connect(&rehearsal.stack, Side::Source).await.unwrap();
    for topic in [REPARTITION, QUEUE] {
        small::create(&source, topic, 1, &[("retention.ms", "-1")]).await.unwrap();
        small::fill(&source, topic, 0, BEFORE).await.unwrap();
    }
    rehearsal.cli.run_all(&["execute"]).await.unwrap();

    signal_tails(&rehearsal, Signal::SIGSTOP);
    tokio::time::sleep(IN_FLIGHT).await;
    // Within a batch, as a purge by offset is wont to be.
    purge(&rehearsal, &source, REPARTITION, 100, 580).await;
    purge(&rehearsal, &source, QUEUE, 50, 520).await;
    small::commit(&source, "app", REPARTITION, 560, "").await.unwrap();
    signal_tails(&rehearsal, Signal::SIGCONT);

    let repartition = partition(&rehearsal.cli, REPARTITION, |found| found["copied"] == 520).await;
    let gap = &repartition["gaps"]["last"][0];
    assert!(repartition["gaps"]["offsets"] == 80 && gap["from"] == 500 && gap["to"] == 580, "{repartition:#}");
    let text = rehearsal.cli.run("status", &[]).await.unwrap().stdout;
    assert!(text.contains("gap        app-count-repartition/0: the source deleted 80 offsets"), "{text}");
    let cli = the_queue_goes_on_once_the_policy_says_so(&rehearsal).await;

    cli.run_all(&["cutover"]).await.unwrap();
    let target = small::connect(&rehearsal.stack, Side::Target).await.unwrap();
    let committed = small::committed(&target, "app", REPARTITION).await.unwrap();
    assert_eq!(committed, Some(500), "the first record that was copied behind the gap");
    let names = [TopicPartition::new(REPARTITION, 0), TopicPartition::new(QUEUE, 0)];
    let ends = all_ok(target.list_offsets(&names, OffsetSpec::Latest).await).unwrap();
    assert_eq!(names.each_ref().map(|name| ends[name]), [520, 530]);
    cli.run_all(&["cutover-ack", "finalize"]).await.unwrap();
    let bundle = evidence::verify(&rehearsal.stack, rehearsal.id(), &rehearsal.dir.join("evidence")).await.unwrap();
    the_evidence_names_both_gaps(&bundle);
    rehearsal.stack.stop().await.unwrap();
}

/// The queue stopped, whatever became of the repartition topic. Returns the CLI with a configuration that lets it go on.
async fn the_queue_goes_on_once_the_policy_says_so(rehearsal: &Rehearsal) -> Cli {
    let stopped = partition(&rehearsal.cli, QUEUE, |found| found["stopped"].is_string()).await;
    let reason = stopped["stopped"].as_str().unwrap();
    assert!(reason.contains("the offsets 500 to 520 are gone") && stopped["copied"] == BEFORE, "{stopped:#}");
    let said = ["queue/0", "topology.record_gap_of"];
    rehearsal.cli.run("cutover", &[]).await.unwrap().refused(&said).unwrap();
    let policy = "    topology:\n      record_gap_of: ['.*-repartition', 'queue']\n";
    let yaml = config::yaml(&rehearsal.stack) + policy;
    let path = config::write(&rehearsal.dir, "record-gap.yaml", &yaml).unwrap();
    let cli = rehearsal.cli.clone().with(&path, rehearsal.id());
    assert_eq!(cli.resume().await.unwrap(), "drain_ready");
    let queue = partition(&cli, QUEUE, |found| found["copied"] == 530).await;
    assert!(queue["gaps"]["offsets"] == 20 && queue["stopped"].is_null(), "{queue:#}");
    cli
}

/// In the copy, in what the rehearsal found before anybody was frozen, and as warnings of the validation.
fn the_evidence_names_both_gaps(bundle: &Value) {
    assert_eq!(bundle["copy"]["gap_offsets_total"], 100, "{:#}", bundle["copy"]);
    let found = bundle["rehearsal"]["findings"].as_array().unwrap();
    let found = found.iter().filter(|finding| finding["code"] == "cutover.records_deleted");
    let subjects: Vec<_> = found.map(|finding| finding["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["app-count-repartition/0", "queue/0"], "{:#}", bundle["rehearsal"]);
    let validation = &bundle["validation"];
    assert_eq!(validation["overall"], "PASSED_WITH_WARNINGS", "{validation:#}");
    let problems = validation["counts_and_offsets"]["problems"].as_array().unwrap();
    let is_named = |place: &str, offsets: &str| {
        let names = |problem: &Value| {
            problem["place"] == place
                && problem["outcome"] == "WARNING"
                && problem["message"].as_str().unwrap().contains(offsets)
        };
        problems.iter().any(names)
    };
    assert!(is_named("app-count-repartition/0", "deleted 80 offsets before they were copied"), "{problems:#?}");
    assert!(is_named("queue/0", "deleted 20 offsets before they were copied"), "{problems:#?}");
}

/// Appends `count` records, and has Kafka's own tool delete what lies before offset `start`.
async fn purge(rehearsal: &Rehearsal, source: &Cluster, topic: &str, count: i64, start: i64) {
    small::fill(source, topic, 0, count).await.unwrap();
    records::delete_before(&rehearsal.stack, Side::Source, topic, start).await.unwrap();
}

/// Sends a signal to every function that runs the tail.
fn signal_tails(rehearsal: &Rehearsal, signal: Signal) {
    let processes = rehearsal.stack.processes();
    let tails: Vec<_> = processes.iter().filter(|(name, _)| name.starts_with("tail-batch-")).collect();
    assert!(!tails.is_empty(), "{processes:?}");
    tails.into_iter().for_each(|(_, pid)| kill(Pid::from_raw((*pid).try_into().unwrap()), signal).unwrap());
}

/// What `status` says of a topic's partition, once it `is_so`.
async fn partition(cli: &Cli, topic: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = cli.status().await.unwrap();
        let found = status["partitions"].as_array().unwrap().iter().find(|found| found["topic"] == topic);
        match found {
            Some(found) if is_so(found) => return found.clone(),
            found => assert!(Instant::now() < until, "{topic}: {found:#?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
