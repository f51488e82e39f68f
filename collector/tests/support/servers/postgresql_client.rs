//! A client of PostgreSQL that is one socket: a test holds hundreds, idle or waiting for an answer, without a
//! thread for each. Knows as much of the protocol as trusted clients and queries in plain text take.

use super::Rows;
use std::{
    io::{self, BufReader, Error, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Nobody is waited for longer.
const LIMIT: Duration = Duration::from_secs(60);
/// Version 3.0 of the protocol.
const PROTOCOL: i32 = 3 << 16;

#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    /// The backend's, as the server says.
    pub pid: u32,
}

impl Client {
    #[track_caller]
    pub fn connect(port: u16, database: &str) -> Self {
        let client = Self::try_connect(port, database);
        client.unwrap_or_else(|error| panic!("cannot connect to port {port}: {error}"))
    }

    /// # Errors
    /// If nobody listens there, or the server refuses it, with its reason.
    pub fn try_connect(port: u16, database: &str) -> io::Result<Self> {
        Self::connect_as(port, &[("user", "postgres"), ("database", database)])
    }

    /// Connects with these parameters: `user`, `database`, `application_name`, any setting.
    ///
    /// # Errors
    /// As [`Self::try_connect`].
    pub fn connect_as(port: u16, parameters: &[(&str, &str)]) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream: BufReader::new(stream),
            pid: 0,
        };
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for word in parameters.iter().flat_map(|(name, value)| [name, value]) {
            body.extend(word.as_bytes());
            body.push(0);
        }
        body.push(0);
        client.write(None, &body)?;
        client.answer()?;
        Ok(client)
    }

    /// Asks, and waits for the answer.
    #[track_caller]
    pub fn query(&mut self, sql: &str) -> Rows {
        self.send(sql);
        self.rows()
    }

    /// Asks, and leaves the answer to [`Self::rows`].
    #[track_caller]
    pub fn send(&mut self, sql: &str) {
        let body = [sql.as_bytes(), b"\0"].concat();
        self.write(Some(b'Q'), &body).expect("the server is there");
    }

    /// Whether there is something to read of the answer.
    pub fn is_answered(&self) -> bool {
        self.stream
            .get_ref()
            .set_nonblocking(true)
            .expect("a socket");
        let is_there = self.stream.get_ref().peek(&mut [0]).is_ok();
        self.stream
            .get_ref()
            .set_nonblocking(false)
            .expect("a socket");
        is_there
    }

    /// The answer to what was sent.
    #[track_caller]
    pub fn rows(&mut self) -> Rows {
        self.answer().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Says goodbye, and waits until the server has closed the connection.
    pub fn close(mut self) {
        let _ = self.write(Some(b'X'), &[]);
        let _ = self.stream.read_to_end(&mut Vec::new());
    }

    fn write(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body);
        self.stream.get_mut().write_all(&message)
    }

    /// Reads until the server is ready for a query.
    fn answer(&mut self) -> io::Result<Rows> {
        let mut rows = Rows::new();
        let mut error = None;
        loop {
            let (kind, body) = match self.message() {
                // It ends a connection that it refuses without being ready.
                Err(end) => return Err(error.unwrap_or(end)),
                Ok(message) => message,
            };
            match kind {
                b'D' => rows.push(row(&body)),
                b'K' => self.pid = number(&body) as u32,
                b'E' => error = Some(Error::other(reason(&body))),
                b'R' if number(&body) != 0 => {
                    return Err(Error::other("it asks for a password"));
                }
                b'Z' => return error.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let length = number(&head[1..]) as usize;
        let mut body = vec![0; length.saturating_sub(4)];
        self.stream.read_exact(&mut body)?;
        Ok((head[0], body))
    }
}

/// The four bytes at the start.
fn number(bytes: &[u8]) -> i32 {
    let first = bytes.first_chunk().copied();
    i32::from_be_bytes(first.unwrap_or_default())
}

/// A count of fields in two bytes; of each its length, -1 for NULL, and its text.
fn row(mut body: &[u8]) -> Vec<String> {
    let mut fields = Vec::new();
    body = &body[2..];
    while !body.is_empty() {
        let length = usize::try_from(number(body)).unwrap_or(0);
        let (field, rest) = body[4..].split_at(length);
        fields.push(String::from_utf8_lossy(field).into_owned());
        body = rest;
    }
    fields
}

/// Of the fields of an error, each a letter and a text, the message for people.
fn reason(body: &[u8]) -> String {
    let mut fields = body.split(|byte| *byte == 0);
    let message = fields.find_map(|field| field.strip_prefix(b"M"));
    String::from_utf8_lossy(message.unwrap_or(body)).into_owned()
}
