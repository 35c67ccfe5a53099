//! The events on the account's default bus that the pulse tells of migrations, as EventBridge rules find them.

/// Source of each.
pub const SOURCE: &str = "msk-kraft";
/// Detail type of one about a transition.
pub const PHASE_CHANGED: &str = "Migration Phase Changed";
/// Detail type of one about a gate that waits.
pub const WAITS: &str = "Migration Waits";
