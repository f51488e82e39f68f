//! `connscope serve`: watches for ever, and lets scrapers read what it saw last.
//!
//! One thread reads the probes at each interval and puts what it saw on a [`board`]; another answers HTTP from
//! that board alone, so no scrape ever waits for the kernel. A third one, where that is wanted, is given what was seen
//! to [`push`] it.

pub mod board;
pub mod config;
pub mod http;
pub mod monitor;
pub mod out;
mod pem;
pub mod places;
pub mod push;
pub mod search;
pub mod web_config;
