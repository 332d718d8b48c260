//! Bugs that drivers have already had, named after where.
#![cfg(not(evenkeel_loom))]

mod common;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{Count, poll_once, spawn, within_limit};
use evenkeel_io_driver::{
    Direction, Driver, DriverThread, Handle as DriverHandle, Interest, Io, ReadyEvent,
};
use futures_lite::future::block_on;
use mio::net::UdpSocket;

fn socket(driver: &Driver) -> (Io<UdpSocket>, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (Io::new(socket, &driver.handle()).unwrap(), address)
}

fn read_event(socket: &Io<UdpSocket>) -> Option<ReadyEvent> {
    match socket.poll_read_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event.unwrap()),
        Poll::Pending => None,
    }
}

/// Sends one datagram and delivers its event.
fn send_and_turn(driver: &mut Driver, sender: &StdSender, to: SocketAddr) {
    sender.0.send_to(b"x", to).unwrap();
    while driver.turn(Some(Duration::from_secs(1))).unwrap() == 0 {}
}

struct StdSender(std::net::UdpSocket);

impl StdSender {
    fn new() -> StdSender {
        StdSender(std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }
}

/// A tick of eight bits came round again, and a stale clear wiped fresh readiness (and #8331).
#[test]
fn tokio_6133_stale_clear_after_256_more_events() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (socket, address) = socket(&driver);
        let sender = StdSender::new();
        driver.turn(None).unwrap(); // The first writability.
        send_and_turn(&mut driver, &sender, address);
        let stale = read_event(&socket).expect("a datagram came");
        let mut buffer = [0; 4];
        for n in 1..=1 << 10 {
            send_and_turn(&mut driver, &sender, address);
            socket.get_ref().recv(&mut buffer).unwrap();
            if n % 256 == 0 {
                socket.clear_readiness(stale);
                assert!(read_event(&socket).is_some(), "lost after {n} more events");
            }
        }
        let fresh = read_event(&socket).unwrap();
        socket.clear_readiness(fresh);
        assert!(read_event(&socket).is_none());
    });
}

/// With one tick for both directions, write events between a read and its clear made every clear
/// fail, and the reader went round for ever.
#[test]
fn tokio_8054_write_events_do_not_spoil_the_readers_clear() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (a, b) = mio::net::UnixStream::pair().unwrap();
        let (a, b) = (Io::new(a, &driver.handle()).unwrap(), b);
        driver.turn(None).unwrap();
        (&b).write_byte();
        driver.turn(None).unwrap();
        for _ in 0..10 {
            let event = poll_read(&a).expect("a byte came");
            // The peer's reading makes this side writable, and only that, once this side is full
            // and its own input is empty.
            fill(&a);
            drain(a.get_ref());
            drain(&b);
            while driver.turn(Some(Duration::ZERO)).unwrap() > 0 {}
            a.clear_readiness(event);
            assert!(
                poll_read(&a).is_none(),
                "a write event kept the reader from its clear"
            );
            (&b).write_byte();
            driver.turn(None).unwrap();
        }
    });
}

fn poll_read(stream: &Io<mio::net::UnixStream>) -> Option<ReadyEvent> {
    match stream.poll_read_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event.unwrap()),
        Poll::Pending => None,
    }
}

trait WriteByte {
    fn write_byte(self);
}

impl WriteByte for &mio::net::UnixStream {
    fn write_byte(mut self) {
        assert_eq!(io::Write::write(&mut self, b"x").unwrap(), 1);
    }
}

fn fill(stream: &Io<mio::net::UnixStream>) {
    let mut stream = stream.get_ref();
    while io::Write::write(&mut stream, &[0; 4096]).is_ok() {}
}

fn drain(mut stream: &mio::net::UnixStream) {
    while io::Read::read(&mut stream, &mut [0; 4096]).is_ok() {}
}

