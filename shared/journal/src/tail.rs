//! What the copy is told while it runs: whether to go on, for which manifest, and how fast.

use migration::Result;
use migration::config::Throttle;
use serde::{Deserialize, Serialize};

use crate::Journal;
use crate::write::Write;

/// What the tail is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TailWanted {
    /// Copy on.
    Run,
    /// Finish the current round and return.
    Stop,
}

/// What the copy is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyControl {
    /// Whether to copy on.
    pub wanted: TailWanted,
    /// How often the manifest was extended. A function that was started for an earlier one returns, so that the Map reads
    /// the manifest again.
    pub generation: u32,
    /// How fast to copy, when somebody said so after the migration had begun.
    pub throttle: Option<Throttle>,
}

#[derive(Default, Deserialize)]
struct TailItem {
    wanted: Option<TailWanted>,
    #[serde(default)]
    generation: u32,
    throttle: Option<String>,
}

impl Journal {
    /// What the copy is told; to run for the first manifest, unless somebody said otherwise.
    pub async fn copy_control(&self) -> Result<CopyControl> {
        let item = self.get("read the copy's control", &self.key("tail")).await?;
        let item: TailItem = item.map(|item| self.read(item)).transpose()?.unwrap_or_default();
        let throttle = item.throttle.map(|text| self.json("the throttle", &text)).transpose()?;
        Ok(CopyControl { wanted: item.wanted.unwrap_or(TailWanted::Run), generation: item.generation, throttle })
    }

    /// What the tail is asked to do, see [`Journal::copy_control`].
    pub async fn tail_wanted(&self) -> Result<TailWanted> {
        Ok(self.copy_control().await?.wanted)
    }

    /// Tells the copy how fast to go from now on, whatever the configuration says.
    pub async fn set_throttle(&self, throttle: &Throttle) -> Result<()> {
        let text = serde_json::json!(throttle).to_string();
        let write = Write::to(self.key("tail")).set("throttle", text.as_str()).set("at", self.now());
        self.update("set the throttle", write).await?;
        Ok(())
    }

    /// Tells the tail that the manifest was extended `generation` times.
    pub async fn set_tail_generation(&self, generation: u32) -> Result<()> {
        let write = Write::to(self.key("tail")).set("generation", u64::from(generation));
        self.update("set the tail's generation", write).await?;
        Ok(())
    }

    /// Asks the tail of the execution number `execution` to run or to stop. Nothing changes when a later execution has asked
    /// since: whoever ends one may be slow, and its tail is not the next one's.
    pub async fn set_tail_wanted(&self, wanted: TailWanted, execution: u32) -> Result<()> {
        let name = match wanted {
            TailWanted::Run => "run",
            TailWanted::Stop => "stop",
        };
        let write = Write::to(self.key("tail")).set("wanted", name).set("at", self.now());
        let write = write.set("execution", execution).if_at_most("execution", execution);
        if self.update("set the tail's control", write).await?.is_none() {
            tracing::info!(run = %self.run, execution, wanted = name, "a later execution has said what its tail does");
        }
        Ok(())
    }
}
