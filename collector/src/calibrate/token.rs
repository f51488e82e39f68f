//! Pipes that a token goes through.

use anyhow::{Context, Result, bail};
use rustix::{
    io::{read, retry_on_intr, write},
    pipe::{PipeFlags, pipe_with},
};
use std::os::fd::OwnedFd;

/// What is sent to have the other side do its part.
pub(crate) const GO: u8 = 1;
/// What is sent to have it end.
pub(crate) const STOP: u8 = 0;

/// A pipe of which we hold both ends.
#[derive(Debug)]
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    pub(crate) fn new() -> Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
        Ok(Self { read, write })
    }

    pub(crate) fn send(&self, token: u8) -> Result<()> {
        retry_on_intr(|| write(&self.write, &[token])).context("cannot write to a pipe")?;
        Ok(())
    }

    pub(crate) fn receive(&self) -> Result<u8> {
        let mut token = [0];
        self.fill(&mut token)?;
        Ok(token[0])
    }

    /// Sends figures; whole, since a pipe takes so few bytes at once.
    pub(crate) fn send_figures<const N: usize>(&self, figures: [u64; N]) -> Result<()> {
        let bytes: Vec<u8> = figures.iter().flat_map(|it| it.to_ne_bytes()).collect();
        retry_on_intr(|| write(&self.write, &bytes)).context("cannot write to a pipe")?;
        Ok(())
    }

    pub(crate) fn receive_figures<const N: usize>(&self) -> Result<[u64; N]> {
        let mut figures = [0; N];
        for figure in &mut figures {
            let mut bytes = [0; 8];
            self.fill(&mut bytes)?;
            *figure = u64::from_ne_bytes(bytes);
        }
        Ok(figures)
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        let wanted = bytes.len();
        let got = retry_on_intr(|| read(&self.read, &mut *bytes)).context("cannot read a pipe")?;
        if got != wanted {
            bail!("a pipe ended");
        }
        Ok(())
    }
}
