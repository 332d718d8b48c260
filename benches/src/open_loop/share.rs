//! A thread of the load generator: its connections, and the requests that go over them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::client::{END, GRACE, WINDOW};
use super::message::{MESSAGE_BYTES, message};
use super::schedule::Schedule;
use super::tally::Tally;
use crate::sys;

/// How long an idle server may take to accept a connection.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(5);
/// Token of the timer; those of the connections are their indices.
const TIMER: Token = Token(usize::MAX);

pub(super) struct Share {
    schedule: Schedule,
    /// Unanswered requests of all threads together.
    in_flight: Arc<AtomicU64>,
    /// How few of them are no backlog.
    backlog_gone: u64,
    backlog_gone_at: Option<Duration>,
    start: Instant,
    /// Whether it sleeps until something is to be done.
    sleeps: bool,
    poll: Poll,
    timer: sys::Timer,
    connections: Vec<Connection>,
    next_seq: u64,
    answers: u64,
    tally: Tally,
    phase: Phase,
}

/// How far the run is, as far as the parent has been told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Window,
    Grace,
}

/// Request number `seq` of the share goes over its connection `seq % connections`, so each knows
/// which answer comes next.
struct Connection {
    stream: TcpStream,
    next_answer: u64,
    /// How late each request was sent that has no answer yet.
    sent_late: VecDeque<Duration>,
    unsent: Vec<u8>,
    partial: Vec<u8>,
    lost: bool,
}

impl Share {
    /// Opens so many connections.
    pub(super) fn connect(
        address: SocketAddr,
        connections: usize,
        schedule: Schedule,
        sleeps: bool,
        in_flight: Arc<AtomicU64>,
        backlog_gone: u64,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = sys::Timer::new()?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let mut opened = Vec::with_capacity(connections);
        for index in 0..connections {
            let mut stream = TcpStream::from_std(open(address)?);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(index), interest)?;
            opened.push(Connection::new(stream, index as u64));
        }
        Ok(Self {
            tally: Tally::new(schedule.kinds()),
            schedule,
            in_flight,
            backlog_gone,
            backlog_gone_at: None,
            start: Instant::now(),
            sleeps,
            poll,
            timer,
            connections: opened,
            next_seq: 0,
            answers: 0,
            phase: Phase::WarmUp,
        })
    }

    /// Runs the schedule, which begins at `start`, and tells by `say` how far it is.
    pub(super) fn run(
        mut self,
        start: Instant,
        say: fn(&str) -> io::Result<()>,
    ) -> io::Result<Tally> {
        self.start = start;
        let mut events = Events::with_capacity(self.connections.len() + 1);
        loop {
            self.send_due();
            self.announce(say)?;
            let Some(deadline) = self.next_deadline() else {
                return Ok(self.tally());
            };
            let wait = (!self.sleeps).then_some(Duration::ZERO);
            if self.sleeps {
                self.timer
                    .arm(deadline.saturating_sub(self.start.elapsed()))?;
            }
            match self.poll.poll(&mut events, wait) {
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
                self.tally.sent_late.record(late);
            }
            let request = message(self.next_seq, self.schedule.work_us(self.next_seq));
            let index = self.next_seq % self.connections.len() as u64;
            let connection = &mut self.connections[index as usize];
            connection.sent_late.push_back(late);
            connection.unsent.extend_from_slice(&request);
            self.in_flight.fetch_add(1, Ordering::Relaxed);
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
        if now >= burst_end && self.in_flight.load(Ordering::Relaxed) <= self.backlog_gone {
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
            match sys::read_with_age(&connection.stream, &mut buffer) {
                Ok((0, _)) => connection.lost = true,
                Ok((count, age)) => {
                    let now = self.start.elapsed();
                    connection.partial.extend_from_slice(&buffer[..count]);
                    self.take_answers(index, now, age.unwrap_or_default())?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => connection.lost = true,
            }
        }
    }

    /// Takes the answers that were whole by `now`, when the last bytes of them had been there for
    /// `age`.
    fn take_answers(&mut self, index: usize, now: Duration, age: Duration) -> io::Result<()> {
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
            let sent_late = connection.sent_late.pop_front().unwrap_or_default();
            self.answers += 1;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            if seq >= self.schedule.first_counted() {
                self.tally.answered += 1;
                let latency = now.saturating_sub(self.schedule.due(seq));
                let kind = self.schedule.kind(seq);
                self.tally.record(kind, latency, sent_late + age);
            }
        }
        connection.partial.drain(..whole);
        Ok(())
    }

    /// Counts what was never answered as well, and sums up.
    fn tally(mut self) -> Tally {
        let now = self.start.elapsed();
        self.record_unanswered(now);
        let lost = self.connections.iter().filter(|one| one.lost);
        // The same for all that never got rid of it.
        let never = self.schedule.end() + GRACE;
        let backlog_gone_at = self.backlog_gone_at.unwrap_or(never).min(never);
        let burst_end = self.schedule.burst_end();
        Tally {
            requests: self.schedule.total() - self.schedule.first_counted(),
            lost_connections: lost.count(),
            backlog: burst_end.map(|burst_end| backlog_gone_at.saturating_sub(burst_end)),
            ..self.tally
        }
    }

    /// Records the age of what has no answer.
    fn record_unanswered(&mut self, now: Duration) {
        let (first, total) = (self.schedule.first_counted(), self.schedule.total());
        for connection in &self.connections {
            let missing = (connection.next_answer..total).step_by(self.connections.len());
            let missing = missing.zip(&connection.sent_late);
            for (seq, sent_late) in missing.filter(|(seq, _)| *seq >= first) {
                let latency = now.saturating_sub(self.schedule.due(seq));
                let kind = self.schedule.kind(seq);
                self.tally.record(kind, latency, *sent_late);
            }
        }
    }
}

impl Connection {
    fn new(stream: TcpStream, first_answer: u64) -> Self {
        Self {
            stream,
            next_answer: first_answer,
            sent_late: VecDeque::new(),
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
    sys::note_arrivals(&stream)?;
    Ok(stream)
}
