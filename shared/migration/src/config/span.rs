//! Durations as operators write them: `30s`, `30m`, `12h`, `7d`, `7y`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time in whole seconds. A year is 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// Units by suffix, largest first, in seconds.
const UNITS: [(char, u64); 5] = [('y', 365 * 86_400), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl Span {
    /// A span of `seconds`.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The length in seconds.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Whether it is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_secs(span.0)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unusable =
            || format!("{text:?} is not a duration: write a whole number and one of s, m, h, d, y, as in 30m");
        let unit = text.chars().last().ok_or_else(unusable)?;
        let (_, seconds) = UNITS.iter().find(|(suffix, _)| *suffix == unit).ok_or_else(unusable)?;
        let digits = Some(&text[..text.len() - 1]).filter(|count| count.chars().all(|c| c.is_ascii_digit()));
        let count: u64 = digits.ok_or_else(unusable)?.parse().map_err(|_| unusable())?;
        count.checked_mul(*seconds).map(Self).ok_or_else(unusable)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, seconds): &&(char, u64)| self.0 >= *seconds && self.0.is_multiple_of(*seconds);
        let (suffix, seconds) = UNITS.iter().find(fits).unwrap_or(&('s', 1));
        write!(f, "{}{suffix}", self.0 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_read() {
        let seconds = |text: &str| text.parse::<Span>().map(Span::as_secs);
        assert_eq!(seconds("60s"), Ok(60));
        assert_eq!(seconds("7y"), Ok(7 * 365 * 86_400));
        for bad in ["", "5", "m", "1.5h", "-1s", "9w", "99999999999999999999s", "5ß", "+5m"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(seconds in 0u64..1 << 40) {
            let span = Span::from_secs(seconds);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
    }
}
