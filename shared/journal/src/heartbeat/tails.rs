//! Whether every batch is followed by a function that gets on with it, and in words what is known of those that are not.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use migration::BatchId;
use serde::{Deserialize, Serialize};

use super::{CopyWork, Heartbeat, LastError, Refused};

/// Batches that words name.
const NAMED: usize = 5;

/// Batches of which is kept what is known.
const KEPT: usize = 200;

/// Why a batch does not count as followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// No function follows it.
    NoTail,
    /// One does, and something keeps it from going on.
    Failing,
    /// One does, and the target takes nothing of some partitions.
    Refused,
}

/// A batch that does not count as followed, and what is known of its function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailTrouble {
    /// The batch.
    pub batch: BatchId,
    /// Why it does not count.
    pub trouble: Trouble,
    /// When a tail of it beat last, if ever.
    #[serde(with = "clock::micros_option")]
    pub last_beat: Option<DateTime<Utc>>,
    /// The last error of its functions that nothing was done after.
    pub error: Option<LastError>,
    /// Partitions of which the target takes nothing.
    pub refused: Option<Refused>,
}

/// The functions that copy a migration's batches, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tails {
    /// Batches.
    pub batches: usize,
    /// Of these, the ones that a function follows, with or without trouble. Nobody asks that in a seed, whose functions take
    /// one batch after the other: there it is all of them.
    pub live: usize,
    /// Batches whose function cannot go on at the moment.
    pub failing: usize,
    /// Batches with partitions of which the target takes nothing.
    pub refused: usize,
    /// What is known of the batches with trouble: of the first 200.
    pub troubled: Vec<TailTrouble>,
}

impl Tails {
    /// What `heartbeats` say at `now` of the tail.
    pub fn of(heartbeats: &[(BatchId, Option<Heartbeat>)], now: DateTime<Utc>) -> Self {
        Self::count(heartbeats.len(), heartbeats.iter().filter_map(|(batch, beat)| trouble(*batch, beat.as_ref(), now)))
    }

    /// What `heartbeats` say of the seed: what keeps its functions from going on.
    pub fn seeding(heartbeats: &[(BatchId, Option<Heartbeat>)]) -> Self {
        Self::count(
            heartbeats.len(),
            heartbeats.iter().filter_map(|(batch, beat)| seed_trouble(*batch, beat.as_ref()?)),
        )
    }

    fn count(batches: usize, troubled: impl Iterator<Item = TailTrouble>) -> Self {
        let mut tails = Self { batches, live: batches, failing: 0, refused: 0, troubled: Vec::new() };
        for one in troubled {
            match one.trouble {
                Trouble::NoTail => tails.live -= 1,
                Trouble::Failing => tails.failing += 1,
                Trouble::Refused => tails.refused += 1,
            }
            if tails.troubled.len() < KEPT {
                tails.troubled.push(one);
            }
        }
        tails
    }

    /// Whether each batch is followed by a function that gets on with it.
    pub const fn all_work(&self) -> bool {
        self.live == self.batches && self.failing == 0 && self.refused == 0
    }

    /// One line for each kind of trouble, with the first batches of it; `now` is the moment these are the tails of.
    pub fn lines(&self, now: DateTime<Utc>) -> Vec<String> {
        [Trouble::NoTail, Trouble::Failing, Trouble::Refused]
            .into_iter()
            .filter_map(|kind| self.line(kind, now))
            .collect()
    }

    fn line(&self, kind: Trouble, now: DateTime<Utc>) -> Option<String> {
        let count = match kind {
            Trouble::NoTail => self.batches - self.live,
            Trouble::Failing => self.failing,
            Trouble::Refused => self.refused,
        };
        if count == 0 {
            return None;
        }
        let of_kind = self.troubled.iter().filter(|one| one.trouble == kind);
        let mut named: Vec<_> = of_kind.take(NAMED).map(|one| one.words(now)).collect();
        if count > NAMED {
            named.push(format!("and {} more", count - NAMED));
        }
        let of_batches = format!("{count} of {} {}", self.batches, if self.batches == 1 { "batch" } else { "batches" });
        let what = match kind {
            Trouble::NoTail => format!("no function follows {of_batches}"),
            Trouble::Failing => format!("the copy of {of_batches} cannot go on at the moment"),
            Trouble::Refused => format!("the target takes nothing of some partitions in {of_batches}"),
        };
        Some(format!("{what}: {}", named.join("; ")))
    }
}

impl TailTrouble {
    /// The batch, and what is known of its function.
    fn words(&self, now: DateTime<Utc>) -> String {
        let mut words = vec![match (self.trouble, self.last_beat) {
            (Trouble::NoTail, None) => "none ever did".to_owned(),
            (Trouble::NoTail, Some(at)) => format!("last heard of {}", age(now - at)),
            _ => String::new(),
        }];
        if let Some(Refused { count, first }) = &self.refused {
            let mut names: Vec<_> = first.iter().map(ToString::to_string).collect();
            if *count > names.len() {
                names.push(format!("and {} more", count - names.len()));
            }
            words.push(names.join(", "));
        }
        if let Some(LastError { kind, message, at }) = &self.error {
            words.push(format!("{kind} at {}: {message}", at.to_rfc3339_opts(SecondsFormat::Secs, true)));
        }
        words.retain(|words| !words.is_empty());
        format!("{} ({})", self.batch, words.join(", "))
    }
}

