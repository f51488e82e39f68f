//! Runs a program of the kind `iter/...` and takes the records it writes.

use crate::{
    Error,
    abi::{self, Plain},
    loader::Loaded,
};
use libbpf_rs::{Iter, Link};
use std::io::Read;

/// Bytes read at once: what the kernel gathers for one reading, less room for the record that it goes
/// beyond that with, since one for which it has no room is shown to the program again.
const AT_ONCE: usize = 31 * 1024;

/// One pass of the iterator of that name, which was attached as the object was loaded.
pub(crate) fn iterate<T: Plain>(
    loaded: &Loaded,
    program: &'static str,
    each: impl FnMut(&T),
) -> Result<(), Error> {
    iterate_by(loaded.link(program), loaded, program, each)
}

/// The same of one that was attached later.
pub(crate) fn iterate_by<T: Plain>(
    link: &Link,
    loaded: &Loaded,
    program: &'static str,
    mut each: impl FnMut(&T),
) -> Result<(), Error> {
    let failed = |source| loaded.unreadable(program, source);
    let mut iterator = Iter::new(link).map_err(failed)?;
    let mut buffer = vec![0; AT_ONCE];
    let mut filled = 0;
    loop {
        let read = match iterator.read(&mut buffer[filled..]) {
            Ok(read) => read,
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => continue,
            Err(error) => return Err(failed(error.into())),
        };
        filled += read;
        let whole = filled - filled % size_of::<T>();
        for bytes in buffer[..whole].chunks_exact(size_of::<T>()) {
            if let Some(record) = abi::from_bytes(bytes) {
                each(&record);
            }
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
        if read == 0 {
            return Ok(());
        }
    }
}
