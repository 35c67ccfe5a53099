//! The Lambda function `validate`: compares source and target and reports, check by check, what it found.
//!
//! `work` compares the partitions of one batch and stores their results; `reconcile` sees to it that every batch has
//! results, compares topics and consumer groups, and merges everything into `validation/report.json`; `accept` records differences
//! that somebody takes as they are. A difference is a result and never an error: errors are what keeps a comparison from being made.

mod accept;
mod check;
mod groups;
mod handler;
mod input;
mod parity;
mod partition;
mod policy;
mod presence;
mod reconcile;
mod recount;
mod reference;
mod report;
mod results;
mod second;
mod switch;
mod work;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::serve(|host, input, budget| async move { handler::handle(&host, input, budget).await }).await
}