fn age(age: TimeDelta) -> String {
    let seconds = age.num_seconds().max(0);
    if seconds < 120 { format!("{seconds} s ago") } else { format!("{} min ago", seconds / 60) }
}

fn trouble(batch: BatchId, beat: Option<&Heartbeat>, now: DateTime<Utc>) -> Option<TailTrouble> {
    let tail = beat.filter(|beat| beat.work == Some(CopyWork::Tail));
    let error = beat.and_then(|beat| beat.error.clone());
    let refused = tail.and_then(|beat| beat.refused.clone());
    let trouble = if !tail.is_some_and(|beat| beat.is_alive(now)) {
        Trouble::NoTail
    } else if refused.is_some() {
        Trouble::Refused
    } else if error.is_some() {
        Trouble::Failing
    } else {
        return None;
    };
    Some(TailTrouble { batch, trouble, last_beat: tail.and_then(|beat| beat.at), error, refused })
}

/// What keeps the seed of a batch from going on. That no function is at it says nothing.
fn seed_trouble(batch: BatchId, beat: &Heartbeat) -> Option<TailTrouble> {
    let Heartbeat { at, error, refused, .. } = beat.clone();
    let trouble = if refused.is_some() { Trouble::Refused } else { Trouble::Failing };
    let troubled = error.is_some() || refused.is_some();
    troubled.then_some(TailTrouble { batch, trouble, last_beat: at, error, refused })
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::{ErrorKind, TopicPartition};

    fn now() -> DateTime<Utc> {
        "2026-04-25T06:15:07Z".parse().unwrap()
    }

    fn beat(seconds_ago: i64, work: CopyWork) -> Heartbeat {
        let at = Some(now() - TimeDelta::seconds(seconds_ago));
        Heartbeat { at, epoch: 3, owner: "7-1".to_owned(), work: Some(work), error: None, refused: None }
    }

    fn failed() -> Option<LastError> {
        let message = "no broker can be reached".to_owned();
        Some(LastError { kind: ErrorKind::Transient, message, at: now() - TimeDelta::seconds(4) })
    }

    #[test]
    fn only_a_live_tail_without_trouble_counts() {
        let silent = beat(75, CopyWork::Tail);
        let failing = Heartbeat { error: failed(), ..beat(2, CopyWork::Tail) };
        let first = vec![TopicPartition::new("a", 0)];
        let refused = Heartbeat { refused: Some(Refused { count: 3, first }), ..failing.clone() };
        let never = Heartbeat { at: None, epoch: 0, work: None, ..failing.clone() };
        let beats: Vec<_> = [
            Some(beat(2, CopyWork::Tail)),
            None,
            Some(beat(2, CopyWork::Seed)),
            Some(silent),
            Some(failing),
            Some(refused),
            Some(never),
        ]
        .into_iter()
        .zip(0..)
        .map(|(beat, number)| (BatchId(number), beat))
        .collect();
        let tails = Tails::of(&beats, now());
        assert_eq!((tails.batches, tails.live, tails.all_work()), (7, 3, false));
        let expected = [
            "no function follows 4 of 7 batches: 0001 (none ever did); 0002 (none ever did); 0003 (last heard of 75 s ago); \
             0006 (none ever did, Transient at 2026-04-25T06:15:03Z: no broker can be reached)",
            "the copy of 1 of 7 batches cannot go on at the moment: 0004 (Transient at 2026-04-25T06:15:03Z: no broker can be \
             reached)",
            "the target takes nothing of some partitions in 1 of 7 batches: 0005 (a/0, and 2 more, Transient at \
             2026-04-25T06:15:03Z: no broker can be reached)",
        ];
        assert_eq!(tails.lines(now()), expected);
        let json = serde_json::to_value(&tails).unwrap();
        assert_eq!(serde_json::from_value::<Tails>(json).unwrap(), tails);
        assert!(Tails::of(&beats[..1], now()).all_work());
    }

    #[test]
    fn a_seed_has_trouble_only_where_there_is_an_error() {
        let failing = Heartbeat { error: failed(), ..beat(2, CopyWork::Seed) };
        let beats = [(BatchId(0), None), (BatchId(1), Some(beat(900, CopyWork::Seed))), (BatchId(2), Some(failing))];
        let tails = Tails::seeding(&beats);
        assert_eq!((tails.batches, tails.live, tails.failing, tails.troubled.len()), (3, 3, 1, 1));
    }

    #[test]
    fn of_many_batches_the_first_are_kept_and_all_counted() {
        let beats: Vec<_> = (0..1000).map(|number| (BatchId(number), None)).collect();
        let tails = Tails::of(&beats, now());
        assert_eq!((tails.batches, tails.live, tails.troubled.len()), (1000, 0, KEPT));
        assert!(tails.lines(now())[0].ends_with("and 995 more"));
    }

    #[test]
    fn the_first_batches_are_named() {
        let beats: Vec<_> = (0..9).map(|number| (BatchId(number), None)).collect();
        let lines = Tails::of(&beats, now()).lines(now());
        assert!(lines.len() == 1 && lines[0].ends_with("0004 (none ever did); and 4 more"), "{lines:?}");
    }
}
