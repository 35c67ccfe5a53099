//! What is measured, in which order.

use crate::RunArgs;
use crate::data::{self, DataSet};
use crate::report::{BrokerPercent, Contender};

/// The part of the full sizes that `--quick` takes.
const QUICK: f64 = 0.15;

/// Contenders who are compared with each other so closely that chance must not decide.
const CLOSE: [Contender; 2] = [Contender::Ours, Contender::Relay];

/// Most copies of a data set before the first one that is measured: of the comparison, and of all that follow it.
const MOST_WARMING_COPIES: usize = 6;
const FEW_WARMING_COPIES: usize = 2;

/// A data set and who copies it.
#[derive(Debug)]
pub(crate) struct Step {
    /// The data set.
    pub(crate) set: DataSet,
    /// Contenders by their turns.
    pub(crate) contenders: Vec<Contender>,
    /// The kind of brokers; those with limits come last.
    pub(crate) broker_percent: BrokerPercent,
    /// Most copies before the first one that is measured.
    pub(crate) warming: usize,
}

impl RunArgs {
    /// The part of the full sizes.
    pub(crate) fn scale(&self) -> f64 {
        if self.quick { self.scale * QUICK } else { self.scale }
    }

    /// The steps of this run; none when no data set is called as asked for.
    pub(crate) fn plan(&self) -> Vec<Step> {
        use Contender::{ConsumerPerf, Mirrormaker, ProducerPerf};
        let close = CLOSE.repeat(self.rounds);
        let all = [close.as_slice(), &[ProducerPerf, ConsumerPerf, Mirrormaker]].concat();
        let slow = Some(self.broker_percent).filter(|percent| *percent > 0);
        let mut plan = self.steps(data::sets(), &all, None, MOST_WARMING_COPIES);
        plan.extend(self.steps(data::series(), &[Contender::Ours], None, FEW_WARMING_COPIES));
        if slow.is_some() {
            plan.extend(self.steps(data::sets(), &close, slow, FEW_WARMING_COPIES));
        }
        plan.retain(|step| !step.contenders.is_empty());
        plan
    }

    fn steps(
        &self,
        sets: Vec<DataSet>,
        contenders: &[Contender],
        broker_percent: BrokerPercent,
        warming: usize,
    ) -> Vec<Step> {
        let is_wanted = |set: &DataSet| {
            let is_named = |name: &String| set.name == *name || set.name.split('-').next() == Some(name.as_str());
            self.only.is_empty() || self.only.iter().any(is_named)
        };
        let asked = |contender: &&Contender| self.contenders.is_empty() || self.contenders.contains(contender);
        let contenders: Vec<_> = contenders.iter().filter(asked).copied().collect();
        let sized = |set: DataSet| DataSet {
            total_bytes: (set.total_bytes as f64 * self.scale()) as u64,
            burst_bytes: (set.burst_bytes as f64 * self.scale()) as u64,
            ..set
        };
        let step = |set| Step { set: sized(set), contenders: contenders.clone(), broker_percent, warming };
        sets.into_iter().filter(is_wanted).map(step).collect()
    }
}
