//! Numbers in sentences.

use indicatif::HumanCount;

/// `1 partition`, `2 partitions`, `1,204 batches`: `one` is the word for one of them, whose plural is regular.
pub(crate) fn count(number: usize, one: &str) -> String {
    format!("{} {}", HumanCount(number as u64), plural(number, one))
}

/// `one`, or the word for several of it when `number` is not 1.
pub(crate) fn plural(number: usize, one: &str) -> String {
    match number {
        1 => one.to_owned(),
        _ if ["s", "x", "ch", "sh"].iter().any(|end| one.ends_with(end)) => format!("{one}es"),
        _ => format!("{one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_words_agree() {
        assert_eq!(count(0, "topic"), "0 topics");
        assert_eq!(count(1, "topic"), "1 topic");
        assert_eq!(count(1204, "batch"), "1,204 batches");
        assert_eq!(count(1, "batch"), "1 batch");
    }
}
