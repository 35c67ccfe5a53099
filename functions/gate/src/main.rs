//! The Lambda function `gate`.

mod enter;
mod handler;
mod input;
mod producers;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::serve(|host, input, budget| async move { handler::handle(&host, input, budget).await }).await
}
