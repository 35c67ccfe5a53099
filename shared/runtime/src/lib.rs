//! What every function and the CLI need around a migration: AWS clients, the run's configuration and journal, its bucket,
//! the clusters, and the glue to Lambda.

pub mod aws;
pub mod budget;
pub mod clusters;
pub mod content;
mod credentials;
#[cfg(test)]
mod fake;
pub mod gates;
mod roles;
pub mod run;
pub mod secrets;
pub mod serve;
pub mod store;
pub mod stuck;

pub use aws::Aws;
pub use budget::Budget;
pub use content::Content;
pub use run::{Host, Run};
pub use serve::serve;
pub use store::Store;
