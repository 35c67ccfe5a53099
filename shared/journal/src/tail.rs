//! Whether the tail should go on copying: the cutover's way to stop it.

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

#[derive(Deserialize)]
struct TailItem {
    wanted: TailWanted,
}

impl Journal {
    /// What the tail is asked to do; to run, unless somebody said otherwise.
    pub async fn tail_wanted(&self) -> Result<TailWanted> {
        match self.get("read the tail's control", &self.key("tail")).await? {
            Some(item) => Ok(self.read::<TailItem>(item)?.wanted),
            None => Ok(TailWanted::Run),
        }
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
