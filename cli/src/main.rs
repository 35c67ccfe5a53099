//! msk-kraft
fn main() {}
