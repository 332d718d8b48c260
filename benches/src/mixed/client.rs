//! The load generator: an open loop on one thread, in its own process.
//!
//! Requests leave when they are due, whatever became of the earlier ones, and a latency counts from
//! the due time: a server that stalls cannot slow the questions down (coordinated omission). A
//! request without an answer counts with the age that it has reached at the end. The thread runs
//! above all normal ones, where permitted, and sleeps between due times, so that it measures the
//! server and not its own wait for a CPU.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use super::{CONNECTIONS, GRACE, MESSAGE_BYTES};
use crate::{child, sys};

/// What the harness tells its load generator.
#[derive(Debug)]
pub(crate) struct ClientOptions {
    pub(crate) port: u16,
    pub(crate) requests_per_s: u32,
    pub(crate) window: Duration,
}

/// Said when all connections are open.
pub(super) const CONNECTED: &str = "connected";
/// Answered to that: begin the warm-up.
pub(super) const GO: &str = "go";
/// Said when the first request that counts is due.
pub(super) const WINDOW: &str = "window";
/// Said when the window is over; the result follows.
pub(super) const END: &str = "end";

/// What the client saw in the window. Latencies are from the due time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Latencies {
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    /// How late the client itself was in sending.
    pub(crate) sent_late_p99_us: f64,
    pub(crate) lost_connections: usize,
    /// The client's scheduling, as far as it was permitted.
    pub(crate) priority: String,
}

/// The longest time that a histogram tells apart, in nanoseconds: over an hour.
const LONGEST_NS: u64 = 1 << 42;
/// How long an idle server may take to accept a connection.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(5);
/// Token of the timer, after those of the connections.
const TIMER: Token = Token(CONNECTIONS);

/// Runs the load generator.
pub(crate) fn client(options: &ClientOptions) -> Result<(), String> {
    let run = || -> io::Result<()> {
        child::tie_to_parent()?;
        let priority = sys::raise_priority();
        let mut client = Client::connect(options)?;
        child::say(CONNECTED)?;
        if child::next_command()?.as_deref() != Some(GO) {
            return Ok(());
        }
        client.run(child::say)?;
        child::say(&serde_json::to_string(&client.latencies(priority))?)
    };
    run().map_err(|error| format!("client: {error}"))
}

struct Client {
    schedule: Schedule,
    start: Instant,
    poll: Poll,
    timer: sys::Timer,
    connections: Vec<Connection>,
    next_seq: u64,
    answers: u64,
    counted_answers: u64,
    latencies: Histogram<u64>,
    lateness: Histogram<u64>,
    phase: Phase,
}

/// How far the run is, as far as the parent has been told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Window,
    Grace,
}

/// Request number `seq` goes over connection `seq % CONNECTIONS`, so each knows which answer comes
/// next.
struct Connection {
    stream: TcpStream,
    next_answer: u64,
    unsent: Vec<u8>,
    partial: Vec<u8>,
    lost: bool,
}

