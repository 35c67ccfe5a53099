//! The Lambda function `precheck`: reads both clusters and AWS, changes nothing, and says what stands in the way of a
//! migration and what it would do.

mod estimate;
mod facts;
mod gather;
mod handler;
mod offsets;
mod plan;
mod rules;
#[cfg(test)]
mod sample;

use topology::access;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::serve(|host, input, _| async move { handler::handle(&host, input).await }).await
}
