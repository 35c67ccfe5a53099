//! ACLs that a migration is about.

use kafka::{AclBinding, AclResource};
use migration::scope;

/// The principal of clients that do not sign in.
pub const ANONYMOUS: &str = "User:ANONYMOUS";

/// Whether a binding belongs to the cluster rather than to its clients.
pub fn is_internal(binding: &AclBinding) -> bool {
    binding.principal == ANONYMOUS
        || match binding.resource {
            // What a trial of the write fence left that was killed stands for nothing.
            AclResource::Topic => {
                scope::is_internal_topic(&binding.name) || binding.name.starts_with(scope::TRIAL_TOPIC)
            }
            AclResource::Group => scope::is_internal_group(&binding.name),
            _ => false,
        }
}
