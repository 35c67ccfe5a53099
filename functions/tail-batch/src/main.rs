//! The Lambda function `tail-batch`.

mod drain;
mod handler;

/// Keeps what is freed for the next answer of a broker: the C library's allocator gives megabytes back to the kernel, which
/// clears every page of them again, a quarter of the processor time of a copy (docs/PERFORMANCE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::serve(|host, input, budget| async move { handler::handle(&host, input, budget).await }).await
}
