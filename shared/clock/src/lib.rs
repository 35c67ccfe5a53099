//! Time and chance: what o'clock it is, how much of a time limit is left, and how long to wait before something is tried
//! again. Whoever needs one of these takes it from here, so that tests and simulations decide them.
//!
//! - [`wall`]: the time of day, and the one form in which times are stored;
//! - [`deadline`]: a time limit, measured without regard to the time of day;
//! - [`retry`]: pauses between attempts.

pub mod deadline;
pub mod retry;
pub mod wall;

pub use deadline::Deadline;
pub use retry::{Backoff, RetryPolicy};
pub use wall::{Clock, micros, micros_option, text as timestamp};
