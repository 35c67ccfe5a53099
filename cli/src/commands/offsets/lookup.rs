//! Single offsets: one from the command line, or many from a file.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use migration::progress::PartitionProgress;
use migration::{Error, Result, TopicPartition};
use offsets::store::{OffsetMap, Place};
use runtime::Store;
use serde::Serialize;

use super::Copied;
use crate::args::MapFormat;
use crate::commands::Exit;
use crate::session::Session;

/// Partitions looked at at the same time.
const AT_ONCE: usize = 4;

/// What an offset leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// The record at this offset.
    Record,
    /// The next copied record.
    NextRecord,
    /// The first copied record: the offset is below the log start.
    BelowStart,
    /// The end of what was copied.
    End,
    /// The end as well: the offset is beyond it.
    BeyondEnd,
    /// Nothing yet.
    NotCopied,
    /// Nothing: the migration has no such partition.
    UnknownPartition,
}

impl Answer {
    const fn of(place: Place, complete: bool) -> Self {
        match place {
            Place::Record => Self::Record,
            Place::NextRecord => Self::NextRecord,
            Place::BelowStart => Self::BelowStart,
            Place::End => Self::End,
            Place::Beyond if complete => Self::BeyondEnd,
            Place::Beyond => Self::NotCopied,
        }
    }

    const fn explained(self) -> &'static str {
        match self {
            Self::Record => "the record itself",
            Self::NextRecord => "no record of this offset was copied: the next one that was",
            Self::BelowStart => "below the source's log start when the copy began: the first record that was copied",
            Self::End => "every record before it was copied: the end of the copy",
            Self::BeyondEnd => "beyond the source's end: the end of the copy",
            Self::NotCopied => "not copied yet",
            Self::UnknownPartition => "not part of the migration",
        }
    }
}

/// One line of a lookup and its answer.
#[derive(Debug, Serialize)]
struct Found<'a> {
    topic: &'a str,
    partition: i32,
    source_offset: i64,
    target_offset: Option<i64>,
    place: Answer,
}

impl<'a> Found<'a> {
    fn new(wanted: &'a Wanted, (target, place): (i64, Answer)) -> Self {
        let known = !matches!(place, Answer::NotCopied | Answer::UnknownPartition);
        Self {
            topic: &wanted.partition.topic,
            partition: wanted.partition.partition,
            source_offset: wanted.offset,
            target_offset: known.then_some(target),
            place,
        }
    }
}

/// A source offset to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    partition: TopicPartition,
    offset: i64,
}

/// Looks up one offset and prints where it leads.
pub(super) async fn one(
    session: &Session,
    store: &Store,
    copied: &Copied,
    progress: &PartitionProgress,
    offset: i64,
) -> Result<Exit> {
    let partition = progress.partition.clone();
    let wanted = Wanted { partition: partition.clone(), offset };
    let answers = answers(session, store, progress, &[offset], copied.complete).await?;
    let found = Found::new(&wanted, answers[0]);
    if session.console.is_json() {
        session.console.json(&found)?;
    }
    let Some(target) = found.target_offset else {
        let reach = progress.source_next;
        let why = progress.stopped.as_ref().map(|reason| format!("; it stopped: {reason}")).unwrap_or_default();
        session.console.say(format!("error: {partition} is copied up to source offset {reach}, not {offset}{why}"));
        return Ok(Exit::Failed);
    };
    if !session.console.is_json() {
        let text = format!("{partition} source offset {offset} is target offset {target}");
        session.console.data(format!("{text}\n{}", found.place.explained()));
    }
    Ok(Exit::Done)
}

