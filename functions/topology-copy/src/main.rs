//! topology-copy
fn main() {}