/// A waker whose wake and drop go back into the registration it waits on.
struct Reentrant {
    socket: Arc<OnceLock<Io<UdpSocket>>>,
    entered: Arc<AtomicUsize>,
    /// Entries that found a lock taken: as one thread does everything, that is its own.
    contended: Arc<AtomicUsize>,
}

impl Reentrant {
    fn enter(&self) {
        let Some(socket) = self.socket.get() else {
            return;
        };
        let count = Arc::new(Count::default());
        let waker = Arc::clone(&count).into();
        let mut cx = Context::from_waker(&waker);
        let _ = socket.poll_read_ready(&mut cx);
        let _ = socket.poll_write_ready(&mut cx);
        let _ = poll_once(
            socket.ready(Interest::READABLE | Interest::WRITABLE),
            &waker,
        );
        // Who cannot have the lock is told to come back.
        self.contended.fetch_add(count.woken(), Ordering::SeqCst);
        if let Poll::Ready(Ok(event)) = socket.poll_write_ready(&mut cx) {
            socket.clear_readiness(event);
        }
        self.entered.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        self.enter();
    }
}

impl Drop for Reentrant {
    fn drop(&mut self) {
        self.enter();
    }
}

/// Wakers were woken and dropped under the lock that they then wanted (and #5578).
#[test]
fn tokio_4129_wakers_that_come_back() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let socket = Arc::new(OnceLock::new());
        let entered = Arc::new(AtomicUsize::new(0));
        let io = self::socket(&driver).0;
        socket.set(io).unwrap();
        let registered = socket.get().unwrap();
        let contended = Arc::new(AtomicUsize::new(0));
        let waker = || -> Waker {
            let (socket, entered) = (Arc::clone(&socket), Arc::clone(&entered));
            Arc::new(Reentrant {
                socket,
                entered,
                contended: Arc::clone(&contended),
            })
            .into()
        };

        // Dropped as the poller that is replaced, and as a future that goes.
        for _ in 0..2 {
            let waker = waker();
            assert!(
                registered
                    .poll_read_ready(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        assert!(poll_once(registered.readable(), &waker()).is_pending());
        assert_eq!(entered.load(Ordering::SeqCst), 3);

        // Renewed in a future that stays.
        let mut future = Box::pin(registered.writable());
        assert!(poll_once(future.as_mut(), &waker()).is_pending());
        assert!(poll_once(future.as_mut(), &waker()).is_pending());
        assert_eq!(entered.load(Ordering::SeqCst), 4);

        // Woken by the driver, which owns the last clone, and then dropped.
        driver.turn(None).unwrap();
        assert_eq!(entered.load(Ordering::SeqCst), 6);

        // Woken by the shutdown.
        assert!(
            registered
                .poll_read_ready(&mut Context::from_waker(&waker()))
                .is_pending()
        );
        drop(driver);
        assert_eq!(entered.load(Ordering::SeqCst), 8);
        assert_eq!(
            contended.load(Ordering::SeqCst),
            0,
            "a waker ran or was dropped under a lock"
        );
    });
}

/// A read that would block took away the priority that somebody else waited for.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn tokio_2886_a_read_that_blocks_leaves_priority_alone() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = mio::net::TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::PRIORITY;
        let stream = Io::with_interest(stream, interest, &driver.handle()).unwrap();
        socket2::SockRef::from(&peer)
            .send_out_of_band(b"!")
            .unwrap();
        let mut priority = Box::pin(stream.ready(Interest::PRIORITY));
        while poll_once(stream.ready(Interest::PRIORITY), Waker::noop()).is_pending() {
            driver.turn(None).unwrap();
        }
        // The urgent byte is no part of the stream.
        let read = stream.try_io(Interest::READABLE, |mut s| {
            io::Read::read(&mut s, &mut [0; 8])
        });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(poll_once(priority.as_mut(), Waker::noop()).is_ready());
    });
}

