//! Redis, without saves but those that a test asks for.

use super::daemon::{Daemon, free_port};
use super::site::{Place, Site};
use std::{
    io::{self, BufRead, BufReader, Error, Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

/// Nobody is waited for longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A server with a data directory of its own.
pub struct Redis {
    // Before the folder, which it works in.
    daemon: Daemon,
    site: Site,
}

impl Redis {
    /// Starts one with these settings, which come after ours.
    #[track_caller]
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let site = Site::new(Place::Host, "redis");
        let port = free_port();
        let mut command = site.command("/usr/bin/redis-server", libc::SIGKILL);
        let (port_text, folder) = (port.to_string(), site.seen(""));
        let ours = [
            ("bind", "127.0.0.1"),
            ("port", port_text.as_str()),
            ("save", ""),
            ("dir", &folder),
        ];
        for (name, value) in ours.iter().chain(settings) {
            command.args([&format!("--{name}"), *value]);
        }
        let answers = |port| Client::try_connect(port).ok()?.ask("PING").ok();
        let daemon = Daemon::start(&site, port, libc::SIGKILL, command, answers);
        Self { daemon, site }
    }

    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    pub fn port(&self) -> u16 {
        self.daemon.port
    }

    pub fn data_directory(&self) -> PathBuf {
        self.site.path("")
    }

    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::try_connect(self.port()).expect("the server is there")
    }

    /// A figure of `INFO`.
    #[track_caller]
    pub fn info(&self, name: &str) -> u64 {
        let info = self.connect().command("INFO everything");
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let line = line.unwrap_or_else(|| panic!("no {name} in {info}"));
        line.trim().parse().expect("a figure")
    }
}

/// A client that is one socket.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// # Errors
    /// If nobody listens there.
    pub fn try_connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// A command of words and its answer, as text.
    #[track_caller]
    pub fn command(&mut self, words: &str) -> String {
        let answer = self.ask(words);
        answer.unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    /// Asks, and leaves the answer to [`Self::answer`].
    ///
    /// # Errors
    /// If the server is gone.
    pub fn send(&mut self, words: &str) -> io::Result<()> {
        self.0
            .get_mut()
            .write_all(format!("{words}\r\n").as_bytes())
    }

    fn ask(&mut self, words: &str) -> io::Result<String> {
        self.send(words)?;
        self.answer()
    }

    /// A line of text or a figure; or a length, and so many bytes. Lists are not asked for.
    ///
    /// # Errors
    /// If the server is gone, or it answers by an error.
    pub fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some(("+" | ":", text)) => Ok(text.to_owned()),
            Some(("$", "-1")) => Ok(String::new()),
            Some(("$", length)) => {
                let length: usize = length.parse().map_err(Error::other)?;
                let mut text = vec![0; length + 2];
                self.0.read_exact(&mut text)?;
                text.truncate(length);
                String::from_utf8(text).map_err(Error::other)
            }
            _ => Err(Error::other(format!("it answers {line:?}"))),
        }
    }
}
