//! Which readiness is believed, whose it is, and when it is over.
#![cfg(all(any(target_os = "linux", target_os = "android"), not(evenkeel_loom)))]

mod common;

use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{poll_once, within_limit};
use evenkeel_io_driver::{AsyncFd, Direction, Driver, Interest, Io, Ready};
use mio::net::TcpStream;
use socket2::{Domain, SockRef, Socket, Type};

/// A registered stream, for priority as well, and its blocking peer.
fn tcp(driver: &Driver) -> (Io<TcpStream>, std::net::TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
    let stream = Io::with_interest(TcpStream::from_std(stream), interest, &driver.handle());
    (stream.unwrap(), peer)
}

fn is_ready(stream: &Io<TcpStream>, interest: Interest) -> bool {
    poll_once(stream.ready(interest), Waker::noop()).is_ready()
}

fn would_block<T>() -> io::Result<T> {
    Err(ErrorKind::WouldBlock.into())
}

/// Turns until the stream is ready for `interest`.
fn turn_until(driver: &mut Driver, stream: &Io<TcpStream>, interest: Interest) {
    while !is_ready(stream, interest) {
        driver.turn(Some(Duration::from_secs(1))).unwrap();
    }
}

/// Delivers everything that there is to deliver now.
fn settle(driver: &mut Driver) {
    while driver.turn(Some(Duration::ZERO)).unwrap() > 0 {}
}

#[test]
fn who_waits_for_one_interest_takes_nothing_from_who_waits_for_another() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (stream, peer) = tcp(&driver);
        let (read, priority) = (Interest::READABLE, Interest::PRIORITY);
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        turn_until(&mut driver, &stream, priority);
        settle(&mut driver);

        let blocked = |interest| {
            let tried = stream.try_io(interest, |_| would_block::<()>());
            assert_eq!(tried.unwrap_err().kind(), ErrorKind::WouldBlock);
        };
        blocked(read);
        assert!(!is_ready(&stream, read) && is_ready(&stream, priority));
        blocked(priority);
        assert!(!is_ready(&stream, priority));

        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        turn_until(&mut driver, &stream, priority);
        blocked(priority);
        assert!(is_ready(&stream, read) && !is_ready(&stream, priority));

        // What is handed out by hand is handed back by hand: no more than was asked for.
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        turn_until(&mut driver, &stream, priority);
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(event) = stream.poll_read_ready(&mut cx) else {
            panic!("it is readable");
        };
        assert_eq!(event.as_ref().unwrap().ready(), Ready::READABLE);
        stream.clear_readiness(event.unwrap());
        assert!(!is_ready(&stream, read) && is_ready(&stream, priority));
    });
}

#[test]
fn guards_take_back_what_they_stand_for() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (stream, peer) = tcp(&driver);
        let stream = std::net::TcpStream::from(stream.into_inner().unwrap());
        let interest = Interest::READABLE | Interest::PRIORITY;
        let fd = AsyncFd::with_handle_and_interest(stream, interest, &driver.handle()).unwrap();
        let guard = |interest| match poll_once(fd.ready(interest), Waker::noop()) {
            Poll::Ready(guard) => Some(guard.unwrap()),
            Poll::Pending => None,
        };
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        while guard(Interest::PRIORITY).is_none() {
            driver.turn(Some(Duration::from_secs(1))).unwrap();
        }
        settle(&mut driver);
        guard(Interest::READABLE).unwrap().clear_ready();
        assert!(guard(Interest::READABLE).is_none());
        let mut priority = guard(Interest::PRIORITY).expect("it was not asked for");
        assert_eq!(priority.ready(), Ready::PRIORITY);
        assert!(priority.try_io(|_| would_block::<()>()).is_err());
        assert!(guard(Interest::PRIORITY).is_none());
    });
}

#[test]
fn the_end_of_a_stream_is_told_to_both_and_taken_back_by_each_for_itself() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (stream, peer) = tcp(&driver);
        drop(peer);
        turn_until(&mut driver, &stream, Interest::PRIORITY);
        settle(&mut driver);
        let event = poll_once(stream.ready(Interest::PRIORITY), Waker::noop());
        let Poll::Ready(Ok(event)) = event else {
            panic!("it has ended");
        };
        assert_eq!(event.ready(), Ready::READ_CLOSED);
        stream.clear_readiness(event);
        assert!(is_ready(&stream, Interest::PRIORITY), "without a proof");

        let tried = stream.try_io(Interest::PRIORITY, |_| would_block::<()>());
        assert_eq!(tried.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(!is_ready(&stream, Interest::PRIORITY), "a CPU is burnt");
        let end = stream.try_io(Interest::READABLE, |mut s| s.read(&mut [0; 8]));
        assert_eq!(end.unwrap(), 0);
    });
}

