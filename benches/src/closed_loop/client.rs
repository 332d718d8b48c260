//! The load generator: a closed loop on one thread, in its own process.
//!
//! Each connection asks, waits for the answer and asks again, so a faster server is asked more. A
//! latency counts from just before the request is written until its answer has been read. The
//! thread has the priority that every thread has: it is part of what the machine has to do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::histogram::Times;

/// What is asked over and over, and what comes back.
pub(crate) struct Protocol {
    pub(crate) request: &'static [u8],
    /// The length of the answer that begins so, as soon as that can be told. Asked on the first
    /// answer; all others have to be as long.
    pub(crate) answer_bytes: fn(&[u8]) -> Option<usize>,
    /// Whether this is an answer.
    pub(crate) is_right: fn(&[u8]) -> bool,
}

/// How long the loop runs before anything counts.
pub(super) const WARM_UP: Duration = Duration::from_millis(300);
/// How long after the window an answer may come; a request that has none then counts with its age.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// How long an idle server may take to accept a connection and answer.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(5);
/// Longer than any first answer.
const ANSWER_BYTES_MAX: usize = 4096;

pub(super) struct Client {
    protocol: &'static Protocol,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    in_flight: usize,
    answers: u64,
    latencies: Times,
}

struct Connection {
    stream: TcpStream,
    /// One byte longer than an answer, so that one which is too long is noticed.
    answer: Vec<u8>,
    filled: usize,
    asked: Option<Instant>,
}

impl Client {
    /// Opens the connections. Each has had an answer when this returns, which alone proves that it
    /// was accepted.
    pub(super) fn connect(
        protocol: &'static Protocol,
        port: u16,
        connections: usize,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connect = |index| -> io::Result<Connection> {
            let (stream, answer_bytes) = open(protocol, address)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE;
            poll.registry()
                .register(&mut stream, Token(index), interest)?;
            Ok(Connection {
                stream,
                answer: vec![0; answer_bytes + 1],
                filled: 0,
                asked: None,
            })
        };
        let connections = (0..connections)
            .map(connect)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            protocol,
            poll,
            events: Events::with_capacity(connections.len()),
            connections,
            in_flight: 0,
            answers: 0,
            latencies: Times::new(),
        })
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
                let Some(asked) = connection.receive(self.protocol)? else {
                    continue;
                };
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
    fn ask(&mut self, protocol: &Protocol, now: Instant) -> io::Result<()> {
        self.asked = Some(now);
        // The request before has been answered, so the socket has room for the whole of this one.
        self.stream.write_all(protocol.request)
    }

    /// Reads what has come. If that completes the answer, returns when it was asked for. One read
    /// takes all that is there, so the edge-triggered poll will report what comes later.
    fn receive(&mut self, protocol: &Protocol) -> io::Result<Option<Instant>> {
        match self.stream.read(&mut self.answer[self.filled..]) {
            Ok(0) => return Err(io::Error::other("the server closed a connection")),
            Ok(count) => self.filled += count,
            Err(error) if is_transient(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let answer_bytes = self.answer.len() - 1;
        if self.filled < answer_bytes {
            return Ok(None);
        }
        let answer = &self.answer[..self.filled];
        let asked = self.asked.take();
        let right = self.filled == answer_bytes && (protocol.is_right)(answer);
        let asked = asked.filter(|_| right).ok_or_else(|| wrong(answer))?;
        self.filled = 0;
        Ok(Some(asked))
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// A connection that has had its first answer, and the length of that.
fn open(protocol: &Protocol, address: SocketAddr) -> io::Result<(std::net::TcpStream, usize)> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ACCEPT_PATIENCE))?;
    stream.write_all(protocol.request)?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    let mut filled = 0;
    loop {
        match stream.read(&mut answer[filled..])? {
            0 => return Err(wrong(&answer[..filled])),
            count => filled += count,
        }
        let answer = &answer[..filled];
        match (protocol.answer_bytes)(answer) {
            Some(all) if filled == all && (protocol.is_right)(answer) => break,
            Some(all) if filled >= all => return Err(wrong(answer)),
            _ => {}
        }
    }
    stream.set_nonblocking(true)?;
    Ok((stream, filled))
}

fn wrong(answer: &[u8]) -> io::Error {
    let answer = String::from_utf8_lossy(answer);
    io::Error::other(format!("a wrong answer: {answer:?}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const MESSAGE: &[u8] = b"the same bytes there and back";
    const PROTOCOL: Protocol = Protocol {
        request: MESSAGE,
        answer_bytes: |_| Some(MESSAGE.len()),
        is_right: |answer| answer == MESSAGE,
    };
    const CONNECTIONS: usize = 3;
    const WINDOW: Duration = Duration::from_millis(300);

    /// Runs a client against a server that greets every connection, and then leaves it to `serve`.
    fn run_against(serve: fn(std::net::TcpStream)) -> io::Result<(u64, Times)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().take(CONNECTIONS) {
                let mut stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                echo_in_parts(&mut stream).unwrap();
                thread::spawn(move || serve(stream));
            }
        });
        let mut client = Client::connect(&PROTOCOL, port, CONNECTIONS)?;
        client.warm_up()?;
        let answers = client.measure(Instant::now() + WINDOW)?;
        Ok((answers, client.finish()?))
    }

    fn receive(stream: &mut std::net::TcpStream) -> io::Result<Vec<u8>> {
        let mut message = vec![0; PROTOCOL.request.len()];
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
