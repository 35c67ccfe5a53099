//! Looking at a cluster and changing it, apart from records and groups.

mod acls;
mod configs;
mod log_dirs;
mod offsets;
mod permissions;
mod producers;
mod quotas;
mod scram;
mod topics;

pub use acls::{AclBinding, AclOperation, AclPermission, AclResource, PatternType};
pub use configs::{ConfigChange, ConfigEntry, ConfigOp, ConfigSource};
pub use offsets::OffsetSpec;
pub use permissions::Operations;
pub use producers::{ProducerState, Transaction};
pub use quotas::{ClientQuota, QuotaChange, QuotaEntity};
pub use scram::ScramUser;
pub use topics::NewTopic;
