//! ACLs that a migration is about.

use kafka::{AclBinding, AclResource};
use migration::scope;

/// The principal of clients that do not sign in.
pub const ANONYMOUS: &str = "User:ANONYMOUS";

/// Whether a binding belongs to the cluster rather than to its clients.
pub fn is_internal(binding: &AclBinding) -> bool {
    binding.principal == ANONYMOUS
        || match binding.resource {
            AclResource::Topic => scope::is_internal_topic(&binding.name),
            AclResource::Group => scope::is_internal_group(&binding.name),
            _ => false,
        }
}
