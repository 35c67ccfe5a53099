//! The cluster that is left, as late records are read from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use copy::Slice;
use copy::reader;
use journal::{Position, ProducerId};
use kafka::{Cluster, OffsetSpec, TopicInfo, TopicPartition};
use migration::Result;
use runtime::Run;
use topology::Manifest;

use crate::late::ports::{Bounds, Reader, Source};

/// The source of a run.
pub(crate) struct LiveSource<'a> {
    run: &'a Run<'a>,
    cluster: &'a Cluster,
    /// Ids of the topics that were copied, where the source has ids.
    ids: BTreeMap<Arc<str>, String>,
}

impl<'a> LiveSource<'a> {
    /// The source of `run`, connected.
    ///
    /// # Errors
    /// Those of reading the manifest.
    pub(crate) async fn new(run: &'a Run<'a>, cluster: &'a Cluster) -> Result<Self> {
        let manifest = Manifest::load(run).await?;
        let ids = manifest.topics().into_iter().filter_map(|(name, topic)| Some((name.clone(), topic.id.clone()?)));
        let ids = ids.collect();
        Ok(Self { run, cluster, ids })
    }

    /// Why the topic of `partition` is not the one that was copied.
    fn absence(&self, partition: &TopicPartition, topics: &BTreeMap<Arc<str>, TopicInfo>) -> Option<&'static str> {
        let Some(found) = topics.get(&partition.topic) else {
            return Some("the source does not show its topic: it was deleted there, or may not be described any more");
        };
        let was = self.ids.get(&partition.topic);
        let is_another = was.zip(found.id.as_ref()).is_some_and(|(was, is)| was != is);
        let is_there = found.partitions.iter().any(|info| info.partition == partition.partition);
        (is_another || !is_there).then_some("its topic was deleted and created anew on the source")
    }
}

impl<'a> Source for LiveSource<'a> {
    type Reader = LiveReader<'a>;

    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Result<Bounds, String>>> {
        let topics = self.cluster.topics().await?.into_iter().map(|topic| (topic.name.clone(), topic)).collect();
        let (mut bounds, mut there) = (BTreeMap::new(), Vec::new());
        for partition in partitions {
            match self.absence(partition, &topics) {
                Some(why) => _ = bounds.insert(partition.clone(), Err(why.to_owned())),
                None => there.push(partition.clone()),
            }
        }
        // In this order, so that the last stable offset of an idle partition is not older than its high watermark.
        let starts = kafka::all_ok(self.cluster.list_offsets(&there, OffsetSpec::Earliest).await)?;
        let ends = kafka::all_ok(self.cluster.list_offsets(&there, OffsetSpec::Latest).await)?;
        let stable = kafka::all_ok(self.cluster.list_offsets(&there, OffsetSpec::LastStable).await)?;
        bounds.extend(there.into_iter().map(|partition| {
            let end = ends[&partition];
            // The log goes on while it is asked about.
            let found = Bounds { start: starts[&partition], stable: stable[&partition].min(end), end };
            (partition, Ok(found))
        }));
        Ok(bounds)
    }

    fn reader(
        &self,
        from: BTreeMap<TopicPartition, Position>,
        limits: BTreeMap<Arc<str>, usize>,
        producer: ProducerId,
    ) -> LiveReader<'a> {
        LiveReader { run: self.run, reader: reader::Reader::new(self.cluster, producer, from).within(limits) }
    }
}

/// Reads the source of a run.
pub(crate) struct LiveReader<'a> {
    run: &'a Run<'a>,
    reader: reader::Reader<'a, Cluster>,
}

impl Reader for LiveReader<'_> {
    async fn read(&mut self, partitions: &[TopicPartition], max_bytes: usize) -> Result<Vec<Slice>> {
        self.reader.read(partitions, max_bytes).await.map_err(|error| error.in_run(&self.run.id))
    }
}
