//! The short form of `make test-faults`: one migration with faults all the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use faults::Plan;

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_under_faults_loses_and_doubles_nothing() {
    let plan = Plan {
        name: "faults-short".to_owned(),
        // Begins with a killed broker and lost answers of the target, and with lost answers of S3.
        seed: 2458,
        brokers: 1,
        scale: "0.1".to_owned(),
        whole: false,
        faults_for: Duration::from_secs(40),
        kinds: 5,
    };
    faults::run(&plan).await.unwrap();
}
