//! Names of the files that maps are written to.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

/// Most bytes of a topic's part of a name: file systems take 255, of which a partition and the ending need some.
const LONGEST: usize = 200;
/// Bytes that are left of a name that is shortened.
const KEPT: usize = 160;

/// What the files of each topic begin with: its name, unless that is too long for a file or differs from another one's in case
/// alone, which not every file system tells apart. Then it is the beginning of the name, `~`, which no topic's name holds, and
/// the beginning of the name's SHA-256.
pub(super) fn stems<'a>(topics: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, String> {
    let topics: BTreeSet<&str> = topics.into_iter().collect();
    let mut spelled: BTreeMap<String, usize> = BTreeMap::new();
    for topic in &topics {
        *spelled.entry(topic.to_ascii_lowercase()).or_default() += 1;
    }
    let plain = |topic: &str| topic.len() <= LONGEST && spelled[&topic.to_ascii_lowercase()] == 1;
    topics.into_iter().map(|topic| (topic, if plain(topic) { topic.to_owned() } else { shortened(topic) })).collect()
}

fn shortened(topic: &str) -> String {
    let hash = hex::encode(&Sha256::digest(topic)[..8]);
    // A topic's name is ASCII.
    format!("{}~{hash}", topic.get(..KEPT).unwrap_or(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_name_that_every_file_system_takes_and_tells_apart() {
        let (long, longer) = ("L".repeat(249), format!("{}M", "L".repeat(248)));
        let topics = ["orders", "Orders", "payments", &long, &longer];
        let stems = stems(topics);
        assert_eq!(stems["payments"], "payments");
        let distinct: BTreeSet<_> = stems.values().map(|stem| stem.to_ascii_lowercase()).collect();
        assert_eq!(distinct.len(), topics.len(), "{stems:?}");
        assert!(stems.values().all(|stem| format!("{stem}-2147483647.json").len() <= 255), "{stems:?}");
        assert!(stems["Orders"].starts_with("Orders~") && stems[&*long].starts_with("LLLL"));
    }
}
