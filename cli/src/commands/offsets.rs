//! `offsets`: which target offset a source offset became, for consumers that keep theirs outside of Kafka.

mod file;
mod lookup;
mod map;
mod names;
mod show;

use journal::Meta;
use migration::progress::PartitionProgress;
use migration::{Config, Error, Phase, Result, TopicPartition};

use super::Exit;
use crate::args::OffsetsArgs;
use crate::session::Session;

/// What is known of a migration's partitions at one moment.
#[derive(Debug)]
struct Copied {
    /// Every partition, by topic and number.
    partitions: Vec<PartitionProgress>,
    /// Whether nothing is copied any more.
    complete: bool,
}

impl Copied {
    /// Reads the journal.
    async fn read(session: &Session, meta: &Meta) -> Result<Self> {
        let mut partitions = session.partitions(meta).await?;
        partitions.sort_by(|a, b| a.partition.cmp(&b.partition));
        Ok(Self { partitions, complete: meta.committed })
    }

    /// The partition, if it is part of the migration.
    fn get(&self, partition: &TopicPartition) -> Option<&PartitionProgress> {
        let at = self.partitions.binary_search_by(|progress| progress.partition.cmp(partition)).ok()?;
        Some(&self.partitions[at])
    }

    /// The partitions that the flags name.
    ///
    /// # Errors
    /// Invalid when there is none.
    fn select(&self, args: &OffsetsArgs) -> Result<Vec<&PartitionProgress>> {
        let wanted = |progress: &&PartitionProgress| {
            let TopicPartition { topic, partition } = &progress.partition;
            args.topic.as_deref().is_none_or(|wanted| wanted == &**topic)
                && args.partition.is_none_or(|wanted| wanted == *partition)
        };
        let selected: Vec<_> = self.partitions.iter().filter(wanted).collect();
        match (&args.topic, args.partition) {
            _ if !selected.is_empty() => Ok(selected),
            (Some(topic), Some(partition)) => Err(unknown(&TopicPartition::new(topic.as_str(), partition))),
            (Some(topic), None) => Err(Error::invalid(format_args!("topic {topic} is not part of the migration"))),
            _ => Err(Error::invalid("no partition was dealt out yet: ask again when the migration is in seed")),
        }
    }
}

/// Runs the verb.
pub(super) async fn run(args: &OffsetsArgs) -> Result<Exit> {
    let (session, snapshot) = Session::open(&args.run).await?;
    session.events().await?;
    let meta = &snapshot.meta;
    let store = session.backup(&Config::from_json(&meta.config)?);
    let copied = Copied::read(&session, meta).await?;
    if meta.phase == Phase::RolledBack {
        session.console.say("note: the migration was rolled back; what is on the target may be gone");
    }
    if let Some(path) = &args.lookup {
        return lookup::file(&session, &store, &copied, path, args.format()).await;
    }
    let selected = copied.select(args)?;
    if let (Some(offset), [progress]) = (args.source_offset, selected.as_slice()) {
        return lookup::one(&session, &store, &copied, progress, offset).await;
    }
    for progress in &selected {
        note_reach(&session, progress, copied.complete, selected.len());
    }
    let maps = map::Maps { session: &session, store: &store, complete: copied.complete, format: args.format() };
    match (&args.out_dir, selected.as_slice()) {
        (Some(dir), _) => maps.to_folder(dir, &selected, args.force).await?,
        (None, [progress]) => maps.to_stdout(progress).await?,
        (None, _) => {
            return Err(Error::invalid(format_args!(
                "{} partitions do not fit on stdout: name one with --topic and --partition, or a folder with --out-dir",
                selected.len()
            )));
        }
    }
    Ok(Exit::Done)
}

/// Says how far a map reaches that may still grow; of many only the ones that stopped.
fn note_reach(session: &Session, progress: &PartitionProgress, complete: bool, of: usize) {
    let PartitionProgress { partition, source_next, stopped, .. } = progress;
    if let Some(reason) = stopped {
        session.console.say(format!("note: {partition} stopped at source offset {source_next}: {reason}"));
    } else if !complete && of == 1 {
        session.console.say(format!("note: the migration goes on; {partition} is copied up to offset {source_next}"));
    }
}

fn unknown(partition: &TopicPartition) -> Error {
    Error::invalid(format_args!("{partition} is not part of the migration"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Verb};
    use crate::test_support::partition;
    use clap::Parser as _;

    fn select(flags: &str) -> Result<Vec<String>> {
        let line = format!("msk-kraft offsets --migration-id m1{flags}");
        let Verb::Offsets(args) = Cli::try_parse_from(line.split(' ')).unwrap().verb else { panic!("another verb") };
        let partitions = vec![partition("a", 0, 1, 1), partition("a", 1, 1, 1), partition("b", 0, 1, 1)];
        let copied = Copied { partitions, complete: false };
        Ok(copied.select(&args)?.iter().map(|progress| progress.partition.to_string()).collect())
    }

    #[test]
    fn flags_select_partitions() {
        assert_eq!(select("").unwrap(), ["a/0", "a/1", "b/0"]);
        assert_eq!(select(" --topic a").unwrap(), ["a/0", "a/1"]);
        assert_eq!(select(" --topic a --partition 1").unwrap(), ["a/1"]);
        assert!(select(" --topic a --partition 7").unwrap_err().message.contains("a/7"));
        assert!(select(" --topic c").unwrap_err().message.contains("topic c"));
    }
}
