//! Flags of `unfence`.

use clap::Args;

use super::RunArgs;

/// What its help ends with.
pub(super) const HELP: &str = "\
Under cutover.write_fence acl the source refuses every write to the migrated topics, from the freeze on and also behind the client
switch: a producer that was forgotten fails loudly. This removes the migration's own ACLs, and no others; producers that were
forgotten can write to the source again then, and nobody copies that. Before the point of no return resume and rollback lift the
fence. After finalize it works as long as source.auth refers to secrets of your own; otherwise remove the ACLs by hand and say so
with --by-hand.

Examples:
  msk-kraft unfence --migration-id prod-to-kraft
  msk-kraft unfence --config migration.yaml --migration-id prod-to-kraft --yes";

/// Flags of `unfence`.
#[derive(Debug, Args)]
pub(crate) struct UnfenceArgs {
    /// The migration.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// The ACLs were removed by hand: the source is not asked
    #[arg(long)]
    pub(crate) by_hand: bool,
}