/// Reads until it would block; the bytes of each read.
fn drain(driver: &mut Driver, stream: &Io<TcpStream>, until: usize) -> Vec<usize> {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut reads, mut buffer) = (Vec::new(), [0; 64]);
    while reads.iter().sum::<usize>() < until {
        let read = |mut s: &TcpStream| s.read(&mut buffer);
        match stream.poll_stream_io(&mut cx, Direction::Read, 64, read) {
            Poll::Ready(n) => reads.push(n.unwrap()),
            // Nothing is to come, if it has come already.
            Poll::Pending => assert!(driver.turn(None).unwrap() > 0),
        }
    }
    reads
}

#[test]
fn a_read_that_the_urgent_mark_ends_is_not_taken_for_the_last() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (stream, mut peer) = tcp(&driver);
        settle(&mut driver);
        // All of it is there, and reported, before the first read.
        peer.write_all(b"aaaa").unwrap();
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        peer.write_all(b"bbbb").unwrap();
        wait_until_it_is_there(&peer);
        settle(&mut driver);
        assert_eq!(drain(&mut driver, &stream, 8), [4, 4]);
    });
}

#[test]
fn the_urgent_mark_ends_a_read_also_when_its_byte_is_taken_or_not_reported_yet() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (stream, mut peer) = tcp(&driver);
        // Reported after the read that it ends.
        peer.write_all(b"aaaa").unwrap();
        turn_until(&mut driver, &stream, Interest::READABLE);
        settle(&mut driver);
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        peer.write_all(b"bbbb").unwrap();
        wait_until_it_is_there(&peer);
        assert_eq!(drain(&mut driver, &stream, 8), [4, 4]);

        // Who waits for the urgent byte has taken it, and its readiness back; the mark stays.
        peer.write_all(b"aaaa").unwrap();
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        peer.write_all(b"bbbb").unwrap();
        wait_until_it_is_there(&peer);
        settle(&mut driver);
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        let taken = stream.try_io(Interest::PRIORITY, |s| {
            SockRef::from(s).recv_out_of_band(&mut byte)
        });
        assert_eq!(taken.unwrap(), 1);
        let _ = stream.try_io(Interest::PRIORITY, |_| would_block::<()>());
        assert_eq!(drain(&mut driver, &stream, 8), [4, 4]);
    });
}

/// Until the other end's system has all that was sent.
/// There Linux says that a read would block, if a signal is pending, with bytes behind the mark.
#[test]
fn where_there_was_an_urgent_mark_a_blocked_read_is_tried_again() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (stream, peer) = tcp(&driver);
        SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        turn_until(&mut driver, &stream, Interest::PRIORITY);
        (&peer).write_all(b"x").unwrap();
        settle(&mut driver);
        let mut cx = Context::from_waker(Waker::noop());
        for poll in [true, false] {
            let mut signals = 1;
            let read = |_: &TcpStream| match std::mem::take(&mut signals) {
                0 => Ok(1),
                _ => would_block(),
            };
            let read = match poll {
                true => stream.poll_io(&mut cx, Direction::Read, read),
                false => poll_once(stream.async_io(Interest::READABLE, read), Waker::noop()),
            };
            assert!(matches!(read, Poll::Ready(Ok(1))));
        }
    });
}

fn wait_until_it_is_there(peer: &std::net::TcpStream) {
    let unacknowledged = || {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open, and the call writes one `c_int`.
        let outcome = unsafe { libc::ioctl(peer.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) };
        assert_eq!(outcome, 0);
        bytes
    };
    while unacknowledged() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_side_that_would_block_is_not_closed() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let name = format!("evenkeel-io-driver-{}", std::process::id());
        let address = abstract_name(&name);
        let listener = UnixListener::bind_addr(&address).unwrap();
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        // The system says that it is hung up.
        let fd = AsyncFd::with_handle(socket, &driver.handle()).unwrap();
        assert_eq!(driver.turn(None).unwrap(), 1);
        let to = socket2::SockAddr::unix(format!("\0{name}")).unwrap();
        fd.get_ref().connect(&to).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        settle(&mut driver);

        let is_ready = |interest| poll_once(fd.ready(interest), Waker::noop()).is_ready();
        assert!(is_ready(Interest::READABLE));
        let read = |mut s: &Socket| s.read(&mut [0; 8]);
        // In each way of reading: it waits, and is not polled again at once.
        let woken = std::sync::Arc::new(common::Count::default());
        let waker = std::sync::Arc::clone(&woken).into();
        assert!(poll_once(fd.async_io(Interest::READABLE, read), &waker).is_pending());
        assert_eq!(woken.woken(), 0, "a CPU is burnt");
        assert!(!is_ready(Interest::READABLE));
        // The other half is judged by its own operations.
        assert!(is_ready(Interest::WRITABLE));
        while fd
            .try_io(Interest::WRITABLE, |mut s| s.write(&[0; 4096]))
            .is_ok()
        {}
        assert!(!is_ready(Interest::WRITABLE), "a CPU is burnt");

        // The real end is told all the same.
        peer.read_exact(&mut [0; 4096]).unwrap();
        drop(peer);
        while !is_ready(Interest::READABLE) {
            driver.turn(None).unwrap();
        }
        settle(&mut driver);
        assert!(is_ready(Interest::WRITABLE));
        let end = fd.try_io(Interest::READABLE, read);
        // The peer had not read all.
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(fd.try_io(Interest::READABLE, read).unwrap(), 0);
        assert!(is_ready(Interest::READABLE));
    });
}

