//! What the tail is told while it copies: whether to go on, and for which manifest.

use migration::Result;
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

/// What the tail is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailControl {
    /// Whether to copy on.
    #[serde(default = "run")]
    pub wanted: TailWanted,
    /// How often the manifest was extended. A function that was started for an earlier one returns, so that the Map reads
    /// the manifest again.
    #[serde(default)]
    pub generation: u32,
}

const fn run() -> TailWanted {
    TailWanted::Run
}

impl Journal {
    /// What the tail is told; to run for the first manifest, unless somebody said otherwise.
    pub async fn tail_control(&self) -> Result<TailControl> {
        match self.get("read the tail's control", &self.key("tail")).await? {
            Some(item) => self.read(item),
            None => Ok(TailControl { wanted: run(), generation: 0 }),
        }
    }

    /// What the tail is asked to do, see [`Journal::tail_control`].
    pub async fn tail_wanted(&self) -> Result<TailWanted> {
        Ok(self.tail_control().await?.wanted)
    }

    /// Tells the tail that the manifest was extended `generation` times.
    pub async fn set_tail_generation(&self, generation: u32) -> Result<()> {
        let write = Write::to(self.key("tail")).set("generation", u64::from(generation));
        self.update("set the tail's generation", write).await?;
        Ok(())
    }

    /// Asks the tail to run or to stop.
    pub async fn set_tail_wanted(&self, wanted: TailWanted) -> Result<()> {
        let name = match wanted {
            TailWanted::Run => "run",
            TailWanted::Stop => "stop",
        };
        let write = Write::to(self.key("tail")).set("wanted", name).set("at", self.now());
        self.update("set the tail's control", write).await?;
        Ok(())
    }
}
