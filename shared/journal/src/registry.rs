//! Which migrations the table has, and what was announced of each.
//!
//! A run's items lie under a key of its own, so that whoever wants to know of all runs would have to read the whole table.
//! Each execution therefore enters its run here, in one item for each run under one key.

use chrono::{DateTime, Utc};
use migration::{MigrationId, Result};
use serde::Deserialize;

use crate::Journal;
use crate::run::Meta;
use crate::table::Key;
use crate::write::Write;

/// Partition key of the entries.
const RUNS: &str = "runs";

/// A migration, as it is entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub run: MigrationId,
    /// What was announced of it; nothing of a run that has begun again since.
    pub announced: Announced,
}

/// What was announced of a run. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    /// When the run was created that it is about.
    pub created_at: Option<DateTime<Utc>>,
    /// Number of the last transition.
    pub event: u64,
    /// The gate that was waiting last, as `name/attempt`.
    pub gate: String,
    /// That the migration is over, and nothing more is to come.
    pub over: bool,
}

/// [`Registered`] in the table.
#[derive(Deserialize)]
struct Item {
    run: String,
    created_at: Option<DateTime<Utc>>,
    #[serde(default)]
    event: u64,
    #[serde(default)]
    gate: String,
    #[serde(default)]
    over: bool,
}

impl Journal {
    /// Enters the run; one that is entered already is left as it is, but for one that is over and goes on.
    pub async fn register(&self) -> Result<()> {
        let write = Write::to(self.registry_key()).set("run", self.run.as_str()).set("over", false);
        self.update("enter the run", write).await?;
        Ok(())
    }

    /// Remembers what was announced of the run.
    pub async fn set_announced(&self, announced: &Announced) -> Result<()> {
        let mut write = Write::to(self.registry_key())
            .set("event", announced.event)
            .set("gate", announced.gate.as_str())
            .set("over", announced.over);
        if let Some(created_at) = announced.created_at {
            write = write.set("created_at", created_at);
        }
        self.update("store what was announced", write).await?;
        Ok(())
    }

    /// Every migration that was entered in this journal's table, by id.
    ///
    /// # Errors
    /// Internal for an entry that cannot be read.
    pub async fn registered(&self) -> Result<Vec<Registered>> {
        let items = self.query("list the migrations", RUNS, "run#").await?;
        let registered = |item| {
            let Item { run, created_at, event, gate, over } = self.read(item)?;
            Ok(Registered { run: run.parse()?, announced: Announced { created_at, event, gate, over } })
        };
        items.into_iter().map(registered).collect()
    }

    fn registry_key(&self) -> Key {
        Key { pk: RUNS.to_owned(), sk: format!("run#{}", self.run) }
    }
}

impl Announced {
    /// The same for the run `meta`: nothing, when it was of an earlier run of the same id.
    #[must_use]
    pub fn of(self, meta: &Meta) -> Self {
        match self.created_at {
            Some(created_at) if created_at == meta.created_at => self,
            _ => Self { created_at: Some(meta.created_at), ..Self::default() },
        }
    }
}
