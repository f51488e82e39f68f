//! The kernel half of connscope.