fn assert_shut_down<T>(result: io::Result<T>) {
    let error = result.err().expect("the driver is gone");
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert_eq!(error.to_string(), "the IO driver has shut down");
}

#[test]
fn a_dropped_driver_is_an_error_for_who_waits() {
    within_limit(|| {
        let driver = Driver::new().unwrap();
        let sockets: Vec<_> = (0..100).map(|_| socket(&driver).0).collect();
        let count = Arc::new(Count::default());
        let waker = Arc::clone(&count).into();
        let mut cx = Context::from_waker(&waker);
        let mut futures: Vec<_> = sockets.iter().map(|s| Box::pin(s.readable())).collect();
        for (socket, future) in sockets.iter().zip(&mut futures) {
            assert!(poll_once(future.as_mut(), &waker).is_pending());
            assert!(socket.poll_write_ready(&mut cx).is_pending());
        }
        drop(driver);
        assert_eq!(count.woken(), 200);
        futures
            .into_iter()
            .for_each(|future| assert_shut_down(block_on(future)));
    });
}

#[test]
fn everything_after_the_driver_is_an_error() {
    within_limit(|| {
        let driver = Driver::new().unwrap();
        let handle = driver.handle();
        let (io, _) = socket(&driver);
        drop(driver);
        assert!(handle.is_shutdown());
        assert_shut_down(block_on(io.readable()));
        assert_shut_down(block_on(io.async_io(Interest::WRITABLE, |_| Ok(()))));
        assert_shut_down(io.try_io(Interest::READABLE, |_| Ok(())));
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(polled) = io.poll_io(&mut cx, Direction::Read, |_| Ok(())) else {
            panic!("it waits for nothing");
        };
        assert_shut_down(polled);
        let mut late = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        assert_shut_down(handle.register(&mut late, Interest::READABLE));
        drop(io);
        assert_eq!(handle.registrations(), 0);
        handle.wake();
    });
}

/// The thread is asked to stop by a waker that runs on it.
#[test]
fn a_driver_thread_dropped_by_its_own_waker_ends() {
    struct Owner(
        std::sync::Mutex<Option<DriverThread>>,
        std::sync::mpsc::Sender<()>,
    );
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {
            let owned = self.0.lock().unwrap().take();
            drop(owned);
            let _ = self.1.send(());
        }
    }
    within_limit(|| {
        let thread = DriverThread::spawn("io-test").unwrap();
        let handle = thread.handle();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let socket = Io::with_interest(socket, Interest::READABLE, &handle).unwrap();
        let (sender, dropped) = std::sync::mpsc::channel();
        let owner = Arc::new(Owner(std::sync::Mutex::new(Some(thread)), sender));
        let mut future = Box::pin(socket.readable());
        assert!(poll_once(future.as_mut(), &owner.into()).is_pending());
        let own = socket.get_ref().local_addr().unwrap();
        StdSender::new().0.send_to(b"x", own).unwrap();
        dropped.recv().unwrap();
        drop(future);
        // Ends when the thread does.
        while !handle.is_shutdown() {
            std::thread::yield_now();
        }
    });
}

/// Sources come and go beside events for them; no event reaches a later owner of the place, and
/// none is lost (async-io#78 lost one now and then).
#[test]
fn async_io_78_connect_and_close_again_and_again() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        let handle = driver.handle();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let handle = handle.clone();
                spawn(move || {
                    for _ in 0..500 {
                        let (a, b) = mio::net::UnixStream::pair().unwrap();
                        let a = Io::new(a, &handle).unwrap();
                        let b = Io::new(b, &handle).unwrap();
                        block_on(async {
                            let receive = b.async_io(Interest::READABLE, |mut s| {
                                io::Read::read(&mut s, &mut [0; 4])
                            });
                            let send = a.async_io(Interest::WRITABLE, |mut s| {
                                io::Write::write(&mut s, b"x")
                            });
                            let sent = futures_lite::future::try_zip(receive, send).await;
                            assert_eq!(sent.unwrap(), (1, 1));
                        });
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(handle.registrations(), 0);
    });
}

