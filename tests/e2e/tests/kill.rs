//! What is killed goes on: a copy function in the middle of its work, and the whole stack.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use e2e::{Live, Rehearsal};
use stack::Options;
use tokio::sync::Mutex;

const PATIENCE: Duration = Duration::from_secs(120);

/// One stack at a time: two of them on a small machine are too slow to drain.
static ALONE: Mutex<()> = Mutex::const_new(());

fn options(name: &str) -> Options {
    Options { name: name.to_owned(), quiet: true, ..Options::default() }
}

/// Kills a busy process of `function` whenever there is one, `times` times.
async fn kill_repeatedly(rehearsal: &Rehearsal, function: &str, times: usize) {
    let until = Instant::now() + PATIENCE;
    let mut killed = 0;
    while killed < times {
        assert!(Instant::now() < until, "{function} was busy only {killed} times");
        // A moment of work, so that the kill lands at another point of the copy each time.
        tokio::time::sleep(Duration::from_millis(137 + 61 * killed as u64)).await;
        if rehearsal.stack.kill_function_instance(function).is_ok() {
            killed += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_copy_functions_lose_and_double_nothing() {
    let _alone = ALONE.lock().await;
    let rehearsal = Rehearsal::start(Options { discard: true, ..options("e2e-kill") }, "killed").await.unwrap();
    rehearsal.java.load_source(11, "0.3").await.unwrap();
    let live = Live::start(&rehearsal.stack, &rehearsal.java).await.unwrap();

    let (executed, ()) =
        tokio::join!(rehearsal.cli.run("execute", &[]), kill_repeatedly(&rehearsal, "seed-partition", 4));
    executed.unwrap().ok().unwrap();
    kill_repeatedly(&rehearsal, "tail-batch", 2).await;
    rehearsal.cut_over(&rehearsal.cli, &live).await.unwrap();
    rehearsal.judge(live, true).await.unwrap();
    rehearsal.stack.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_goes_on_after_everything_was_stopped() {
    let _alone = ALONE.lock().await;
    let name = "e2e-restart";
    let rehearsal = Rehearsal::start(options(name), "restarted").await.unwrap();
    rehearsal.java.load_source(13, "0.3").await.unwrap();
    let cli = rehearsal.cli.clone();
    let execute = tokio::spawn(async move { cli.run("execute", &[]).await });
    let until = Instant::now() + PATIENCE;
    while rehearsal.stack.busy_instances("seed-partition") == 0 {
        assert!(Instant::now() < until, "the seed did not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    execute.abort();
    rehearsal.stack.stop().await.unwrap();

    let rehearsal = Rehearsal::start(Options { keep: true, ..options(name) }, "restarted").await.unwrap();
    let live = Live::start(&rehearsal.stack, &rehearsal.java).await.unwrap();
    let resumed = rehearsal.cli.run("resume", &[]).await.unwrap();
    assert!(matches!(resumed.code, 0 | 10), "{}\n{}", resumed.stdout, resumed.stderr);
    rehearsal.cut_over(&rehearsal.cli, &live).await.unwrap();
    rehearsal.judge(live, true).await.unwrap();
    let home = rehearsal.stack.logs().parent().unwrap().to_owned();
    rehearsal.stack.stop().await.unwrap();
    std::fs::remove_dir_all(home.join("data")).unwrap();
}
