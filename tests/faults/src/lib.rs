//! Whole migrations on real brokers while a seeded schedule of faults goes on: brokers killed and restarted, leaders moved,
//! networks cut and slowed, answers lost, functions killed and invoked twice, AWS failing. Whatever happens, an operator
//! who does nothing but `msk-kraft resume` brings the migration to `finalized`, and judges that share no code with it find
//! every record once and in order.

pub mod diary;
pub mod inject;
pub mod operator;
pub mod round;
pub mod samples;
pub mod schedule;

pub use round::{Account, Plan, run};