impl Client {
    fn connect(options: &ClientOptions) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = sys::Timer::new()?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let mut connections = Vec::new();
        for index in 0..CONNECTIONS {
            let mut stream = TcpStream::from_std(open(address)?);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(index), interest)?;
            connections.push(Connection::new(stream, index as u64));
        }
        let histogram = Histogram::new_with_max(LONGEST_NS, 3).map_err(io::Error::other)?;
        Ok(Self {
            schedule: Schedule::new(options.requests_per_s, options.window),
            start: Instant::now(),
            poll,
            timer,
            connections,
            next_seq: 0,
            answers: 0,
            counted_answers: 0,
            latencies: histogram.clone(),
            lateness: histogram,
            phase: Phase::WarmUp,
        })
    }

    /// Runs the schedule, and tells the parent by `say` how far it is.
    fn run(&mut self, say: fn(&str) -> io::Result<()>) -> io::Result<()> {
        self.start = Instant::now();
        let mut events = Events::with_capacity(CONNECTIONS + 1);
        loop {
            self.send_due();
            self.announce(say)?;
            let Some(deadline) = self.next_deadline() else {
                return Ok(());
            };
            self.timer
                .arm(deadline.saturating_sub(self.start.elapsed()))?;
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => other?,
            }
            for event in &events {
                if event.token() != TIMER {
                    self.receive(event.token().0)?;
                    self.connections[event.token().0].flush();
                }
            }
        }
    }

    fn send_due(&mut self) {
        while self.next_seq < self.schedule.total() {
            let due = self.schedule.due(self.next_seq);
            let Some(late) = self.start.elapsed().checked_sub(due) else {
                return;
            };
            if self.next_seq >= self.schedule.first_counted() {
                record(&mut self.lateness, late);
            }
            let connection = &mut self.connections[(self.next_seq % CONNECTIONS as u64) as usize];
            connection.unsent.extend_from_slice(&message(self.next_seq));
            connection.flush();
            self.next_seq += 1;
        }
    }

    fn announce(&mut self, say: fn(&str) -> io::Result<()>) -> io::Result<()> {
        if self.phase == Phase::WarmUp && self.next_seq > self.schedule.first_counted() {
            self.phase = Phase::Window;
            say(WINDOW)?;
        }
        if self.phase == Phase::Window && self.start.elapsed() >= self.schedule.end() {
            self.phase = Phase::Grace;
            say(END)?;
        }
        Ok(())
    }

    /// When there is something to do without any answer coming; `None` when all is done.
    fn next_deadline(&self) -> Option<Duration> {
        let total = self.schedule.total();
        let give_up = self.schedule.end() + GRACE;
        match self.phase {
            _ if self.next_seq < total => Some(self.schedule.due(self.next_seq)),
            Phase::WarmUp | Phase::Window => Some(self.schedule.end()),
            Phase::Grace if self.answers < total && self.start.elapsed() < give_up => Some(give_up),
            Phase::Grace => None,
        }
    }

    /// Reads what has come, up to the `WouldBlock` that the edge-triggered poll needs.
    fn receive(&mut self, index: usize) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let connection = &mut self.connections[index];
            if connection.lost {
                return Ok(());
            }
            match connection.stream.read(&mut buffer) {
                Ok(0) => connection.lost = true,
                Ok(count) => {
                    let now = self.start.elapsed();
                    connection.partial.extend_from_slice(&buffer[..count]);
                    self.take_answers(index, now)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => connection.lost = true,
            }
        }
    }

    fn take_answers(&mut self, index: usize, now: Duration) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let whole = connection.partial.len() / MESSAGE_BYTES * MESSAGE_BYTES;
        for answer in connection.partial[..whole].chunks_exact(MESSAGE_BYTES) {
            let seq = connection.next_answer;
            if seq >= self.next_seq || answer != message(seq) {
                return Err(io::Error::other(format!(
                    "request {seq} got a wrong answer"
                )));
            }
            connection.next_answer += CONNECTIONS as u64;
            self.answers += 1;
            if seq >= self.schedule.first_counted() {
                self.counted_answers += 1;
                record(
                    &mut self.latencies,
                    now.saturating_sub(self.schedule.due(seq)),
                );
            }
        }
        connection.partial.drain(..whole);
        Ok(())
    }

    /// Counts what was never answered as well, and sums up.
    fn latencies(mut self, priority: String) -> Latencies {
        let now = self.start.elapsed();
        let (first, total) = (self.schedule.first_counted(), self.schedule.total());
        for connection in &self.connections {
            let missing = (connection.next_answer..total).step_by(CONNECTIONS);
            for seq in missing.filter(|seq| *seq >= first) {
                record(
                    &mut self.latencies,
                    now.saturating_sub(self.schedule.due(seq)),
                );
            }
        }
        let us = |histogram: &Histogram<u64>, quantile| {
            histogram.value_at_quantile(quantile) as f64 / 1e3
        };
        Latencies {
            requests: total - first,
            answered: self.counted_answers,
            p50_us: us(&self.latencies, 0.5),
            p90_us: us(&self.latencies, 0.9),
            p99_us: us(&self.latencies, 0.99),
            p999_us: us(&self.latencies, 0.999),
            max_us: us(&self.latencies, 1.0),
            sent_late_p99_us: us(&self.lateness, 0.99),
            lost_connections: self
                .connections
                .iter()
                .filter(|connection| connection.lost)
                .count(),
            priority,
        }
    }
}

