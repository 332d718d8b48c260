//! A server of `mini-kv` and its clients.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use evenkeel_examples::kv::{self, Config};

use crate::support::Server;

pub(crate) const SHORT: Duration = Duration::from_millis(200);

pub(crate) fn start() -> Server {
    start_with(Config::default())
}

pub(crate) fn start_with(config: Config) -> Server {
    Server::start_any(|listener, stopped| kv::serve(listener, config, stopped))
}

pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) fn new(server: &Server) -> Client {
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// One reply, as it is on the wire, but for the ends of lines, which are `|`.
    pub(crate) fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let line = line.strip_suffix("\r\n").expect("a whole line");
        let len = line.get(1..).and_then(|rest| rest.parse::<i64>().ok());
        let mut reply = format!("{line}|");
        match (line.as_bytes()[0], len) {
            (b'$', Some(len)) if len >= 0 => {
                let mut value = vec![0; len as usize + 2];
                self.0.read_exact(&mut value).unwrap();
                let value = value.strip_suffix(b"\r\n").expect("a whole value");
                reply += &format!("{}|", String::from_utf8_lossy(value));
            }
            (b'*', Some(len)) => (0..len).for_each(|_| reply += &self.reply()),
            _ => {}
        }
        reply
    }

    /// Sends an inline command.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    pub(crate) fn until_closed(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.0.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).replace("\r\n", "|")
    }
}

/// A command as clients send it.
pub(crate) fn request(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend(b"\r\n");
    }
    bytes
}
