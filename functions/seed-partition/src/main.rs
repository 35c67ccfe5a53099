//! seed-partition
fn main() {}
