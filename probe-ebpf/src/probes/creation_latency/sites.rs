//! Attaching both programs to functions of one file.

use crate::{Error, loader::Loaded};
use libbpf_rs::{Link, UprobeMultiOpts, UprobeOpts};
use std::path::Path;

/// For libbpf: not bound to a process.
const ALL_PROCESSES: i32 = -1;

/// Functions of a file, by their offsets in it, each with the cookie its programs are given. The calls
/// of all processes that map the file are seen: a link that is bound to a process sees those of its
/// main thread alone before Linux 6.11.
pub(super) struct Sites<'a> {
    pub(super) file: &'a Path,
    pub(super) offsets: Vec<usize>,
    pub(super) cookies: Vec<u64>,
}

impl Sites<'_> {
    /// Has the programs run at entry and return. With one link to all functions (Linux 6.6) rather
    /// than an event to each, since each takes the kernel a tenth of a second to remove.
    pub(super) fn attach(&self, loaded: &Loaded, at_once: bool) -> Result<Vec<Link>, Error> {
        let mut links = Vec::new();
        // The return first, so that no entry waits for one that is not seen.
        for (program, retprobe) in [("on_return", true), ("on_call", false)] {
            links.extend(match at_once {
                true => loaded.attach_by(program, |p| self.at_once(&p, retprobe))?,
                false => loaded.attach_by(program, |p| self.one_by_one(&p, retprobe))?,
            });
        }
        Ok(links)
    }

    fn at_once(
        &self,
        program: &libbpf_rs::ProgramMut<'_>,
        retprobe: bool,
    ) -> libbpf_rs::Result<Vec<Link>> {
        let options = UprobeMultiOpts {
            offsets: self.offsets.clone(),
            cookies: self.cookies.clone(),
            retprobe,
            ..UprobeMultiOpts::default()
        };
        let link = program.attach_uprobe_multi_with_opts(ALL_PROCESSES, self.file, "", options)?;
        Ok(vec![link])
    }

    fn one_by_one(
        &self,
        program: &libbpf_rs::ProgramMut<'_>,
        retprobe: bool,
    ) -> libbpf_rs::Result<Vec<Link>> {
        let attach = |(&offset, &cookie)| {
            let options = UprobeOpts {
                cookie,
                retprobe,
                ..UprobeOpts::default()
            };
            program.attach_uprobe_with_opts(ALL_PROCESSES, self.file, offset, options)
        };
        self.offsets.iter().zip(&self.cookies).map(attach).collect()
    }
}
