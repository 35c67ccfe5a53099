//! What msk-kraft is once it is deployed: its functions, what each role may do and on what, its alarms and its dashboard.
//!
//! Everything is said once, here. `infra/description.json` is made from it ([`description`]) and read by the CDK app and
//! the Terraform module; the policies that `msk-kraft plan` writes are made from the same statements, and the CLI finds a
//! deployment by the [`Parameter`] that both deployers write. A test holds the file to this crate.

mod alarm;
mod dashboard;
pub mod description;
mod function;
pub mod grant;
mod names;
pub mod notice;
mod parameter;
pub mod policy;
mod query;
mod resource;
mod role;

pub use function::{FUNCTIONS, Function, Network, Operations};
pub use grant::{Condition, Grant};
pub use names::{Names, QUALIFIER};
pub use parameter::Parameter;
pub use policy::{Policy, Resolve, Statement};
pub use resource::{Resource, Side};
pub use role::{ASKED_FUNCTIONS, Role};
