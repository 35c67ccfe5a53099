//! Looking at a cluster and changing it, apart from records and groups.

mod acls;
mod configs;
mod inherited;
mod log_dirs;
mod offsets;
mod permissions;
mod producers;
mod quotas;
mod reassignments;
mod scram;
mod topics;
mod versions;

pub use acls::{AclBinding, AclOperation, AclPermission, AclResource, PatternType};
pub use configs::{ConfigChange, ConfigEntry, ConfigOp, ConfigSource};
pub use inherited::defaults_of_topics;
pub use offsets::OffsetSpec;
pub use permissions::Operations;
pub use producers::{ProducerState, Transaction};
pub use quotas::{ClientQuota, QuotaChange, QuotaEntity};
pub use reassignments::Reassignment;
pub use scram::ScramUser;
pub use topics::NewTopic;
pub use versions::ServedVersions;
