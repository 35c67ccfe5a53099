//! What the source deleted before it was copied, where the copy goes on behind it.

use serde::{Deserialize, Serialize};

/// Ranges kept of a partition. The journal keeps many partitions in one item and writes it with every round.
const KEPT: usize = 3;

/// Source offsets that were deleted before they were copied. Transaction markers, aborted records and holes count, so that
/// these are at most as many records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// First of them: where the copy stood.
    pub from: i64,
    /// First offset behind them: where the source's log started.
    pub to: i64,
    /// When the copy met them, as RFC 3339 in UTC.
    pub at: String,
}

impl Gap {
    /// How many offsets these are.
    pub const fn offsets(&self) -> i64 {
        self.to - self.from
    }
}

/// The gaps of one partition: how much all of them come to, and the newest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gaps {
    /// Offsets in all gaps.
    pub offsets: i64,
    /// How many gaps there are; those that touch each other are one.
    pub count: u64,
    /// The newest, oldest first.
    pub last: Vec<Gap>,
}

impl Gaps {
    /// Adds what `gap` has from offset `next` on, up to which everything is accounted for.
    pub fn add(&mut self, gap: &Gap, next: i64) {
        let gap = Gap { from: gap.from.max(next), ..gap.clone() };
        if gap.offsets() <= 0 {
            return;
        }
        self.offsets += gap.offsets();
        match self.last.last_mut().filter(|last| last.to == gap.from) {
            Some(last) => (last.to, last.at) = (gap.to, gap.at),
            None => {
                self.count += 1;
                self.last.push(gap);
            }
        }
        let surplus = self.last.len().saturating_sub(KEPT);
        self.last.drain(..surplus);
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// In words: how many offsets, and which of them are known. None when there are none.
    pub fn text(&self) -> Option<String> {
        let named: Vec<_> = self.last.iter().map(|gap| format!("{} to {} at {}", gap.from, gap.to, gap.at)).collect();
        let which = if self.count > self.last.len() as u64 { "the newest of " } else { "" };
        let gaps = if self.count == 1 { "gap" } else { "gaps" };
        let (offsets, count) = (self.offsets, self.count);
        (!self.is_empty()).then(|| {
            format!(
                "the source deleted {offsets} offsets before they were copied, at most as many records ({which}{count} {gaps}: {})",
                named.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(from: i64, to: i64) -> Gap {
        Gap { from, to, at: format!("t{to}") }
    }

    fn of(all: &[(i64, i64)]) -> Gaps {
        let mut gaps = Gaps::default();
        all.iter().for_each(|(from, to)| gaps.add(&gap(*from, *to), 0));
        gaps
    }

    #[test]
    fn all_offsets_are_counted_and_the_newest_ranges_kept() {
        let gaps = of(&[(10, 20), (30, 35), (40, 41), (50, 52)]);
        assert_eq!((gaps.offsets, gaps.count), (18, 4));
        assert_eq!(gaps.last, [gap(30, 35), gap(40, 41), gap(50, 52)]);
        let text = gaps.text().unwrap();
        assert!(text.starts_with("the source deleted 18 offsets") && text.contains("newest of 4 gaps"), "{text}");
        assert!(text.contains("50 to 52 at t52"), "{text}");
        assert_eq!(Gaps::default().text(), None);
    }

    #[test]
    fn what_touches_is_one_gap() {
        let gaps = of(&[(10, 20), (20, 26)]);
        assert_eq!((gaps.offsets, gaps.count), (16, 1));
        assert_eq!(gaps.last, [gap(10, 26)]);
        assert!(gaps.text().unwrap().contains("(1 gap: 10 to 26 at t26)"));
    }

    #[test]
    fn offsets_that_are_accounted_for_are_not_counted_again() {
        let mut gaps = of(&[(10, 20)]);
        gaps.add(&gap(10, 20), 20);
        assert_eq!(gaps, of(&[(10, 20)]));
        gaps.add(&gap(18, 30), 24);
        assert_eq!((gaps.offsets, gaps.count), (16, 2));
    }
}
