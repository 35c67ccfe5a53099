//! The sentinels of one partition: records that the cutover wrote to the source last, so that a sentinel in its place on
//! the target shows that everything before it had been copied when the cutover ended.

use migration::progress::PartitionProgress;
use migration::{MigrationId, Result};
use offsets::OffsetRuns;

use super::Bench;
use super::lookup::{Found, record_at};
use crate::check::Problem;
use crate::policy::Policy;
use crate::results::Sentinels;
use crate::second::Read;

/// Key of a sentinel and name of the header that holds the migration's id.
const NAME: &str = "msk-kraft-sentinel";

/// Looks for the sentinels of a partition that the target has.
///
/// # Errors
/// Transient when the target could not be asked.
pub(crate) async fn look(
    bench: &Bench<'_>,
    progress: &PartitionProgress,
    runs: &OffsetRuns,
    policy: &Policy,
) -> Result<Sentinels> {
    let partition = &progress.partition;
    let Some(published) = bench.sentinels.get(partition) else {
        let problem = Problem::failed(partition, "the cutover recorded no sentinel for this partition");
        return Ok(Sentinels { checked: 0, problems: vec![problem] });
    };
    let mut sentinels = Sentinels { checked: published.len() as u64, problems: Vec::new() };
    for source_offset in published {
        let target_offset = runs.translate(*source_offset);
        let place = format!("source offset {source_offset}, target offset {target_offset}");
        if runs.source_of(target_offset) != Some(*source_offset) {
            let message = format!("the sentinel was not copied (source offset {source_offset})");
            sentinels.problems.push(Problem::failed(partition, message));
            continue;
        }
        let seen = match bench.second.record_at(partition, target_offset).await? {
            Read::Record(seen) => {
                let header = seen.headers.get(NAME).map(Vec::as_slice);
                Some(is_ours(seen.key.as_deref(), seen.value.as_deref(), header, bench.id))
            }
            Read::Missing => None,
            // A broker may have put a client's record that this client cannot read into the same answer.
            Read::Unreadable(error) => {
                tracing::debug!(%partition, target_offset, error, "reading the sentinel through the other client");
                match record_at(&bench.target, partition, target_offset).await? {
                    Found::Record(record) => {
                        let header = record.headers.iter().find(|(name, _)| name == NAME.as_bytes());
                        let header = header.and_then(|(_, value)| value.as_deref());
                        Some(is_ours(record.key.as_deref(), record.value.as_deref(), header, bench.id))
                    }
                    Found::Gone => None,
                    Found::Unreadable(_) => Some(false),
                }
            }
        };
        let problem = match seen {
            Some(true) => continue,
            Some(false) => {
                Problem::failed(partition, format!("the record in the sentinel's place is another ({place})"))
            }
            None if policy.removes() => Problem::warning(
                partition,
                format!("the sentinel is not on the target any more, as {} allows ({place})", policy.because),
            ),
            None => Problem::failed(partition, format!("the sentinel is missing on the target ({place})")),
        };
        sentinels.problems.push(problem);
    }
    Ok(sentinels)
}

/// The header says whose it is; a sentinel in a format that has no headers says so in its value alone.
fn is_ours(key: Option<&[u8]>, value: Option<&[u8]>, header: Option<&[u8]>, id: &MigrationId) -> bool {
    let named = || {
        let value: serde_json::Value = serde_json::from_slice(value.unwrap_or_default()).unwrap_or_default();
        value["migration_id"] == id.as_str()
    };
    key == Some(NAME.as_bytes()) && header.map_or_else(named, |header| header == id.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_migrations_sentinel_counts() {
        let id: MigrationId = "m-1".parse().unwrap();
        let key = Some(NAME.as_bytes());
        let (ours, another) = (Some(&br#"{"migration_id":"m-1"}"#[..]), Some(&br#"{"migration_id":"m-2"}"#[..]));
        assert!(is_ours(key, None, Some(b"m-1"), &id));
        assert!(is_ours(key, ours, None, &id), "an old format has no headers");
        assert!(!is_ours(key, ours, Some(b"m-2"), &id));
        assert!(!is_ours(key, another, None, &id));
        assert!(!is_ours(key, Some(b"m-1"), None, &id));
        assert!(!is_ours(key, None, None, &id));
        assert!(!is_ours(None, ours, Some(b"m-1"), &id));
    }
}
