//! Hides the DSNs and URLs on the command line from `ps` and `/proc/PID/cmdline`, which everybody may read, and from
//! records: there may be a password in them. What was given is read before.

use procfs::process::Process;
use std::os::unix::ffi::OsStrExt as _;

/// What follows these is hidden, whatever it is.
const OPTIONS: [&str; 2] = ["--postgres-dsn", "--mysql-dsn"];
/// So is what holds this.
const URL: &[u8] = b"://";
const HIDDEN: u8 = b'x';

/// Overwrites them where the kernel keeps them. To be called while there is one thread.
pub fn hide_dsns() {
    let arguments: Vec<_> = std::env::args_os().collect();
    let arguments: Vec<&[u8]> = arguments.iter().map(|it| it.as_bytes()).collect();
    let parts = to_hide(&arguments);
    if parts.is_empty() {
        return;
    }
    let stat = Process::myself().and_then(|own| own.stat());
    let Some(start) = stat.ok().and_then(|stat| stat.arg_start) else {
        return;
    };
    let mut place = start as usize;
    for (number, argument) in arguments.iter().enumerate() {
        for part in parts.iter().filter(|part| part.argument == number) {
            let (from, length) = (place + part.from, argument.len() - part.from);
            // SAFETY: the kernel put our arguments there, one after the other with a zero byte behind each, on the
            // stack of our only thread; `args_os` has just read them there, and nobody holds a reference to them.
            unsafe { std::ptr::write_bytes(from as *mut u8, HIDDEN, length) };
        }
        place += argument.len() + 1;
    }
}

/// An argument, and from which byte on it is hidden.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    argument: usize,
    from: usize,
}

fn to_hide<T: AsRef<[u8]>>(arguments: &[T]) -> Vec<Part> {
    let mut parts = Vec::new();
    for (number, argument) in arguments.iter().enumerate() {
        let argument = argument.as_ref();
        let mut options = OPTIONS.iter();
        let Some(option) = options.find(|it| argument.starts_with(it.as_bytes())) else {
            parts.extend(url(argument).map(|from| Part {
                argument: number,
                from,
            }));
            continue;
        };
        let next = arguments.get(number + 1).map(AsRef::as_ref);
        match argument.get(option.len()) {
            Some(b'=') => parts.push(Part {
                argument: number,
                from: option.len() + 1,
            }),
            None if next.is_some_and(|next| !is_option(next)) => parts.push(Part {
                argument: number + 1,
                from: 0,
            }),
            _ => (),
        }
    }
    parts
}

/// Where a URL begins: behind the name of an option, if that is in the same argument.
fn url(argument: &[u8]) -> Option<usize> {
    let place = argument.windows(URL.len()).position(|it| it == URL)?;
    let value = argument[..place].iter().position(|it| *it == b'=');
    Some(value.filter(|_| is_option(argument)).map_or(0, |it| it + 1))
}

fn is_option(argument: &[u8]) -> bool {
    argument.starts_with(b"-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_options() {
        let part = |argument, from| Part { argument, from };
        let all = [
            "connscope",
            "attach",
            "--postgres-dsn",
            "user=a password=b",
            "--mysql-dsn=mysql://a:b@c/",
            "--postgres-dsn",
            "--duration",
            "1s",
            "--mysql-dsn",
        ];
        assert_eq!(to_hide(&all), [part(3, 0), part(4, 12)]);
        assert_eq!(to_hide(&["connscope", "--postgres-dsns", "a"]), []);
        let urls = ["--postgres", "postgres://a:b@c/", "--mysql=mysql://a:b@c/"];
        assert_eq!(to_hide(&urls), [part(1, 0), part(2, 8)]);
        assert_eq!(to_hide(&["claims", "--postgres", "5432"]), []);
    }
}
