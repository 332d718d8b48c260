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

use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};

use super::message::{MESSAGE_BYTES, message};
use super::schedule::Schedule;
use super::traffic::Traffic;
use crate::histogram::Times;
use crate::{child, sys};

/// What the harness tells its load generator.
#[derive(Debug)]
pub(crate) struct ClientOptions {
    pub(crate) port: u16,
    pub(crate) window: Duration,
    pub(crate) traffic: Traffic,
}

/// Said when all connections are open.
pub(super) const CONNECTED: &str = "connected";
/// Answered to that: begin the warm-up.
pub(super) const GO: &str = "go";
/// Said when the first request of the window is due.
pub(super) const WINDOW: &str = "window";
/// Said when the window is over; the result follows.
pub(super) const END: &str = "end";

/// What the client saw in the window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) latencies: Latencies,
    /// In the order of the traffic's works.
    pub(super) by_work: Vec<Quantiles>,
    /// From the end of a burst to the moment at which its backlog was gone, or the client gave up.
    pub(super) backlog_ms: Option<f64>,
}

/// The latencies of requests of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// All requests that count. Latencies are from the due time.
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

/// How long the client waits after the window for answers that are still missing.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// How long an idle server may take to accept a connection.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(5);
/// Token of the timer; those of the connections are their indices.
const TIMER: Token = Token(usize::MAX);

/// Runs the load generator.
pub(crate) fn client(options: &ClientOptions) -> Result<(), String> {
    let run = || -> io::Result<()> {
        child::tie_to_parent()?;
        // A machine with many CPUs has more connections than most limits allow.
        sys::raise_file_limit()?;
        let priority = sys::raise_priority();
        let mut client = Client::connect(options)?;
        child::say(CONNECTED)?;
        if child::next_command()?.as_deref() != Some(GO) {
            return Ok(());
        }
        client.run(child::say)?;
        child::say(&serde_json::to_string(&client.seen(priority))?)
    };
    run().map_err(|error| format!("client: {error}"))
}

struct Client {
    schedule: Schedule,
    /// How few unanswered requests are no backlog.
    backlog_gone: u64,
    backlog_gone_at: Option<Duration>,
    start: Instant,
    poll: Poll,
    timer: sys::Timer,
    connections: Vec<Connection>,
    next_seq: u64,
    answers: u64,
    counted_answers: u64,
    /// For each kind of requests.
    latencies: Vec<Times>,
    lateness: Times,
    phase: Phase,
}

/// How far the run is, as far as the parent has been told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Window,
    Grace,
}

