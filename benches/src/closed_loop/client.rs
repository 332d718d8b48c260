//! The load generator: a closed loop on one thread, in its own process.
//!
//! Each connection asks, waits for the answer and asks again, so a faster server is asked more. A
//! latency counts from just before the request is written until its answer has been read. The
//! thread has the priority that every thread has: it is part of what the machine has to do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

use super::protocol::Protocol;
use crate::histogram::Times;

/// How long the loop runs before anything counts.
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);
/// How long after the window an answer may come; a request that has none then counts with its age.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// How long an idle server may take to accept a connection and answer.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(5);
/// An answer tells its length within these.
const START_BYTES: usize = 4096;
/// How much of a wrong answer is shown.
const SHOWN_BYTES: usize = 256;

pub(super) struct Client<'a, P> {
    protocol: &'a P,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    in_flight: usize,
    answers: u64,
    latencies: Times,
}

struct Connection {
    stream: TcpStream,
    /// How much of the request has been written.
    written: usize,
    /// The length of an answer, once the first has told.
    answer_bytes: Option<usize>,
    /// One byte longer than an answer, so that one which is too long is noticed.
    answer: Vec<u8>,
    filled: usize,
    asked: Option<Instant>,
}

impl<'a, P: Protocol> Client<'a, P> {
    /// Opens the connections. Each has had an answer when this returns, which alone proves that it
    /// was accepted.
    pub(super) fn connect(protocol: &'a P, port: u16, connections: usize) -> io::Result<Self> {
        let mut client = Self {
            protocol,
            poll: Poll::new()?,
            events: Events::with_capacity(connections),
            connections: Vec::with_capacity(connections),
            in_flight: 0,
            answers: 0,
            latencies: Times::new(),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for index in 0..connections {
            let mut opened = Connection::open(address, client.poll.registry(), Token(index))?;
            opened.ask(protocol, Instant::now())?;
            client.connections.push(opened);
            client.in_flight = 1;
            client.run(Instant::now() + ACCEPT_PATIENCE, false)?;
            if client.in_flight > 0 {
                return Err(io::Error::other("a connection has had no answer"));
            }
        }
        Ok(client)
    }

    /// The length of an answer.
    pub(super) fn answer_bytes(&self) -> usize {
        let told = self.connections.first().and_then(|one| one.answer_bytes);
        told.expect("each connection has had an answer")
    }

    /// Begins the loop, and runs it until it counts.
    pub(super) fn warm_up(&mut self) -> io::Result<()> {
        for connection in &mut self.connections {
            connection.ask(self.protocol, Instant::now())?;
            self.in_flight += 1;
        }
        self.run(Instant::now() + WARM_UP, true)?;
        self.answers = 0;
        self.latencies.clear();
        Ok(())
    }

    /// Runs the loop, and returns how many answers came.
    pub(super) fn measure(&mut self, deadline: Instant) -> io::Result<u64> {
        self.run(deadline, true)?;
        Ok(self.answers)
    }

    /// Waits for the answers that are still missing, and returns the latencies of all since the
    /// warm-up.
    pub(super) fn finish(mut self) -> io::Result<Times> {
        self.run(Instant::now() + GRACE, false)?;
        for asked in self.connections.iter().filter_map(|each| each.asked) {
            self.latencies.record(asked.elapsed());
        }
        Ok(self.latencies)
    }

    /// Receives answers until the deadline, and asks again after each, or until none is missing.
    fn run(&mut self, deadline: Instant, ask_again: bool) -> io::Result<()> {
        while self.in_flight > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.poll.poll(&mut self.events, Some(left)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                if event.is_writable() {
                    connection.write(self.protocol)?;
                }
                let answered = match event.is_readable() {
                    true => connection.read(self.protocol)?,
                    false => None,
                };
                let Some(asked) = answered else { continue };
                let now = Instant::now();
                self.answers += 1;
                self.latencies.record(now - asked);
                if ask_again {
                    connection.ask(self.protocol, now)?;
                } else {
                    self.in_flight -= 1;
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            written: 0,
            answer_bytes: None,
            answer: vec![0; START_BYTES],
            filled: 0,
            asked: None,
        })
    }

    fn ask(&mut self, protocol: &impl Protocol, now: Instant) -> io::Result<()> {
        self.asked = Some(now);
        self.written = 0;
        self.write(protocol)
    }

    /// Writes what is left of the request, or as much of it as the socket has room for: the
    /// edge-triggered poll will report when there is more.
    fn write(&mut self, protocol: &impl Protocol) -> io::Result<()> {
        let request = protocol.request();
        while self.written < request.len() {
            match self.stream.write(&request[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what has come. If that completes the answer, returns when it was asked for.
    fn read(&mut self, protocol: &impl Protocol) -> io::Result<Option<Instant>> {
        loop {
            let room = &mut self.answer[self.filled..];
            let room_bytes = room.len();
            let count = match self.stream.read(room) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(count) => count,
                Err(error) if is_transient(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            self.filled += count;
            if self.answer_bytes.is_none() {
                self.learn(protocol)?;
            }
            if self.answer_bytes.is_some_and(|all| self.filled >= all) {
                return self.complete(protocol).map(Some);
            }
            // All that was there, so the edge-triggered poll will report what comes later.
            if count < room_bytes {
                return Ok(None);
            }
        }
    }

    /// Learns how long answers are, if what has come tells.
    fn learn(&mut self, protocol: &impl Protocol) -> io::Result<()> {
        let start = &self.answer[..self.filled];
        self.answer_bytes = protocol.answer_bytes(start);
        match self.answer_bytes {
            // What has come stays, even if that is too long.
            Some(all) => self.answer.resize(self.filled.max(all + 1), 0),
            None if self.filled == START_BYTES => return Err(wrong(start)),
            None => {}
        }
        Ok(())
    }

    /// The answer is there, and more must not be. Returns when it was asked for.
    fn complete(&mut self, protocol: &impl Protocol) -> io::Result<Instant> {
        let answer = &self.answer[..self.filled];
        let asked = self.asked.take();
        let right = self.answer_bytes == Some(self.filled) && protocol.is_right(answer);
        let asked = asked.filter(|_| right).ok_or_else(|| wrong(answer))?;
        self.filled = 0;
        Ok(asked)
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn wrong(answer: &[u8]) -> io::Error {
    let start = String::from_utf8_lossy(&answer[..answer.len().min(SHOWN_BYTES)]);
    let bytes = answer.len();
    io::Error::other(format!("a wrong answer of {bytes} bytes: {start:?}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::super::protocol::Echo;
    use super::*;

    const MESSAGE_BYTES: usize = 29;
    const CONNECTIONS: usize = 3;
    const WINDOW: Duration = Duration::from_millis(300);

    /// Runs a client against a server that greets every connection, and then leaves it to `serve`.
    fn run_against(serve: fn(std::net::TcpStream)) -> io::Result<(u64, Times)> {
        let greet = move |mut stream: std::net::TcpStream| {
            echo_in_parts(&mut stream).unwrap();
            thread::spawn(move || serve(stream));
        };
        run_with(&Echo::of(MESSAGE_BYTES), greet)
    }

    /// Runs a client against a server that has its connections taken care of so.
    fn run_with(
        protocol: &Echo,
        serve: impl Fn(std::net::TcpStream) + Send + 'static,
    ) -> io::Result<(u64, Times)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().take(CONNECTIONS) {
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                serve(stream);
            }
        });
        let mut client = Client::connect(protocol, port, CONNECTIONS)?;
        client.warm_up()?;
        let answers = client.measure(Instant::now() + WINDOW)?;
        Ok((answers, client.finish()?))
    }

    fn receive(stream: &mut std::net::TcpStream) -> io::Result<Vec<u8>> {
        let mut message = vec![0; MESSAGE_BYTES];
        stream.read_exact(&mut message)?;
        Ok(message)
    }

    /// In two segments, so that a client sees an answer that is not whole yet.
    fn echo_in_parts(stream: &mut std::net::TcpStream) -> io::Result<()> {
        let message = receive(stream)?;
        stream.write_all(&message[..10])?;
        stream.write_all(&message[10..])
    }

    #[test]
    fn an_honest_echo_is_asked_again_and_again() {
        let serve = |mut stream| while echo_in_parts(&mut stream).is_ok() {};
        let (answers, latencies) = run_against(serve).unwrap();
        assert!(answers > CONNECTIONS as u64, "{answers}");
        // Those in flight at the end of the window are answered after it.
        let after = latencies.count() - answers;
        assert!(after <= CONNECTIONS as u64, "{after}");
        assert!(latencies.us(0.0) > 0.0);
    }

    #[test]
    fn a_message_may_be_larger_than_all_buffers_of_its_socket() {
        let protocol = Echo::of(16 << 20);
        let (answers, latencies) = run_with(&protocol, |stream| {
            let mut reader = stream.try_clone().unwrap();
            let mut writer = stream;
            // It reads on only after it has written, so the client has to do both at once.
            thread::spawn(move || io::copy(&mut reader, &mut writer));
        })
        .unwrap();
        assert!(latencies.count() >= answers.max(1), "{answers}");
    }

    #[test]
    fn a_silent_server_counts_with_the_age_of_its_requests() {
        let silent = |mut stream| drop(io::copy(&mut stream, &mut io::sink()));
        let (answers, latencies) = run_against(silent).unwrap();
        assert_eq!((answers, latencies.count()), (0, CONNECTIONS as u64));
        let least = (WARM_UP + WINDOW + GRACE).as_micros() as f64;
        assert!(latencies.us(0.0) > 0.99 * least);
    }

    #[test]
    fn a_lost_connection_is_an_error() {
        // At once, or when it is asked the next time.
        let error = run_against(drop).unwrap_err();
        let reset = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        let closed = error.to_string().contains("closed");
        assert!(closed || reset.contains(&error.kind()), "{error}");
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let error = run_against(|mut stream| {
            while let Ok(mut message) = receive(&mut stream) {
                message[20] ^= 1;
                let _ = stream.write_all(&message);
            }
        });
        assert!(error.unwrap_err().to_string().contains("wrong answer"));
    }

    #[test]
    fn an_answer_that_is_too_long_is_an_error() {
        let error = run_against(|mut stream| {
            while let Ok(mut message) = receive(&mut stream) {
                message.push(0);
                let _ = stream.write_all(&message);
            }
        });
        assert!(error.unwrap_err().to_string().contains("wrong answer"));
    }
}
