//! connscope.
fn main() {}
