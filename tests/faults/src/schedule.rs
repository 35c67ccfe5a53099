//! What goes wrong and when: a function of the seed.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use stack::{AwsFault, AwsService, AwsTrouble, Side};

/// Something that goes wrong, and ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A broker is killed with SIGKILL and started again after `down`.
    KillBroker {
        /// Its cluster.
        side: Side,
        /// Its id.
        broker: usize,
        /// Time without it.
        down: Duration,
    },
    /// A broker is stopped in good order, which moves its leaders away, and started again.
    RestartBroker {
        /// Its cluster.
        side: Side,
        /// Its id.
        broker: usize,
    },
    /// Every partition goes back to its preferred leader.
    ElectLeaders {
        /// The cluster.
        side: Side,
    },
    /// The replicas of one live topic are put in another order, and the first of them becomes leader.
    MoveLeaders {
        /// The cluster.
        side: Side,
        /// Broker that comes first.
        first: usize,
    },
    /// Every connection to a broker ends.
    CutConnections {
        /// The broker's cluster.
        side: Side,
        /// The broker.
        broker: usize,
    },
    /// Every connection to a broker ends and none comes about for a while.
    Unreachable {
        /// The broker's cluster.
        side: Side,
        /// The broker.
        broker: usize,
        /// How long.
        lasts: Duration,
    },
    /// A broker's answers come late.
    SlowAnswers {
        /// The broker's cluster.
        side: Side,
        /// The broker.
        broker: usize,
        /// How late.
        delay: Duration,
        /// How long.
        lasts: Duration,
    },
    /// Little passes to and from a broker.
    NarrowLink {
        /// The broker's cluster.
        side: Side,
        /// The broker.
        broker: usize,
        /// What passes in each direction of each connection.
        bytes_per_second: u32,
        /// How long.
        lasts: Duration,
    },
    /// A broker appends, and its answer never arrives.
    LoseProduceAnswers {
        /// The broker's cluster.
        side: Side,
        /// The broker.
        broker: usize,
        /// How many answers.
        answers: usize,
    },
    /// A process of a function is killed with SIGKILL while it works.
    KillFunction {
        /// Which of those that work.
        turn: usize,
    },
    /// A batch of partitions is given to another process of the function that works on it.
    InvokeTwice {
        /// Which batch.
        turn: usize,
    },
    /// Calls of an AWS service go wrong.
    Aws {
        /// Which, and how.
        trouble: AwsTrouble,
        /// How long.
        lasts: Duration,
    },
}

impl Fault {
    /// The kind's name.
    pub fn kind(&self) -> String {
        let text = format!("{self:?}");
        text.split(' ').next().unwrap_or_default().to_owned()
    }
}

/// Two things may go wrong at once, one of each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Brokers and the network to them.
    Clusters,
    /// Functions and AWS.
    Serverless,
}

/// A fault and the quiet before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Time since the fault before it ended.
    pub after: Duration,
    /// What goes wrong.
    pub fault: Fault,
}

/// The endless sequence of faults of a seed and lane. How it falls together with what brokers and functions do is up to
/// the machine: the same seed gives the same faults, not the same run.
#[derive(Debug, Clone)]
pub struct Schedule {
    random: Xoshiro256PlusPlus,
    lane: Lane,
    brokers: usize,
}

impl Schedule {
    /// The schedule for clusters of `brokers` brokers.
    pub fn new(seed: u64, lane: Lane, brokers: usize) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        if lane == Lane::Serverless {
            random = Xoshiro256PlusPlus::seed_from_u64(random.random());
        }
        Self { random, lane, brokers }
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.random_range(range))
    }

    fn clusters(&mut self) -> Fault {
        let side = *[Side::Source, Side::Target].choose(&mut self.random).unwrap_or(&Side::Target);
        let broker = self.random.random_range(1..=self.brokers);
        let lasts = self.millis(500..5_000);
        // Leaders move only where there is another broker.
        let kinds = if self.brokers > 1 { 9 } else { 7 };
        match self.random.random_range(0..kinds) {
            0 => Fault::KillBroker { side, broker, down: lasts },
            1 => Fault::RestartBroker { side, broker },
            2 => Fault::CutConnections { side, broker },
            3 => Fault::Unreachable { side, broker, lasts },
            4 => Fault::SlowAnswers { side, broker, delay: self.millis(20..400), lasts },
            5 => {
                Fault::NarrowLink { side, broker, bytes_per_second: self.random.random_range(50_000..1_000_000), lasts }
            }
            6 => Fault::LoseProduceAnswers { side, broker, answers: self.random.random_range(1..5) },
            7 => Fault::ElectLeaders { side },
            _ => Fault::MoveLeaders { side, first: broker },
        }
    }

    fn serverless(&mut self) -> Fault {
        let turn = self.random.random_range(0..100);
        match self.random.random_range(0..5) {
            0 | 1 => Fault::KillFunction { turn },
            2 => Fault::InvokeTwice { turn },
            _ => Fault::Aws { trouble: self.trouble(), lasts: self.millis(1_000..6_000) },
        }
    }

    fn trouble(&mut self) -> AwsTrouble {
        let services = [AwsService::S3, AwsService::DynamoDb, AwsService::StepFunctions];
        let faults =
            [AwsFault::Throttled, AwsFault::Broken, AwsFault::Slow(self.millis(50..1_500)), AwsFault::AnswerLost];
        AwsTrouble {
            service: *services.choose(&mut self.random).unwrap_or(&AwsService::S3),
            fault: *faults.choose(&mut self.random).unwrap_or(&AwsFault::Broken),
            one_in: self.random.random_range(1..5),
        }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let after = self.millis(300..3_000);
        let fault = match self.lane {
            Lane::Clusters => self.clusters(),
            Lane::Serverless => self.serverless(),
        };
        Some(Step { after, fault })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn faults(seed: u64, lane: Lane, brokers: usize) -> Vec<Step> {
        Schedule::new(seed, lane, brokers).take(300).collect()
    }

    #[test]
    fn a_seed_is_a_schedule() {
        for lane in [Lane::Clusters, Lane::Serverless] {
            assert_eq!(faults(7, lane, 3), faults(7, lane, 3));
            assert_ne!(faults(7, lane, 3), faults(8, lane, 3));
        }
    }

    #[test]
    fn every_kind_comes_up_where_it_can() {
        let kinds = |brokers| -> BTreeSet<String> {
            let lanes = [Lane::Clusters, Lane::Serverless];
            lanes.into_iter().flat_map(|lane| faults(1, lane, brokers)).map(|step| step.fault.kind()).collect()
        };
        assert_eq!(kinds(3).len(), 12);
        let leaders = ["ElectLeaders", "MoveLeaders"].map(str::to_owned).into();
        assert_eq!(kinds(3).difference(&kinds(1)).cloned().collect::<BTreeSet<_>>(), leaders);
    }
}
