//! The whole map of partitions. `docs/OFFSETS.md` describes its forms.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use migration::progress::PartitionProgress;
use migration::{Error, Result, TopicPartition};
use offsets::store::OffsetMap;
use offsets::{OffsetRun, OffsetRuns};
use runtime::Store;
use serde_json::json;

use super::file::WholeFile;
use super::names;
use super::show::Show;
use crate::args::MapFormat;
use crate::session::Session;

/// Partitions downloaded at the same time.
const AT_ONCE: usize = 4;

/// Where maps come from and which form they get.
#[derive(Debug)]
pub(super) struct Maps<'a> {
    pub(super) session: &'a Session,
    pub(super) store: &'a Store,
    pub(super) complete: bool,
    pub(super) format: MapFormat,
}

impl Maps<'_> {
    /// Prints the map of one partition.
    ///
    /// # Errors
    /// Those of [`OffsetMap`]; what was printed is not whole then.
    pub(super) async fn to_stdout(&self, progress: &PartitionProgress) -> Result<()> {
        let show = Show::new(&self.session.console, 1);
        let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout());
        match self.write(&mut out, progress, &show).await {
            // Nobody reads any more.
            Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(Failure::Output(error)) => Err(Error::blocked(format_args!("cannot write to stdout: {error}"))),
            Err(Failure::Map(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    /// Writes a file for each of `partitions` into the folder `dir`.
    ///
    /// # Errors
    /// Invalid when a file is there and `force` is not given, before anything is written; Blocked when one cannot be
    /// written; otherwise those of [`OffsetMap`]. One that fails keeps no other from being written.
    pub(super) async fn to_folder(&self, dir: &Path, partitions: &[&PartitionProgress], force: bool) -> Result<()> {
        let extension = self.format.extension();
        let stems = names::stems(partitions.iter().map(|progress| &*progress.partition.topic));
        let path = |progress: &PartitionProgress| {
            let TopicPartition { topic, partition } = &progress.partition;
            dir.join(format!("{}-{partition}.{extension}", stems[&**topic]))
        };
        partitions.iter().try_for_each(|progress| WholeFile::check(&path(progress), force))?;
        let show = Show::new(&self.session.console, partitions.len());
        let files = partitions.iter().map(|progress| self.to_file(path(progress), progress, force, &show));
        let outcomes: Vec<Result<()>> = stream::iter(files).buffer_unordered(AT_ONCE).collect().await;
        drop(show);
        let mut failed = outcomes.into_iter().filter_map(Result::err);
        if let Some(mut first) = failed.next() {
            let more = failed.count();
            first.message += &format!("; {} of {} files are whole", partitions.len() - 1 - more, partitions.len());
            return Err(first);
        }
        self.session.console.say(format!("wrote {} files to {}", partitions.len(), dir.display()));
        Ok(())
    }

    async fn to_file(&self, path: PathBuf, progress: &PartitionProgress, force: bool, show: &Show<'_>) -> Result<()> {
        let attempt = || async {
            let mut file = WholeFile::create(path.clone(), force)?;
            match self.write(&mut file, progress, show).await {
                Ok(()) => file.finish(),
                Err(Failure::Map(error)) => Err(error),
                Err(Failure::Output(error)) => {
                    Err(Error::blocked(format_args!("cannot write {}: {error}", path.display())))
                }
            }
        };
        self.session.patiently("read the offset runs", attempt).await?;
        show.partition();
        Ok(())
    }

    async fn write(
        &self,
        mut out: impl Write,
        progress: &PartitionProgress,
        show: &Show<'_>,
    ) -> std::result::Result<(), Failure> {
        let map = OffsetMap::open(self.store, progress).await?;
        let mut writer = MapWriter::begin(&mut out, self.format, progress, self.complete)?;
        let mut stretches = std::pin::pin!(map.stretches());
        while let Some(stretch) = stretches.try_next().await? {
            show.runs(stretch.len());
            writer.append(&stretch)?;
        }
        writer.finish()?;
        out.flush()?;
        Ok(())
    }
}

/// What kept a map from being written.
#[derive(Debug)]
enum Failure {
    /// It could not be read.
    Map(Error),
    /// Where it goes does not take it.
    Output(std::io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Map(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

/// Writes one map, run by run.
struct MapWriter<'a, W: Write> {
    out: W,
    format: MapFormat,
    progress: &'a PartitionProgress,
    /// The last run, which the next stretch may go on with.
    pending: Option<OffsetRun>,
    /// Whether a run was written.
    any: bool,
}

impl<'a, W: Write> MapWriter<'a, W> {
    fn begin(mut out: W, format: MapFormat, progress: &'a PartitionProgress, complete: bool) -> std::io::Result<Self> {
        let PartitionProgress { partition, source_start, source_next, target_next, .. } = progress;
        match format {
            MapFormat::Csv => {
                writeln!(out, "topic,partition,source_offset,target_offset,records")?;
                writeln!(out, "{},{},{source_start},0,0", partition.topic, partition.partition)?;
            }
            MapFormat::Json => {
                let head = json!({
                    "topic": partition.topic, "partition": partition.partition, "complete": complete,
                    "source_start": source_start, "source_next": source_next, "target_next": target_next,
                    "columns": ["source_offset", "target_offset", "records"],
                });
                let head = head.to_string();
                write!(out, "{},\"runs\":[", head.trim_end_matches('}'))?;
            }
        }
        Ok(Self { out, format, progress, pending: None, any: false })
    }

    fn append(&mut self, stretch: &OffsetRuns) -> std::io::Result<()> {
        for run in stretch.as_slice() {
            match &mut self.pending {
                Some(last) if last.source + last.len == run.source => last.len += run.len,
                pending => {
                    if let Some(last) = pending.replace(*run) {
                        self.run(last)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<()> {
        if let Some(last) = self.pending.take() {
            self.run(last)?;
        }
        match self.format {
            MapFormat::Csv => {
                let (source, target) = (self.progress.source_next, self.progress.target_next);
                self.run(OffsetRun { source, target, len: 0 })
            }
            MapFormat::Json => writeln!(self.out, "\n]}}"),
        }
    }

    fn run(&mut self, OffsetRun { source, target, len }: OffsetRun) -> std::io::Result<()> {
        let partition = &self.progress.partition;
        match self.format {
            // A topic's name holds nothing that would have to be quoted.
            MapFormat::Csv => {
                writeln!(self.out, "{},{},{source},{target},{len}", partition.topic, partition.partition)
            }
            MapFormat::Json => {
                let comma = if std::mem::replace(&mut self.any, true) { "," } else { "" };
                write!(self.out, "{comma}\n[{source},{target},{len}]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The map of two stretches that meet within a run.
    fn written(format: MapFormat) -> String {
        let mut progress = PartitionProgress::new(TopicPartition::new("orders", 3), 90, 90);
        (progress.source_next, progress.target_next) = (131, 25);
        let mut out = Vec::new();
        let mut writer = MapWriter::begin(&mut out, format, &progress, true).unwrap();
        let mut first = OffsetRuns::starting_at(0);
        first.push(100, 10).unwrap();
        let mut second = OffsetRuns::starting_at(10);
        second.push(110, 5).unwrap();
        second.push(120, 10).unwrap();
        writer.append(&first).unwrap();
        writer.append(&second).unwrap();
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_csv_map_has_a_line_for_each_run_between_its_bounds() {
        let expected = "topic,partition,source_offset,target_offset,records
orders,3,90,0,0
orders,3,100,0,15
orders,3,120,15,10
orders,3,131,25,0
";
        assert_eq!(written(MapFormat::Csv), expected);
    }

    #[test]
    fn a_json_map_is_one_object() {
        let map: Value = serde_json::from_str(&written(MapFormat::Json)).unwrap();
        let expected = json!({
            "topic": "orders", "partition": 3, "complete": true, "source_start": 90, "source_next": 131,
            "target_next": 25, "columns": ["source_offset", "target_offset", "records"],
            "runs": [[100, 0, 15], [120, 15, 10]],
        });
        assert_eq!(map, expected);
    }

    #[test]
    fn a_map_of_nothing_is_a_map_too() {
        let progress = PartitionProgress::new(TopicPartition::new("orders", 3), 90, 90);
        let mut out = Vec::new();
        MapWriter::begin(&mut out, MapFormat::Json, &progress, false).unwrap().finish().unwrap();
        let map: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(map["runs"], json!([]));
    }

    /// The rule of `docs/OFFSETS.md`, applied to the lines as a reader of the document would.
    fn by_the_document(csv: &str, source: i64) -> i64 {
        let rows: Vec<[i64; 3]> = csv
            .lines()
            .skip(1)
            .map(|line| {
                let mut fields = line.split(',').skip(2).map(|field| field.parse().unwrap());
                std::array::from_fn(|_| fields.next().unwrap())
            })
            .collect();
        let last = rows.iter().rposition(|[first, ..]| *first <= source);
        let Some(at) = last else { return 0 };
        let [first, target, records] = rows[at];
        if source < first + records {
            target + (source - first)
        } else {
            rows.get(at + 1).map_or(target, |next| next[1])
        }
    }

    #[test]
    fn the_documents_rule_is_the_translation() {
        let mut runs = OffsetRuns::starting_at(0);
        runs.push(100, 15).unwrap();
        runs.push(120, 10).unwrap();
        let csv = written(MapFormat::Csv);
        for source in 0..140 {
            assert_eq!(by_the_document(&csv, source), runs.translate(source), "{source}");
        }
    }
}
