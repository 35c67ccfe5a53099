//! What the target gets besides offsets, once everything is copied and committed: the topics' final configs, and the client
//! quotas, which would have slowed the copy.

use kafka::Cluster;
use migration::Result;
use runtime::Run;
use topology::settings::Applied;

use crate::settings::Decided;

/// Puts on `target` what was decided. Repeating it changes nothing.
///
/// # Errors
/// When the target cannot be asked at all. What it does not take is a warning.
pub(crate) async fn finish(run: &Run<'_>, target: &Cluster) -> Result<Applied> {
    let Decided { settings, mut warnings } = Decided::on_record(run).await?;
    let mut applied = topology::settings::apply(run, target, &settings).await?;
    warnings.append(&mut applied.warnings);
    Ok(Applied { warnings, ..applied })
}
