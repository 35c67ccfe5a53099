//! The local stack: real Kafka on both sides and a stand-in for AWS, on one machine, without containers.
//!
//! [`Stack::start`] brings up ZooKeeper and Kafka (the source), Kafka as KRaft (the target), moto behind a front that
//! runs the real Lambda binaries, and a freeze webhook; [`Stack::stop`] or dropping the value ends all of it. The
//! binary `stack` does the same from a terminal.

mod aws;
mod certificates;
pub mod deploy;
mod deployed;
mod front;
mod ground;
mod http;
mod interrupt;
pub mod java;
mod kafka;
pub mod layout;
pub mod moto;
mod options;
pub mod ports;
pub mod process;
pub mod progress;
pub mod setup;
mod snapshot;
mod stack;
pub mod webhook;

pub use aws::{EVIDENCE_BUCKET, REGION, SEGMENTS_BUCKET, STATE_MACHINE, TABLE, function_arn, s3, state_machine_arn};
pub use certificates::{Certificates, STORE_PASSWORD};
pub use deployed::{Caller, Configured, DEPLOYMENT, Decision, Deployed, Invocation, Notices, Record, Role, Secret};
pub use front::{AwsFault, AwsService, AwsTrouble, SOURCE_ARN, TARGET_ARN};
pub use ground::Ground;
pub use interrupt::{asked_to_stop, exit_code, unless_interrupted};
pub use kafka::{Cluster, Link, Listener, SCRAM_PASSWORD, SCRAM_USER, Side, Weather, main_class};
pub use options::{BrokerJvm, FUNCTIONS, MEMORY_ENV, Options};
pub use stack::Stack;
