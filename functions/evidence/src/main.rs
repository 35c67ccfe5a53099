//! The Lambda function `evidence`: signs what is known of a migration and ends it, when its validation did not fail. Asked before,
//! it says whether it has the key to sign with.

mod bundle;
mod clusters;
mod handler;
mod input;
mod redact;
mod upload;
mod verdict;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::serve(|host, input, _budget| async move { handler::handle(&host, input).await }).await
}
