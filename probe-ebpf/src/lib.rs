//! The kernel half of connscope, and the only door to it.
//!
//! A [`Watch`] loads the probes, puts processes on the watch list and reads what their tasks did.
//! The programs themselves are in `bpf/`: C with CO-RE, one file per probe.

pub mod abi;
mod c_library;
mod calls;
pub mod cost;
pub mod counters;
mod error;
pub mod fault_sample;
mod iterate;
mod loader;
mod perf;
pub mod platform;
pub mod probes;
pub mod sample;
mod sockets;
pub mod statistics;
#[allow(dead_code)] // until the first probe that enters functions of the kernel
mod tracing;
mod watch;
mod windows;

pub use error::Error;
pub use sockets::Sockets;
pub use watch::{Assignment, Baseline, GroupRule, Options, Watch};
