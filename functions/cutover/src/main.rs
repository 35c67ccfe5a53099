//! The Lambda function `cutover`.

mod clock;
mod commit;
mod drain;
mod fence;
mod finish;
mod groups;
mod handler;
mod sentinels;
mod settings;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::serve(|host, input, budget| async move { handler::handle(&host, input, budget).await }).await
}
