//! Waiting for errors alone, and for what was assumed.
#![cfg(all(any(target_os = "linux", target_os = "android"), not(evenkeel_loom)))]

mod common;

use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Count, poll_once, within_limit};
use evenkeel_io_driver::{AsyncFd, Driver, Interest, Io, Ready};
use mio::net::{TcpListener, TcpStream};

fn turn(driver: &mut Driver) {
    driver.turn(Some(Duration::from_secs(1))).unwrap();
}

/// A connected socket whose peer has refused a datagram.
fn refused(driver: &mut Driver) -> Io<mio::net::UdpSocket> {
    let gone: SocketAddr = {
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        peer.local_addr().unwrap()
    };
    let socket = mio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    socket.connect(gone).unwrap();
    let socket = Io::new(socket, &driver.handle()).unwrap();
    socket.get_ref().send(b"nobody there").unwrap();
    socket
}

fn has_error(socket: &Io<mio::net::UdpSocket>) -> bool {
    let Poll::Ready(event) = poll_once(socket.ready(Interest::ERROR), Waker::noop()) else {
        return false;
    };
    assert_eq!(event.unwrap().ready(), Ready::ERROR);
    true
}

#[test]
fn who_waits_for_errors_alone_is_woken_by_one_and_by_nothing_else() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap());
        let (mut peer, (stream, _)) = (peer.unwrap(), listener.accept().unwrap());
        let stream = Io::with_interest(stream, Interest::ERROR, &driver.handle()).unwrap();
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let mut wait = Box::pin(stream.ready(Interest::ERROR));
        let mut cx = Context::from_waker(&waker);
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        peer.write_all(b"x").unwrap();
        while poll_once(stream.readable(), Waker::noop()).is_pending() {
            turn(&mut driver);
        }
        assert!(wait.as_mut().poll(&mut cx).is_pending());

        // What is unread makes this a reset.
        stream.get_ref().set_nodelay(true).unwrap();
        let mut socket = stream.get_ref();
        socket.write_all(b"unread").unwrap();
        drop(peer);
        while wait.as_mut().poll(&mut cx).is_pending() {
            turn(&mut driver);
        }
        assert!(woken.woken() > 0);
        let event = poll_once(stream.ready(Interest::ERROR | Interest::READABLE), &waker);
        let Poll::Ready(Ok(event)) = event else {
            panic!("it is there until somebody clears it");
        };
        assert!(event.ready().is_error() && event.ready().is_readable());
    });
}

#[test]
fn readers_and_writers_do_not_take_an_error_from_who_waits_for_it() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let socket = refused(&mut driver);
        while !has_error(&socket) {
            turn(&mut driver);
        }
        for interest in [Interest::READABLE, Interest::WRITABLE] {
            let blocked = socket.try_io(interest, |_| -> io::Result<()> {
                Err(ErrorKind::WouldBlock.into())
            });
            assert_eq!(blocked.unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        assert!(
            has_error(&socket),
            "the error queue would be waited for in vain"
        );
        let taken = socket.try_io(Interest::ERROR, |socket| socket.take_error());
        let refused = taken.unwrap().expect("the error of the send");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let empty = socket.try_io(Interest::ERROR, |_| -> io::Result<()> {
            Err(ErrorKind::WouldBlock.into())
        });
        assert_eq!(empty.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(!has_error(&socket), "a CPU is burnt");
    });
}

#[test]
fn a_guard_of_an_error_clears_that_and_no_more() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let writer = AsyncFd::with_handle_and_interest(writer, Interest::ERROR, &driver.handle());
        let writer = writer.unwrap();
        let guard = |interest| match poll_once(writer.ready(interest), Waker::noop()) {
            Poll::Ready(guard) => Some(guard.unwrap()),
            Poll::Pending => None,
        };
        assert!(guard(Interest::ERROR).is_none());
        drop(reader);
        while guard(Interest::ERROR).is_none() {
            turn(&mut driver);
        }
        let mut error = guard(Interest::ERROR).unwrap();
        assert_eq!(error.ready(), Ready::ERROR);
        error.clear_ready();
        assert!(error.ready().is_empty());
        assert!(guard(Interest::ERROR).is_none());
        assert!(guard(Interest::WRITABLE).unwrap().ready().is_writable());
    });
}

#[test]
fn what_is_assumed_is_tried_and_found_out() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap());
        let (mut client, (stream, _)) = (client.unwrap(), listener.accept().unwrap());
        let stream: Io<TcpStream> = Io::new(stream, &driver.handle()).unwrap();
        let read = || stream.try_io(Interest::READABLE, |mut s| s.read(&mut [0; 8]));
        let is_readable = || poll_once(stream.readable(), Waker::noop()).is_ready();
        assert!(!is_readable());

        // The driver has not been asked yet.
        stream
            .registration()
            .assume_ready(Ready::READABLE | Ready::WRITABLE);
        assert!(is_readable());
        let written = stream.try_io(Interest::WRITABLE, |mut s| s.write(b"at once"));
        assert_eq!(written.unwrap(), 7);
        assert_eq!(read().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(!is_readable());
        client.write_all(b"x").unwrap();
        while !is_readable() {
            turn(&mut driver);
        }
        assert_eq!(read().unwrap(), 1);
    });
}