/// Looks up every line of the file `path` and prints them in its order.
pub(super) async fn file(
    session: &Session,
    store: &Store,
    copied: &Copied,
    path: &Path,
    format: MapFormat,
) -> Result<Exit> {
    let wanted = read(path)?;
    let mut by_partition: BTreeMap<&TopicPartition, Vec<i64>> = BTreeMap::new();
    for one in &wanted {
        by_partition.entry(&one.partition).or_default().push(one.offset);
    }
    let lookups = by_partition.into_iter().map(|(partition, mut offsets)| async move {
        offsets.sort_unstable();
        offsets.dedup();
        let answers = match copied.get(partition) {
            Some(progress) => answers(session, store, progress, &offsets, copied.complete).await?,
            None => vec![(0, Answer::UnknownPartition); offsets.len()],
        };
        Ok::<_, Error>((partition, offsets.into_iter().zip(answers).collect::<BTreeMap<_, _>>()))
    });
    let known: BTreeMap<_, _> = stream::iter(lookups).buffer_unordered(AT_ONCE).try_collect().await?;
    let found: Vec<_> = wanted.iter().map(|one| Found::new(one, known[&one.partition][&one.offset])).collect();
    session.console.data(printed(&found, format)?);
    let without = found.iter().filter(|found| found.target_offset.is_none()).count();
    if without > 0 {
        session
            .console
            .say(format!("error: {without} of {} offsets have no place on the target; see place", found.len()));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

/// Where each of `offsets`, ascending, leads.
async fn answers(
    session: &Session,
    store: &Store,
    progress: &PartitionProgress,
    offsets: &[i64],
    complete: bool,
) -> Result<Vec<(i64, Answer)>> {
    let look = || async {
        let mut map = OffsetMap::open(store, progress).await?;
        let mut answers = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let (target, place) = map.find(*offset).await?;
            answers.push((target, Answer::of(place, complete)));
        }
        Ok(answers)
    };
    session.patiently("read the offset runs", look).await
}

/// The lines of a lookup file.
fn read(path: &Path) -> Result<Vec<Wanted>> {
    let name = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let cannot = |error: std::io::Error| Error::invalid(format_args!("cannot read {name}: {error}"));
    if path == Path::new("-") {
        return parse(std::io::stdin().lock(), &name);
    }
    parse(std::fs::File::open(path).map_err(cannot)?, &name)
}

/// Lines `topic,partition,offset`; a first line that is no such line is a header.
fn parse(input: impl Read, name: &str) -> Result<Vec<Wanted>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(input);
    let mut wanted = Vec::new();
    for (index, row) in reader.records().enumerate() {
        let row = row.map_err(|error| Error::invalid(format_args!("{name}: {error}")))?;
        match line(&row) {
            Some(line) => wanted.push(line),
            None if index == 0 && row.get(2).is_some_and(|field| field.parse::<i64>().is_err()) => {}
            None => {
                let number = row.position().map_or(0, csv::Position::line);
                return Err(Error::invalid(format_args!(
                    "{name}, line {number}: {:?} is not topic,partition,offset",
                    row.iter().collect::<Vec<_>>().join(",")
                )));
            }
        }
    }
    Ok(wanted)
}

fn line(row: &csv::StringRecord) -> Option<Wanted> {
    let mut fields = row.iter();
    let (topic, partition, offset) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let right = fields.next().is_none() && !topic.is_empty() && partition >= 0 && offset >= 0;
    right.then(|| Wanted { partition: TopicPartition::new(topic, partition), offset })
}

fn printed(found: &[Found<'_>], format: MapFormat) -> Result<String> {
    let cannot = |error: &dyn std::fmt::Display| Error::internal(format_args!("encode the output: {error}"));
    let mut out = Vec::new();
    match format {
        MapFormat::Csv => {
            let mut writer = csv::Writer::from_writer(&mut out);
            found.iter().try_for_each(|one| writer.serialize(one)).map_err(|error| cannot(&error))?;
            writer.flush().map_err(|error| cannot(&error))?;
        }
        MapFormat::Json => {
            for one in found {
                serde_json::to_writer(&mut out, one).map_err(|error| cannot(&error))?;
                out.write_all(b"\n").map_err(|error| cannot(&error))?;
            }
        }
    }
    String::from_utf8(out).map_err(|error| cannot(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(topic: &str, partition: i32, offset: i64) -> Wanted {
        Wanted { partition: TopicPartition::new(topic, partition), offset }
    }

    #[test]
    fn a_lookup_file_may_have_a_header_and_blank_lines() {
        let expected = [wanted("orders", 3, 12), wanted("a.b_c-d", 0, 0)];
        for text in [
            "orders,3,12\na.b_c-d,0,0\n",
            "topic,partition,offset\r\norders, 3, 12\r\n\r\na.b_c-d,0,0",
            "Topic,Partition,Source Offset\n\"orders\",\"3\",\"12\"\na.b_c-d,0,0\n",
        ] {
            assert_eq!(parse(text.as_bytes(), "f").unwrap(), expected, "{text:?}");
        }
        assert_eq!(parse("".as_bytes(), "f").unwrap(), []);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for bad in ["orders,3,12\norders,3\n", "orders,3,12\norders,3,x\n", "orders,3,12\norders,3,-1\n"] {
            let error = parse(bad.as_bytes(), "f.csv").unwrap_err();
            assert!(error.message.starts_with("f.csv, line 2: \"orders,3"), "{error}");
        }
        assert!(parse("orders,3,-7\n".as_bytes(), "f").is_err(), "a first line with a number is no header");
    }

    #[test]
    fn answers_are_printed_in_either_form() {
        let (a, b) = (wanted("orders", 3, 12), wanted("orders", 3, 90));
        let found = [Found::new(&a, (9, Answer::Record)), Found::new(&b, (50, Answer::NotCopied))];
        let expected =
            "topic,partition,source_offset,target_offset,place\norders,3,12,9,record\norders,3,90,,not_copied\n";
        assert_eq!(printed(&found, MapFormat::Csv).unwrap(), expected);
        let expected = r#"{"topic":"orders","partition":3,"source_offset":12,"target_offset":9,"place":"record"}
{"topic":"orders","partition":3,"source_offset":90,"target_offset":null,"place":"not_copied"}
"#;
        assert_eq!(printed(&found, MapFormat::Json).unwrap(), expected);
    }
}
