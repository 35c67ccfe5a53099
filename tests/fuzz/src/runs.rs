//! The body about offset runs that could be read.

use offsets::OffsetRuns;

/// Panics when `runs` do not read back or do not translate both ways.
pub(crate) fn check(runs: &OffsetRuns) {
    assert_eq!(&same(OffsetRuns::decode(&runs.encode())), runs);
    assert_eq!(&same(OffsetRuns::from_text(&runs.to_text())), runs);
    for run in runs.as_slice().iter().take(64) {
        for source in [run.source, run.source + run.len - 1] {
            let target = runs.translate(source);
            assert_eq!(runs.source_of(target), Some(source));
        }
    }
    assert_eq!(runs.source_of(runs.target_end()), None);
    assert_eq!(runs.translate(i64::MAX), runs.target_end());
}

fn same(read: migration::Result<OffsetRuns>) -> OffsetRuns {
    read.unwrap_or_else(|error| panic!("what was read does not read back: {error}"))
}
