//! What a topic is on both sides: its own configuration, the one it has while it is copied, and the way from one to the
//! other; which partitions are copied; and what changes on the source meanwhile.

pub mod acls;
pub mod changes;
pub mod configs;
pub mod create;
pub mod gone;
pub mod inventory;
pub mod latecomers;
pub mod manifest;
pub mod pick_up;
pub mod transactions;

pub use changes::Changes;
pub use configs::{TopicConfigs, copying, restore};
pub use inventory::{Topic, Topics, topics};
pub use latecomers::refuse_uncopied;
pub use manifest::Manifest;
