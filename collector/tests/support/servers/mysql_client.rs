//! A client of MySQL and MariaDB that is one socket: a test holds hundreds, idle or waiting for an answer,
//! without a thread for each. Knows as much of the protocol as a user without a password and queries in plain
//! text take.

use super::Rows;
use std::{
    io::{self, BufReader, Error, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Nobody is waited for longer.
const LIMIT: Duration = Duration::from_secs(60);
/// Asked of the server: `CONNECT_WITH_DB`, `PROTOCOL_41`, `SECURE_CONNECTION` (how a password is sent, of which
/// there is none), `PLUGIN_AUTH`.
const CAPABILITIES: u32 = 0x8 | 0x200 | 0x8000 | 0x8_0000;
const LARGEST_PACKET: u32 = 1 << 24;
/// `utf8mb4_general_ci`.
const CHARACTERS: u8 = 45;
const QUERY: u8 = 3;
const QUIT: u8 = 1;

#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    /// Of the next packet, in each exchange from 0.
    number: u8,
    /// The connection's, as `CONNECTION_ID()` has it.
    pub id: u32,
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
        Self::connect_as(port, "root", database)
    }

    /// # Errors
    /// As [`Self::try_connect`].
    pub fn connect_as(port: u16, user: &str, database: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream: BufReader::new(stream),
            number: 0,
            id: 0,
        };
        client.id = id_in(&client.read()?)?;
        client.write(&login(user, database))?;
        client.be_let_in()?;
        Ok(client)
    }

    fn be_let_in(&mut self) -> io::Result<()> {
        loop {
            match self.read()?.first() {
                Some(0) => return Ok(()),
                // Another way to send a password, or that the one sent is right.
                Some(0xfe) => self.write(&[])?,
                Some(1) => {}
                other => return Err(Error::other(format!("it answers a login by {other:?}"))),
            }
        }
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
        self.number = 0;
        let body = [&[QUERY], sql.as_bytes()].concat();
        self.write(&body).expect("the server is there");
    }

    /// The answer to what was sent.
    #[track_caller]
    pub fn rows(&mut self) -> Rows {
        self.answer().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Says goodbye, and waits until the server has closed the connection.
    pub fn close(mut self) {
        self.number = 0;
        let _ = self.write(&[QUIT]);
        let _ = self.stream.read_to_end(&mut Vec::new());
    }

    /// A count of columns, a packet for each, an end, a packet for each row, an end; or success alone.
    fn answer(&mut self) -> io::Result<Rows> {
        let mut rows = Rows::new();
        if self.read()?.first() == Some(&0) {
            return Ok(rows);
        }
        while !is_end(&self.read()?) {}
        loop {
            let packet = self.read()?;
            if is_end(&packet) {
                return Ok(rows);
            }
            rows.push(row(&packet));
        }
    }

    /// A packet: three bytes of its length, its number, its content. An error is one of ours.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head)?;
        let [a, b, c, number] = head;
        let mut body = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
        self.stream.read_exact(&mut body)?;
        self.number = number.wrapping_add(1);
        match body.first() {
            Some(0xff) => {
                let reason = String::from_utf8_lossy(&body[3..]);
                Err(Error::other(reason.into_owned()))
            }
            _ => Ok(body),
        }
    }

    fn write(&mut self, body: &[u8]) -> io::Result<()> {
        let [a, b, c, _] = (body.len() as u32).to_le_bytes();
        let packet = [&[a, b, c, self.number], body].concat();
        self.stream.get_mut().write_all(&packet)
    }
}

/// In the server's first packet: a version, a text that ends with a zero, the connection's id.
fn id_in(greeting: &[u8]) -> io::Result<u32> {
    let end = greeting.iter().skip(1).position(|byte| *byte == 0);
    let id = end.and_then(|end| greeting.get(end + 2..)?.first_chunk());
    let id = id.ok_or_else(|| Error::other("no greeting of MySQL"))?;
    Ok(u32::from_le_bytes(*id))
}

fn login(user: &str, database: &str) -> Vec<u8> {
    let mut body = CAPABILITIES.to_le_bytes().to_vec();
    body.extend(LARGEST_PACKET.to_le_bytes());
    body.push(CHARACTERS);
    body.extend([0; 23]);
    body.extend(user.as_bytes());
    // The second: how long the password is.
    body.extend([0, 0]);
    body.extend(database.as_bytes());
    body.push(0);
    body.extend(b"mysql_native_password\0");
    body
}

fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}

/// Of each field its length in one byte or, behind a byte that says so, in two, three or eight; NULL has a
/// byte of its own.
fn row(mut packet: &[u8]) -> Vec<String> {
    let mut fields = Vec::new();
    while let Some((first, rest)) = packet.split_first() {
        let width = match first {
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => 0,
        };
        let (long, rest) = rest.split_at(width);
        let length = match first {
            0xfb => 0,
            short if width == 0 => usize::from(*short),
            _ => long
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        };
        let (field, rest) = rest.split_at(length);
        fields.push(String::from_utf8_lossy(field).into_owned());
        packet = rest;
    }
    fields
}
