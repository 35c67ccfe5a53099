//! The Lambda function `gate`.

mod acknowledge;
mod approval;
mod decide;
mod ends;
mod enter;
mod fence;
mod freeze;
mod handler;
mod input;
mod producers;
mod pulse;
mod report;
mod rollback;
mod signature;
mod switch;
mod webhook;

#[cfg(test)]
mod tests;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::serve(|host, event, budget| async move { handler::handle(&host, event, budget).await }).await
}
