//! What a topic is on both sides: its own configuration, the one it has while it is copied, and the way from one to the
//! other.

pub mod acls;
pub mod configs;
pub mod inventory;
pub mod latecomers;

pub use configs::{TopicConfigs, copying, restore};
pub use inventory::{Topic, topics};
pub use latecomers::refuse_uncopied;
