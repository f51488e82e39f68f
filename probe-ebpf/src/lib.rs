//! The kernel half of connscope, and the only door to it.
//!
//! A [`Watch`] loads the probes, puts processes on the watch list and reads what their tasks did.
//! The programs themselves are in `bpf/`: C with CO-RE, one file per probe.

pub mod abi;
mod baseline;
mod c_library;
mod calls;
pub mod cost;
pub mod counters;
mod error;
pub mod fault_sample;
mod iterate;
mod kernel_types;
mod loader;
mod parts;
mod perf;
mod placing;
pub mod platform;
pub mod probes;
pub mod sample;
mod settling;
mod sockets;
pub mod stack_sample;
pub mod statistics;
#[doc(hidden)]
pub mod tracing;
mod watch;
mod windows;

pub use baseline::Baseline;
pub use error::Error;
pub use settling::Unsettled;
pub use sockets::{SocketBytes, Sockets};
pub use watch::{Assignment, GroupRule, Options, Watch};
