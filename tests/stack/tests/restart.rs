//! The stack as a program: Ctrl-C saves, `--keep` goes on, and not even a kill leaves a process behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use stack::SEGMENTS_BUCKET;

const NAME: &str = "test-restart";

#[tokio::test]
async fn an_interrupted_stack_goes_on_where_it_was() {
    let mut first = up(&[]);
    let exports = first.exports();
    let endpoint = &exports["AWS_ENDPOINT_URL"];
    let body = "content".as_bytes().to_vec().into();
    let put = common::s3(endpoint).put_object().bucket(SEGMENTS_BUCKET).key("a b/ü").metadata("offset", "7");
    put.body(body).send().await.unwrap();
    let data = common::home(NAME).join("data/target-1/meta.properties");
    let formatted = std::fs::read_to_string(&data).unwrap();
    first.signal(Signal::SIGINT);
    assert!(first.child.wait().unwrap().success());
    assert_nothing_runs();

    let mut second = up(&["--keep"]);
    assert_eq!(second.exports(), exports, "ports and addresses stay");
    let object = common::s3(endpoint).get_object().bucket(SEGMENTS_BUCKET).key("a b/ü").send().await.unwrap();
    assert_eq!(object.metadata().unwrap()["offset"], "7");
    assert_eq!(object.body.collect().await.unwrap().into_bytes().as_ref(), b"content");
    assert_eq!(std::fs::read_to_string(&data).unwrap(), formatted);

    second.signal(Signal::SIGKILL);
    second.child.wait().unwrap();
    assert_nothing_runs();
}

struct Up {
    child: Child,
}

fn up(more: &[&str]) -> Up {
    let child = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(["up", "--quiet", "--name", NAME])
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Up { child }
}

impl Up {
    /// Waits until the stack is up.
    fn exports(&mut self) -> std::collections::BTreeMap<String, String> {
        let lines = BufReader::new(self.child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut found = std::collections::BTreeMap::new();
        for line in lines {
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|export| export.split_once('=')) {
                found.insert(name.to_owned(), value.trim_matches('\'').to_owned());
            }
            // The last line.
            if line.starts_with("export RUST_LOG") {
                return found;
            }
        }
        panic!("the stack did not come up");
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn assert_nothing_runs() {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = common::processes_of(&common::home(NAME));
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still running: {left:#?}");
    }
}
