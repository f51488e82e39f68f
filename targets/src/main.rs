//! connscope-target.
fn main() {}