impl Connection {
    fn new(stream: TcpStream, first_answer: u64) -> Self {
        Self {
            stream,
            next_answer: first_answer,
            unsent: Vec::new(),
            partial: Vec::new(),
            lost: false,
        }
    }

    /// Writes as much as the socket takes; the rest goes when the poll reports it writable.
    fn flush(&mut self) {
        while !self.unsent.is_empty() && !self.lost {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.lost = true,
            }
        }
    }
}

/// A connection that the server has accepted, which only an answer proves: the background work
/// begins once all are open.
fn open(address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ACCEPT_PATIENCE))?;
    let mut greeting = [0; MESSAGE_BYTES];
    stream.write_all(&greeting)?;
    stream.read_exact(&mut greeting)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// The request with this number, and its answer.
fn message(seq: u64) -> [u8; MESSAGE_BYTES] {
    let mut message = [seq as u8; MESSAGE_BYTES];
    message[..8].copy_from_slice(&seq.to_le_bytes());
    message
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Runs a client against a server that greets every connection, and then leaves it to `serve`.
    fn run_against(serve: fn(std::net::TcpStream)) -> io::Result<Latencies> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().take(CONNECTIONS) {
                let mut stream = stream.unwrap();
                echo_once(&mut stream).unwrap();
                thread::spawn(move || serve(stream));
            }
        });
        let window = Duration::from_millis(200);
        let mut client = Client::connect(&ClientOptions {
            port,
            requests_per_s: 1_000,
            window,
        })?;
        client.run(|_| Ok(()))?;
        Ok(client.latencies(String::new()))
    }

    fn echo_once(stream: &mut std::net::TcpStream) -> io::Result<()> {
        let mut message = [0; MESSAGE_BYTES];
        stream.read_exact(&mut message)?;
        stream.write_all(&message)
    }

    #[test]
    fn an_honest_echo_answers_everything() {
        let seen = run_against(|mut stream| while echo_once(&mut stream).is_ok() {}).unwrap();
        assert_eq!(
            (seen.requests, seen.answered, seen.lost_connections),
            (200, 200, 0)
        );
        assert!(seen.p50_us > 0.0 && seen.p50_us <= seen.p99_us && seen.p99_us <= seen.max_us);
    }

    #[test]
    fn a_silent_server_counts_with_the_age_of_its_requests() {
        let silent = |mut stream| drop(io::copy(&mut stream, &mut io::sink()));
        let seen = run_against(silent).unwrap();
        assert_eq!((seen.requests, seen.answered), (200, 0));
        let grace_us = GRACE.as_micros() as f64;
        assert!(
            seen.p50_us > grace_us && seen.max_us >= grace_us + 190_000.0,
            "{seen:?}"
        );
    }

    #[test]
    fn a_lost_connection_is_counted_and_does_not_end_the_run() {
        let seen = run_against(drop).unwrap();
        assert_eq!((seen.answered, seen.lost_connections), (0, CONNECTIONS));
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let error = run_against(|mut stream| {
            let mut message = [0; MESSAGE_BYTES];
            while stream.read_exact(&mut message).is_ok() {
                message[20] ^= 1;
                let _ = stream.write_all(&message);
            }
        })
        .unwrap_err();
        assert!(error.to_string().contains("wrong answer"));
    }
}
