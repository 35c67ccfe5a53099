//! Patterns of topic names, as Kafka's own tools take them: regular expressions that have to match the whole name.

use std::fmt;
use std::str::FromStr;

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

/// A regular expression that a topic's whole name has to match (as `--include` of MirrorMaker does, by
/// `java.util.regex.Matcher.matches`).
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicPattern {
    text: String,
    regex: Regex,
}

impl TopicPattern {
    /// Whether the whole of `topic` matches.
    pub fn matches(&self, topic: &str) -> bool {
        self.regex.is_match(topic)
    }

    /// Whether the names that match are written out up to here: the expression begins with `prefix`.
    pub(crate) fn begins_with(&self, prefix: &str) -> bool {
        self.text.starts_with(prefix)
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for TopicPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unusable = |error: regex_lite::Error| {
            format!(
                "{text:?} is not a regular expression ({error}): write orders-.* for all names that begin with orders-"
            )
        };
        // By itself first, so that nothing can leave the group that is put around it.
        Regex::new(text).map_err(unusable)?;
        let regex = Regex::new(&format!("^(?:{text})$")).map_err(unusable)?;
        Ok(Self { text: text.to_owned(), regex })
    }
}

impl TryFrom<String> for TopicPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TopicPattern> for String {
    fn from(pattern: TopicPattern) -> Self {
        pattern.text
    }
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TopicPattern {}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicPattern({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        pattern.parse::<TopicPattern>().unwrap().matches(topic)
    }

    #[test]
    fn the_whole_name_has_to_match() {
        assert!(matches("orders", "orders") && matches("orders-.*", "orders-eu"));
        assert!(!matches("orders", "orders-eu") && !matches("orders", "my-orders"));
        assert!(matches("a|b", "b") && !matches("a|b", "ab"));
        assert!(matches(r"shop\.(eu|us)\..*", "shop.eu.1") && !matches(r"shop\.eu", "shopXeu"));
    }

    #[test]
    fn what_is_no_expression_is_refused_with_an_example() {
        for text in ["*", "(orders", "a)|(b", "[z-a]"] {
            let error = text.parse::<TopicPattern>().unwrap_err();
            assert!(error.contains(text) && error.contains("orders-.*"), "{error}");
        }
    }

    #[test]
    fn it_is_stored_as_it_was_written() {
        let pattern: TopicPattern = serde_json::from_str("\"orders-.*\"").unwrap();
        assert_eq!(serde_json::to_string(&pattern).unwrap(), "\"orders-.*\"");
        assert!(serde_json::from_str::<TopicPattern>("\"(\"").is_err());
    }
}
