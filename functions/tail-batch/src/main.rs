//! tail-batch
fn main() {}
