//! What a topic is on both sides: its final configuration, the one it has while it is copied, and the way from one to the
//! other; which partitions are copied; and what changes on the source meanwhile.

pub mod access;
pub mod access_map;
pub mod acl_copy;
pub mod acls;
pub mod changes;
pub mod configs;
pub mod create;
pub mod defaults;
pub mod diff;
pub mod final_configs;
pub mod gone;
pub mod held;
pub mod inventory;
pub mod known;
pub mod latecomers;
pub mod lockout;
pub mod made;
pub mod manifest;
pub mod moving;
pub mod pick_up;
pub mod quotas;
pub mod refusal;
pub mod replication;
pub mod restart;
pub mod settings;
pub mod target_state;
pub mod transactions;

pub use acl_copy::Acls;
pub use changes::Changes;
pub use configs::{TopicConfigs, copying, is_copying, restore};
pub use diff::Diff;
pub use final_configs::FinalConfigs;
pub use inventory::{Inventory, Topic, Topics, existing, inventory};
pub use known::KnownConfigs;
pub use latecomers::refuse_uncopied;
pub use manifest::Manifest;
pub use moving::to_be_copied;
pub use quotas::Quotas;
pub use replication::Replication;
pub use target_state::TargetState;
