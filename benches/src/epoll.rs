//! The floor of an echo server: a raw epoll loop per CPU, without any task. One read and one write
//! for each socket that is ready, and nothing else.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

/// Said when there are new connections.
const NEW: Token = Token(usize::MAX);
/// How many events a loop takes at a time.
const EVENTS: usize = 1024;

/// Serves with a loop per CPU until the process ends, and returns the port. Each connection has a
/// buffer of this size.
pub(crate) fn serve(buffer_bytes: usize) -> Result<u16, String> {
    start(buffer_bytes).map_err(|error| error.to_string())
}

fn start(buffer_bytes: usize) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let mut loops = Vec::new();
    for _ in 0..thread::available_parallelism()?.get() {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), NEW)?;
        let (sender, new) = mpsc::channel();
        loops.push((sender, waker));
        thread::spawn(move || run(poll, &new, buffer_bytes).expect("epoll loop"));
    }
    thread::spawn(move || accept(&listener, &loops).expect("accept"));
    Ok(port)
}

/// Hands the connections to the loops in turn.
fn accept(listener: &TcpListener, loops: &[(Sender<TcpStream>, Waker)]) -> io::Result<()> {
    for (sender, waker) in loops.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let sent = sender.send(TcpStream::from_std(stream));
        sent.map_err(io::Error::other)?;
        waker.wake()?;
    }
    Ok(())
}

fn run(mut poll: Poll, new: &Receiver<TcpStream>, buffer_bytes: usize) -> io::Result<()> {
    let mut events = Events::with_capacity(EVENTS);
    // By token; none is reused.
    let mut connections = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                NEW => {
                    for mut stream in new.try_iter() {
                        let token = Token(connections.len());
                        let interest = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(&mut stream, token, interest)?;
                        connections.push(Some(Connection::new(stream, buffer_bytes)));
                    }
                }
                Token(index) => {
                    let connection = connections[index].as_mut();
                    if connection.is_some_and(|connection| connection.echo().is_err()) {
                        connections[index] = None;
                    }
                }
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What was read and is not written yet.
    unsent: Range<usize>,
}

impl Connection {
    fn new(stream: TcpStream, buffer_bytes: usize) -> Self {
        Self {
            stream,
            buffer: vec![0; buffer_bytes],
            unsent: 0..0,
        }
    }

    /// Echoes until nothing is left to be read, or there is no room to write: the edge-triggered
    /// poll will report when that changes. An error is the end of the connection.
    fn echo(&mut self) -> io::Result<()> {
        while self.write()? {
            let count = self.read()?;
            // One read takes all that is there, if that is less than a buffer.
            if count < self.buffer.len() {
                self.write()?;
                break;
            }
        }
        Ok(())
    }

    /// Reads into the buffer, which has nothing unsent, and returns how much.
    fn read(&mut self) -> io::Result<usize> {
        let count = match self.stream.read(&mut self.buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            other => other?,
        };
        self.unsent = 0..count;
        Ok(count)
    }

    /// Writes what is unsent, and returns whether there was room for all of it.
    fn write(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.buffer[self.unsent.clone()]) {
                Ok(count) => self.unsent.start += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Larger than all buffers between the two ends.
    const MESSAGE_BYTES: usize = 32 << 20;

    #[test]
    fn what_does_not_fit_into_the_socket_is_written_later() {
        let port = serve(1000).unwrap();
        let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let message: Vec<u8> = (0..MESSAGE_BYTES)
            .map(|index| (index % 251) as u8)
            .collect();
        let mut writer = stream.try_clone().unwrap();
        let mut answer = vec![0; MESSAGE_BYTES];
        thread::scope(|scope| {
            scope.spawn(|| writer.write_all(&message).unwrap());
            stream.read_exact(&mut answer).unwrap();
        });
        assert!(answer == message);
    }
}
