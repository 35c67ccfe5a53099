//! What a migration stores in S3 beside its records: one module for each document, with its key, its schema version, its
//! type, and who writes and reads it.
//!
//! - [`objects`]: the port to the bucket, and [`Memory`], one for tests;
//! - [`document`]: what every document has in common: it says its schema version, and one of a newer version is refused by
//!   name;
//! - [`rehearsal`], [`cutover_plan`], [`cutover_report`], and what they have in common, [`settings`];
//! - [`fence_rules`]: the ACLs of a write fence;
//! - [`restart`];
//! - [`deleted_keys`]: keys that live on the target alone;
//! - [`recount`]: how far the target's records were counted again;
//! - [`late`] and [`late_append`]: what reached the source behind the fence, and what of it was appended to the target.

pub mod commits;
pub mod cutover_plan;
pub mod cutover_report;
pub mod deleted_keys;
pub mod document;
pub mod fence_rules;
pub mod late;
pub mod late_append;
mod memory;
pub mod objects;
pub mod recount;
pub mod rehearsal;
pub mod restart;
pub mod sentinels;
pub mod settings;

pub use cutover_plan::CutoverPlan;
pub use cutover_report::CutoverReport;
pub use document::{Document, read, read_if_there, write, write_new};
pub use fence_rules::FenceRules;
pub use late_append::LateAppend;
pub use memory::Memory;
pub use objects::{Object, Objects, PutOnce};
pub use recount::{Recount, Recounted};
pub use rehearsal::Rehearsal;
pub use restart::Restart;
pub use settings::{Settings, SettingsFound};