/// Request number `seq` goes over connection `seq % connections`, so each knows which answer comes
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
        for index in 0..options.traffic.connections {
            let mut stream = TcpStream::from_std(open(address)?);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(index), interest)?;
            connections.push(Connection::new(stream, index as u64));
        }
        let schedule = Schedule::new(&options.traffic, options.window);
        Ok(Self {
            latencies: vec![Times::new(); schedule.kinds()],
            schedule,
            backlog_gone: options.traffic.burst.map_or(0, |burst| burst.backlog_gone),
            backlog_gone_at: None,
            start: Instant::now(),
            poll,
            timer,
            connections,
            next_seq: 0,
            answers: 0,
            counted_answers: 0,
            lateness: Times::new(),
            phase: Phase::WarmUp,
        })
    }

    /// Runs the schedule, and tells the parent by `say` how far it is.
    fn run(&mut self, say: fn(&str) -> io::Result<()>) -> io::Result<()> {
        self.start = Instant::now();
        let mut events = Events::with_capacity(self.connections.len() + 1);
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
            self.watch_backlog();
        }
    }

    fn send_due(&mut self) {
        while self.next_seq < self.schedule.total() {
            let due = self.schedule.due(self.next_seq);
            let Some(late) = self.start.elapsed().checked_sub(due) else {
                return;
            };
            if self.next_seq >= self.schedule.first_counted() {
                self.lateness.record(late);
            }
            let request = message(self.next_seq, self.schedule.work_us(self.next_seq));
            let index = self.next_seq % self.connections.len() as u64;
            let connection = &mut self.connections[index as usize];
            connection.unsent.extend_from_slice(&request);
            connection.flush();
            self.next_seq += 1;
        }
    }

    fn announce(&mut self, say: fn(&str) -> io::Result<()>) -> io::Result<()> {
        let is_over = self.start.elapsed() >= self.schedule.end();
        // By chance, there may be no request in a short window.
        let has_begun = is_over || self.next_seq > self.schedule.first_in_window();
        if self.phase == Phase::WarmUp && has_begun {
            self.phase = Phase::Window;
            say(WINDOW)?;
        }
        if self.phase == Phase::Window && is_over {
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

    /// Notes when the backlog of a burst is gone.
    fn watch_backlog(&mut self) {
        let Some(burst_end) = self.schedule.burst_end() else {
            return;
        };
        let now = self.start.elapsed();
        if now >= burst_end && self.next_seq - self.answers <= self.backlog_gone {
            self.backlog_gone_at.get_or_insert(now);
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
        let connections = self.connections.len() as u64;
        let connection = &mut self.connections[index];
        let whole = connection.partial.len() / MESSAGE_BYTES * MESSAGE_BYTES;
        for answer in connection.partial[..whole].chunks_exact(MESSAGE_BYTES) {
            let seq = connection.next_answer;
            if seq >= self.next_seq || answer != message(seq, self.schedule.work_us(seq)) {
                return Err(io::Error::other(format!(
                    "request {seq} got a wrong answer"
                )));
            }
            connection.next_answer += connections;
            self.answers += 1;
            if seq >= self.schedule.first_counted() {
                self.counted_answers += 1;
                let latency = now.saturating_sub(self.schedule.due(seq));
                self.latencies[self.schedule.kind(seq)].record(latency);
            }
        }
        connection.partial.drain(..whole);
        Ok(())
    }

    /// Counts what was never answered as well, and sums up.
    fn seen(mut self, priority: String) -> Seen {
        let now = self.start.elapsed();
        self.record_unanswered(now);
        let by_work = self.latencies.iter().map(|kind| Quantiles {
            p50_us: kind.us(0.5),
            p99_us: kind.us(0.99),
        });
        let by_work = by_work.collect();
        let mut all = Times::new();
        for kind in &self.latencies {
            all.add(kind);
        }
        let lost = self.connections.iter().filter(|one| one.lost);
        let latencies = Latencies {
            requests: self.schedule.total() - self.schedule.first_counted(),
            answered: self.counted_answers,
            p50_us: all.us(0.5),
            p90_us: all.us(0.9),
            p99_us: all.us(0.99),
            p999_us: all.us(0.999),
            max_us: all.us(1.0),
            sent_late_p99_us: self.lateness.us(0.99),
            lost_connections: lost.count(),
            priority,
        };
        // The same for all that never got rid of it.
        let never = self.schedule.end() + GRACE;
        let backlog_gone_at = self.backlog_gone_at.unwrap_or(never).min(never);
        let burst_end = self.schedule.burst_end();
        let backlog = burst_end.map(|burst_end| backlog_gone_at.saturating_sub(burst_end));
        Seen {
            latencies,
            by_work,
            backlog_ms: backlog.map(|time| 1e3 * time.as_secs_f64()),
        }
    }

    /// Records the age of what has no answer.
    fn record_unanswered(&mut self, now: Duration) {
        let (first, total) = (self.schedule.first_counted(), self.schedule.total());
        for connection in &self.connections {
            let missing = (connection.next_answer..total).step_by(self.connections.len());
            for seq in missing.filter(|seq| *seq >= first) {
                let latency = now.saturating_sub(self.schedule.due(seq));
                self.latencies[self.schedule.kind(seq)].record(latency);
            }
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::super::traffic::{Burst, Rate, Work};
    use super::*;

    const CONNECTIONS: usize = 64;

    /// Runs a client against a server that greets every connection, and then leaves it to `serve`.
    fn run_against(serve: fn(std::net::TcpStream)) -> io::Result<Seen> {
        let traffic = Traffic::even(CONNECTIONS, Rate::per_s(1_000), 7);
        run_traffic_against(traffic, serve)
    }

    fn run_traffic_against(traffic: Traffic, serve: fn(std::net::TcpStream)) -> io::Result<Seen> {
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
            window,
            traffic,
        })?;
        client.run(|_| Ok(()))?;
        Ok(client.seen(String::new()))
    }

    fn echo_once(stream: &mut std::net::TcpStream) -> io::Result<()> {
        let mut message = [0; MESSAGE_BYTES];
        stream.read_exact(&mut message)?;
        stream.write_all(&message)
    }

    #[test]
    fn an_honest_echo_answers_everything() {
        let seen = run_against(|mut stream| while echo_once(&mut stream).is_ok() {})
            .unwrap()
            .latencies;
        assert_eq!(
            (seen.requests, seen.answered, seen.lost_connections),
            (200, 200, 0)
        );
        assert!(seen.p50_us > 0.0 && seen.p50_us <= seen.p99_us && seen.p99_us <= seen.max_us);
    }

    #[test]
    fn a_silent_server_counts_with_the_age_of_its_requests() {
        let silent = |mut stream| drop(io::copy(&mut stream, &mut io::sink()));
        let seen = run_against(silent).unwrap().latencies;
        assert_eq!((seen.requests, seen.answered), (200, 0));
        let grace_us = GRACE.as_micros() as f64;
        assert!(
            seen.p50_us > grace_us && seen.max_us >= grace_us + 190_000.0,
            "{seen:?}"
        );
    }

    #[test]
    fn a_lost_connection_is_counted_and_does_not_end_the_run() {
        let seen = run_against(drop).unwrap().latencies;
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

    #[test]
    fn every_kind_of_request_has_its_latencies() {
        let traffic = Traffic {
            works: vec![Work { us: 1, share: 0.5 }, Work { us: 2, share: 0.5 }],
            ..Traffic::even(CONNECTIONS, Rate::per_s(1_000), 0)
        };
        let echo = |mut stream| while echo_once(&mut stream).is_ok() {};
        let seen = run_traffic_against(traffic, echo).unwrap();
        assert_eq!(seen.by_work.len(), 2);
        assert!(
            seen.by_work.iter().all(|kind| kind.p50_us > 0.0),
            "{seen:?}"
        );
        assert_eq!(seen.backlog_ms, None);
    }

    #[test]
    fn a_backlog_is_gone_when_it_is_answered_or_never() {
        let traffic = || Traffic {
            burst: Some(Burst {
                rate: Rate::per_s(2_000),
                length: Duration::from_millis(100),
                backlog_gone: 4,
            }),
            ..Traffic::even(CONNECTIONS, Rate::per_s(1_000), 0)
        };
        let echo = |mut stream| while echo_once(&mut stream).is_ok() {};
        let answered = run_traffic_against(traffic(), echo).unwrap();
        let silent = |mut stream| drop(io::copy(&mut stream, &mut io::sink()));
        let never = run_traffic_against(traffic(), silent).unwrap();
        let grace_ms = GRACE.as_millis() as f64;
        assert!(answered.backlog_ms < Some(grace_ms), "{answered:?}");
        assert!(never.backlog_ms >= Some(grace_ms), "{never:?}");
    }
}