#[test]
fn an_operation_of_either_side_that_would_block_leaves_both_closed() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let both = Interest::READABLE | Interest::WRITABLE;
        let (stream, peer) = tcp(&driver);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        turn_until(&mut driver, &stream, Interest::READABLE);
        assert!(stream.try_io(both, |_| would_block::<()>()).is_err());
        assert!(is_ready(&stream, Interest::READABLE));
        assert!(!is_ready(&stream, Interest::WRITABLE));

        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        let fd = AsyncFd::with_handle(one, &driver.handle()).unwrap();
        other.shutdown(std::net::Shutdown::Write).unwrap();
        settle(&mut driver);
        let ready = poll_once(fd.ready(both), Waker::noop());
        let Poll::Ready(Ok(mut guard)) = ready else {
            panic!("it is closed for reading")
        };
        assert!(guard.try_io(|_| would_block::<()>()).is_err());
        assert_eq!(guard.ready(), Ready::READ_CLOSED);
        assert!(poll_once(fd.readable(), Waker::noop()).is_ready());
    });
}

/// That it can be read to its end is no reason to try again.
#[test]
fn a_write_to_what_is_closed_for_reading_waits_for_room() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let both = Interest::READABLE | Interest::WRITABLE;
        let (stream, mut peer) = tcp(&driver);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        turn_until(&mut driver, &stream, Interest::READABLE);
        let tries = std::cell::Cell::new(0);
        let write = stream.async_io(both, |mut stream| {
            tries.set(tries.get() + 1);
            stream.write(&[0; 1 << 16])
        });
        let mut write = std::pin::pin!(write);
        let mut cx = Context::from_waker(Waker::noop());
        // Fills it, and then waits.
        while (&mut stream.get_ref()).write(&[0; 1 << 16]).is_ok() {}
        settle(&mut driver);
        for _ in 0..100 {
            assert!(write.as_mut().poll(&mut cx).is_pending());
        }
        assert!(tries.get() < 5, "tried {} times", tries.get());
        let mut buf = vec![0; 1 << 20];
        while write.as_mut().poll(&mut cx).is_pending() {
            assert!(peer.read(&mut buf).unwrap() > 0);
            driver.turn(Some(Duration::from_millis(1))).unwrap();
        }
    });
}

fn abstract_name(name: &str) -> SocketAddr {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name).unwrap()
}

#[test]
fn an_error_is_no_close() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        SockRef::from(&writer).set_nonblocking(true).unwrap();
        let fd = AsyncFd::with_handle_and_interest(writer, Interest::WRITABLE, &driver.handle());
        let fd = fd.unwrap();
        driver.turn(None).unwrap();
        let write = |mut w: &io::PipeWriter| w.write(&[0; 4096]);
        while fd.try_io(Interest::WRITABLE, write).is_ok() {}
        // All that the system reports of this is an error.
        drop(reader);
        driver.turn(None).unwrap();
        let Poll::Ready(Ok(guard)) = poll_once(fd.writable(), Waker::noop()) else {
            panic!("a write would tell");
        };
        assert_eq!(guard.ready(), Ready::WRITABLE | Ready::ERROR);
        let broken = fd.try_io(Interest::WRITABLE, write);
        assert_eq!(broken.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_count_as_large_as_the_system_has_is_not_short() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (stream, _peer) = tcp(&driver);
        driver.turn(None).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let len = usize::MAX >> 1;
        // As Linux does where pages have 64 KiB.
        let moved = stream.poll_stream_io(&mut cx, Direction::Write, len, |_| Ok(0x7fff_0000));
        assert!(moved.is_ready() && is_ready(&stream, Interest::WRITABLE));
        let moved = stream.poll_stream_io(&mut cx, Direction::Write, len, |_| Ok(0x10_0000));
        assert!(moved.is_ready() && !is_ready(&stream, Interest::WRITABLE));
    });
}
