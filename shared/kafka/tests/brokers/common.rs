//! What the tests against real brokers share: a source in ZooKeeper mode and a target in KRaft mode, from the environment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use kafka::{Cluster, NewTopic, Settings, TopicPartition, all_ok};

/// The cluster that the variable names, unless it is not set.
pub(crate) async fn cluster(variable: &str) -> Option<Cluster> {
    let Ok(bootstrap) = std::env::var(variable) else {
        println!("skipped: {variable} is not set to the bootstrap servers of a cluster");
        return None;
    };
    Some(Cluster::connect(Settings::parse(&bootstrap)).await.unwrap())
}

/// The clusters that the environment names, source first.
pub(crate) async fn clusters() -> Vec<Cluster> {
    let source = cluster("MSK_KRAFT_TEST_SOURCE").await;
    source.into_iter().chain(cluster("MSK_KRAFT_TEST_TARGET").await).collect()
}

/// A name that no earlier run has used.
pub(crate) fn fresh(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
    format!("{name}-{now}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A topic for one test, whose leaders are there. Its records are never too old.
pub(crate) async fn create(cluster: &Cluster, name: &str, partitions: i32) -> Vec<TopicPartition> {
    let name: Arc<str> = fresh(name).into();
    let configs = [("retention.ms", "-1"), ("min.insync.replicas", "1")];
    let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let topic = NewTopic { name: name.clone(), partitions, replication_factor: 1, configs };
    all_ok(cluster.create_topics(&[topic]).await).unwrap();
    let partitions: Vec<_> = (0..partitions).map(|partition| TopicPartition::new(name.clone(), partition)).collect();
    all_ok(cluster.list_offsets(&partitions, kafka::OffsetSpec::Latest).await).unwrap();
    partitions
}

/// Waits for something that comes to be by itself: at once, or later where builds and other stacks share the processors.
pub(crate) async fn eventually(condition: impl AsyncFn() -> bool) {
    const LIMIT: Duration = Duration::from_secs(60);
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < LIMIT, "it never came to be");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
