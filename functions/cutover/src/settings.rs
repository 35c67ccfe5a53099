//! What the target gets besides offsets, decided while everything can still be given up and put in place behind the point of
//! no return.

use documents::Settings;
use documents::rehearsal::Weight;
use kafka::Cluster;
use migration::{Error, Result};
use runtime::Run;
use serde::{Deserialize, Serialize};
use topology::settings;

/// Where the document is in the run's store.
const STORED: &str = "cutover/settings.json";

/// What was decided.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Decided {
    /// What the target gets.
    #[serde(flatten)]
    pub(crate) settings: Settings,
    /// What is not brought over as it is, and why.
    pub(crate) warnings: Vec<String>,
}

/// Decides everything, asks the target whether it would take it, and stores it.
///
/// # Errors
/// Blocked, naming what the target would refuse and the way out; otherwise when a cluster cannot be asked.
pub(crate) async fn decide(run: &Run<'_>, source: &Cluster, target: &Cluster) -> Result<()> {
    let decision = settings::decide(run, source, target).await?;
    let mut warnings = decision.warnings;
    for refusal in decision.refusals {
        let settings::Refusal { weight, subject, message, way_out, .. } = refusal;
        let said = format!("{subject}: {message}; {way_out}");
        if weight == Weight::Blocker {
            return Err(Error::blocked(format_args!("{said}; nothing was committed")));
        }
        warnings.push(said);
    }
    run.store.put_json(STORED, &Decided { settings: decision.settings, warnings }).await
}

impl Decided {
    /// What was stored.
    ///
    /// # Errors
    /// What S3 gives.
    pub(crate) async fn on_record(run: &Run<'_>) -> Result<Self> {
        run.store.get_json(STORED).await
    }
}
