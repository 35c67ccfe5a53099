//! The target's topics keep the configs under which they are copied: whoever alters one is named before anything depends on it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use e2e::{Rehearsal, small};
use kafka::{OffsetSpec, TopicPartition, all_ok};
use stack::{Options, Side};

/// Report 16a: the topic is compacted while it is copied, and the bounds of its log stay what they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_altered_on_the_target_while_it_is_copied_is_named_before_the_cutover() {
    let options = Options { name: "e2e-held".to_owned(), discard: true, quiet: true, ..Options::default() };
    let rehearsal = Rehearsal::start(options, "held").await.unwrap();
    let source = small::connect(&rehearsal.stack, Side::Source).await.unwrap();
    let target = small::connect(&rehearsal.stack, Side::Target).await.unwrap();
    for topic in ["orders", "users"] {
        small::create(&source, topic, 1, &[]).await.unwrap();
        small::fill(&source, topic, 0, 500).await.unwrap();
    }
    small::commit(&source, "readers", "orders", 7, "").await.unwrap();
    rehearsal.cli.run_all(&["execute"]).await.unwrap();
    for (config, value) in
        [("min.cleanable.dirty.ratio", "0.01"), ("segment.ms", "1000"), ("cleanup.policy", "compact")]
    {
        small::set(&target, "orders", config, value).await.unwrap();
    }
    let said = ["orders", "config cleanup.policy is compact on the target", "expected is delete"];
    rehearsal.cli.run("cutover", &[]).await.unwrap().refused(&said).unwrap();
    assert_eq!(small::committed(&target, "readers", "orders").await.unwrap(), None);
    let partition = [TopicPartition::new("users", 0)];
    let end = all_ok(target.list_offsets(&partition, OffsetSpec::Latest).await).unwrap();
    assert_eq!(end[&partition[0]], 500, "no sentinel was placed");
    rehearsal.stack.stop().await.unwrap();
}
