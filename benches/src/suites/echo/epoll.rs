//! The floor: a raw epoll loop per CPU, without any task. One read and one write for each socket
//! that is ready, and nothing else.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::runtimes::BUFFER_BYTES;

/// Said when there are new connections.
const NEW: Token = Token(usize::MAX);
/// How many events a loop takes at a time.
const EVENTS: usize = 1024;

/// Serves with a loop per CPU until the process ends, and returns the port.
pub(super) fn serve() -> Result<u16, String> {
    start().map_err(|error| error.to_string())
}

fn start() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let mut loops = Vec::new();
    for _ in 0..thread::available_parallelism()?.get() {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), NEW)?;
        let (sender, new) = mpsc::channel();
        loops.push((sender, waker));
        thread::spawn(move || run(poll, &new).expect("epoll loop"));
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

fn run(mut poll: Poll, new: &Receiver<TcpStream>) -> io::Result<()> {
    let mut events = Events::with_capacity(EVENTS);
    // By token; none is reused.
    let mut streams = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                NEW => {
                    for mut stream in new.try_iter() {
                        let token = Token(streams.len());
                        poll.registry()
                            .register(&mut stream, token, Interest::READABLE)?;
                        streams.push(Some(stream));
                    }
                }
                Token(index) => {
                    if streams[index].as_mut().is_some_and(|stream| !echo(stream)) {
                        streams[index] = None;
                    }
                }
            }
        }
    }
}

/// Whether the connection lives on.
fn echo(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            // A closed loop has asked at most once, so the answer fits into the socket's buffer.
            Ok(count) if stream.write_all(&buffer[..count]).is_err() => return false,
            // The edge-triggered poll is owed another read only where there may be more.
            Ok(BUFFER_BYTES) => {}
            Ok(_) => return true,
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
