//! The Lambda function `topology-copy`.

mod drift;
mod handler;
mod input;
mod report;
mod restart;
#[cfg(test)]
mod sample;
mod scram;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::serve(|host, input, budget| async move { handler::handle(&host, input, budget).await }).await
}