/// What waits on a source, and replaces the other source by a silent one when it is woken.
struct Replaces {
    driver: DriverHandle,
    others: Mutex<Vec<Io<UdpSocket>>>,
    silent: Arc<OnceLock<Io<UdpSocket>>>,
}

impl Wake for Replaces {
    fn wake(self: Arc<Self>) {
        drop(std::mem::take(&mut *self.others.lock().unwrap()));
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let silent = Io::with_interest(silent, Interest::READABLE, &self.driver).unwrap();
        let _ = self.silent.set(silent);
    }
}

/// Of two events of one turn, the waker of the first drops the source of the second, and a new
/// source gets its place: the event must not pass for the new one's.
#[test]
fn tokio_5041_an_event_for_the_place_that_another_source_has_by_now() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let sender = StdSender::new();
        for _ in 0..1_000 {
            let silent = Arc::new(OnceLock::new());
            let pair = [socket(&driver), socket(&driver)];
            let addresses = pair.each_ref().map(|(_, address)| *address);
            let mut wakers = Vec::new();
            let mut kept = Vec::new();
            for (io, _) in pair {
                let waker = Arc::new(Replaces {
                    driver: driver.handle(),
                    others: Mutex::default(),
                    silent: Arc::clone(&silent),
                });
                wakers.push(Arc::clone(&waker));
                let waker = Waker::from(waker);
                assert!(
                    io.poll_read_ready(&mut Context::from_waker(&waker))
                        .is_pending()
                );
                kept.push(io);
            }
            // Each has the other's source.
            for (waker, io) in wakers.iter().rev().zip(kept) {
                waker.others.lock().unwrap().push(io);
            }
            for address in addresses {
                sender.0.send_to(b"x", address).unwrap();
            }
            while silent.get().is_none() {
                driver.turn(Some(Duration::from_secs(1))).unwrap();
            }
            assert!(read_event(silent.get().unwrap()).is_none());
        }
        assert_eq!(driver.handle().registrations(), 0);
    });
}

/// Closing one channel threw away the wakers of all. Here: of several sources with several waiters
/// each, one source goes, and one waiter of each other source; those who are left are all woken.
#[test]
fn glommio_273_one_that_goes_takes_no_other_waker_along() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let sender = StdSender::new();
        let count = Arc::new(Count::default());
        let (counted, noop) = (Waker::from(Arc::clone(&count)), Waker::noop());
        let mut sources: Vec<_> = (0..4).map(|_| socket(&driver)).collect();
        driver.turn(None).unwrap();
        for gone in [1, 0, 1] {
            drop(sources.remove(gone));
            for (io, _) in &sources {
                while let Some(event) = read_event(io) {
                    io.clear_readiness(event);
                    let _ = io.get_ref().recv(&mut [0]);
                }
            }
            let mut waiters: Vec<_> = sources
                .iter()
                .flat_map(|(io, _)| [(); 3].map(|()| Box::pin(io.readable())))
                .collect();
            for (i, waiter) in waiters.iter_mut().enumerate() {
                let waker = if i % 3 == 1 { noop } else { &counted };
                assert!(poll_once(waiter.as_mut(), waker).is_pending());
            }
            let mut waiters: Vec<_> = waiters.into_iter().map(Some).collect();
            waiters
                .iter_mut()
                .skip(1)
                .step_by(3)
                .for_each(|waiter| *waiter = None);
            let before = count.woken();
            for (_, address) in &sources {
                sender.0.send_to(b"x", *address).unwrap();
            }
            while count.woken() < before + 2 * sources.len() {
                driver.turn(Some(Duration::from_secs(1))).unwrap();
            }
            for waiter in waiters.into_iter().flatten() {
                block_on(waiter).unwrap();
            }
        }
    });
}
