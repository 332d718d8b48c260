//! Sources of mio, driven by a `DriverThread`, awaited on another executor.
#![cfg(not(evenkeel_loom))]

mod common;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_executor::Executor;
use common::{Count, poll_once, within_limit};
use evenkeel_io_driver::{Direction, Driver, DriverThread, Handle, Interest, Io, Ready};
use futures_lite::future::{block_on, poll_fn};
use mio::net::{TcpListener, TcpStream, UdpSocket};

fn listen(handle: &Handle) -> Io<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    Io::with_interest(listener, Interest::READABLE, handle).unwrap()
}

async fn accept(listener: &Io<TcpListener>, handle: &Handle) -> io::Result<Io<TcpStream>> {
    let (stream, _) = listener
        .async_io(Interest::READABLE, |l| l.accept())
        .await?;
    Io::new(stream, handle)
}

async fn connect(listener: &Io<TcpListener>, handle: &Handle) -> io::Result<Io<TcpStream>> {
    let stream = Io::new(
        TcpStream::connect(listener.get_ref().local_addr()?)?,
        handle,
    )?;
    stream.writable().await?;
    stream.get_ref().take_error()?.map_or(Ok(stream), Err)
}

async fn pair(handle: &Handle) -> (Io<TcpStream>, Io<TcpStream>) {
    let listener = listen(handle);
    let client = connect(&listener, handle).await.unwrap();
    (client, accept(&listener, handle).await.unwrap())
}

async fn read(stream: &Io<TcpStream>, buffer: &mut [u8]) -> io::Result<usize> {
    let len = buffer.len();
    poll_fn(|cx| stream.poll_stream_io(cx, Direction::Read, len, |mut s| s.read(buffer))).await
}

async fn write_all(stream: &Io<TcpStream>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let poll = |cx: &mut Context<'_>| {
            stream.poll_stream_io(cx, Direction::Write, bytes.len(), |mut s| s.write(bytes))
        };
        let n = poll_fn(poll).await?;
        bytes = &bytes[n..];
    }
    Ok(())
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn tcp_echo_from_another_executor() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        let handle = driver.handle();
        let listener = listen(&handle);
        // More than the socket buffers take, so that the writers have to wait too.
        let sent: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();

        let executor = Executor::new();
        let client = || is_send(send_and_receive(&listener, &handle, &sent));
        let clients: Vec<_> = (0..4).map(|_| executor.spawn(client())).collect();
        block_on(executor.run(async {
            let mut servers = Vec::new();
            for _ in 0..4 {
                let stream = accept(&listener, &handle).await.unwrap();
                servers.push(executor.spawn(is_send(echo(stream))));
            }
            for client in clients {
                assert!(
                    client.await.unwrap() == sent,
                    "what came back is not what was sent"
                );
            }
            for server in servers {
                server.await.unwrap();
            }
        }));
        drop(executor);
        drop(listener);
        assert_eq!(handle.registrations(), 0);
    });
}

async fn echo(stream: Io<TcpStream>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match read(&stream, &mut buffer).await? {
            0 => return Ok(()),
            n => write_all(&stream, &buffer[..n]).await?,
        }
    }
}

async fn send_and_receive(
    listener: &Io<TcpListener>,
    handle: &Handle,
    sent: &[u8],
) -> io::Result<Vec<u8>> {
    let stream = connect(listener, handle).await?;
    let writing = async {
        write_all(&stream, sent).await?;
        stream.get_ref().shutdown(Shutdown::Write)
    };
    let reading = async {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 10_000]);
        loop {
            match read(&stream, &mut buffer).await? {
                0 => return Ok(all),
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
    };
    let ((), all) = futures_lite::future::try_zip(writing, reading).await?;
    Ok(all)
}

#[test]
fn udp_goes_on_after_a_refused_datagram() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        let local = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let (socket, peer) = (local(), local());
        let address = peer.local_addr().unwrap();
        socket.connect(address).unwrap();
        drop(peer);
        let socket = Io::new(socket, &driver.handle()).unwrap();
        let mut buffer = [0; 16];

        block_on(async {
            socket
                .async_io(Interest::WRITABLE, |s| s.send(b"nobody there"))
                .await
                .unwrap();
            // Only the error makes the reading half ready.
            let refused = socket
                .async_io(Interest::READABLE, |s| s.recv(&mut buffer))
                .await;
            assert_eq!(
                refused.unwrap_err().kind(),
                io::ErrorKind::ConnectionRefused
            );
            let ready = socket.writable().await.unwrap().ready();
            assert!(ready.is_writable() && !ready.is_write_closed());

            let peer = std::net::UdpSocket::bind(address).unwrap();
            let receive = socket.async_io(Interest::READABLE, |s| s.recv(&mut buffer));
            let send = async {
                peer.send_to(b"hello", socket.get_ref().local_addr().unwrap())
                    .unwrap();
            };
            let (received, ()) = futures_lite::future::zip(receive, send).await;
            assert_eq!(received.unwrap(), 5);
        });
        assert_eq!(&buffer[..5], b"hello");
        // The error is over: nothing keeps the socket readable.
        let waker = Arc::new(Count::default()).into();
        while poll_once(socket.readable(), &waker).is_ready() {
            let tried = socket.try_io(Interest::READABLE, |s| s.recv(&mut buffer));
            assert_eq!(tried.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    });
}

#[test]
fn a_closed_peer_stays_readable_for_ever() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        block_on(async {
            let (a, b) = pair(&driver.handle()).await;
            drop(a);
            for _ in 0..3 {
                let event = b.readable().await.unwrap();
                b.clear_readiness(event);
            }
            while !b.readable().await.unwrap().ready().is_read_closed() {
                futures_lite::future::yield_now().await;
            }
            assert_eq!(read(&b, &mut [0; 8]).await.unwrap(), 0);
        });
    });
}

#[test]
fn many_futures_wait_for_one_source_and_all_are_woken() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        let (a, b) = block_on(pair(&driver.handle()));
        let executor = Executor::new();
        let waiting: Vec<_> = (0..200)
            .map(|_| executor.spawn(is_send(async { b.readable().await })))
            .collect();
        // Each has run up to where it waits.
        while executor.try_tick() {}
        assert!(waiting.iter().all(|task| !task.is_finished()));
        write_now(&a, b"x");
        block_on(executor.run(async {
            for task in waiting {
                assert!(task.await.unwrap().ready().is_readable());
            }
        }));
    });
}

fn write_now(stream: &Io<TcpStream>, bytes: &[u8]) {
    assert_eq!(stream.get_ref().write(bytes).unwrap(), bytes.len());
}

#[test]
fn readiness_of_both_directions_is_of_either() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        block_on(async {
            let (a, b) = pair(&driver.handle()).await;
            let both = Interest::READABLE | Interest::WRITABLE;
            let event = b.ready(both).await.unwrap();
            assert!(event.ready().is_writable() && !event.ready().is_readable());
            b.clear_readiness(event);
            let readable = async {
                loop {
                    let event = b.ready(both).await.unwrap();
                    if event.ready().is_readable() {
                        break;
                    }
                    b.clear_readiness(event);
                }
            };
            futures_lite::future::zip(readable, async { write_now(&a, b"x") }).await;
        });
    });
}

#[test]
fn a_dropped_future_leaves_no_waker_behind() {
    within_limit(|| {
        let driver = Driver::new().unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let socket = Io::new(socket, &driver.handle()).unwrap();
        let count = Arc::new(Count::default());
        let waker = Arc::clone(&count).into();
        for interest in [Interest::READABLE, Interest::READABLE | Interest::WRITABLE] {
            // The future is dropped by `poll_once`.
            assert!(poll_once(socket.ready(interest), &waker).is_pending());
            assert_eq!(
                Arc::strong_count(&count),
                2,
                "more than `count` and `waker`"
            );
        }
    });
}

#[test]
fn a_dropped_source_leaves_no_waker_behind() {
    let driver = Driver::new().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let socket = Io::new(socket, &driver.handle()).unwrap();
    let count = Arc::new(Count::default());
    let waker = Arc::clone(&count).into();
    let mut cx = Context::from_waker(&waker);
    assert!(socket.poll_read_ready(&mut cx).is_pending());
    assert!(socket.poll_write_ready(&mut cx).is_pending());
    drop(socket);
    assert_eq!(
        Arc::strong_count(&count),
        2,
        "more than `count` and `waker`"
    );
    assert_eq!(count.woken(), 0);
}

#[test]
fn the_last_poller_and_every_future_are_woken() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let socket = Io::new(socket, &driver.handle()).unwrap();
        let counts: [Arc<Count>; 3] = Default::default();
        let wakers = counts.clone().map(|count| count.into());
        let mut future = Box::pin(socket.writable());
        assert!(poll_once(future.as_mut(), &wakers[0]).is_pending());
        for waker in &wakers[1..] {
            assert!(
                socket
                    .poll_write_ready(&mut Context::from_waker(waker))
                    .is_pending()
            );
        }
        assert_eq!(driver.turn(None).unwrap(), 1);
        assert_eq!(counts.each_ref().map(|count| count.woken()), [1, 0, 1]);
        assert!(poll_once(future, &wakers[0]).is_ready());
    });
}

#[test]
fn try_io_calls_only_when_ready_and_clears_when_it_would_block() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let socket = Io::new(socket, &driver.handle()).unwrap();
        let mut calls = 0;
        let mut attempt = || {
            let result: io::Result<()> = socket.try_io(Interest::WRITABLE, |_| {
                calls += 1;
                Err(io::ErrorKind::WouldBlock.into())
            });
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        };
        attempt();
        driver.turn(None).unwrap();
        attempt();
        attempt();
        assert_eq!(calls, 1);
    });
}

#[cfg(unix)]
#[test]
fn short_reads_clear_and_full_reads_do_not() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let (mut peer, stream) = mio::net::UnixStream::pair().unwrap();
        let stream = Io::with_interest(stream, Interest::READABLE, &driver.handle()).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = |len: usize| {
            let mut buffer = [0; 8];
            let f = |mut s: &mio::net::UnixStream| s.read(&mut buffer[..len]);
            match stream.poll_stream_io(&mut cx, Direction::Read, len, f) {
                Poll::Ready(n) => Some(n.unwrap()),
                Poll::Pending => None,
            }
        };
        let is_ready = || poll_once(stream.readable(), Waker::noop()).is_ready();

        peer.write_all(b"12345678").unwrap();
        driver.turn(None).unwrap();
        assert_eq!(read(4), Some(4));
        assert!(is_ready());
        assert_eq!(read(5), Some(4));
        assert_eq!(
            is_ready(),
            !cfg!(any(target_os = "linux", target_os = "android"))
        );
        assert_eq!(read(5), None);

        peer.write_all(b"9").unwrap();
        driver.turn(None).unwrap();
        assert_eq!(read(1), Some(1));
        assert!(is_ready(), "a full read tells nothing");
        assert_eq!(read(1), None);
        assert!(!is_ready(), "a read that would block does");
    });
}

#[test]
fn everything_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Io<TcpStream>>();
    shared::<Io<UdpSocket>>();
    shared::<Handle>();
    shared::<evenkeel_io_driver::Registration>();
    shared::<Driver>();
    shared::<DriverThread>();
}

#[test]
fn into_inner_gives_back_a_source_that_can_be_registered_again() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        let handle = driver.handle();
        let mut socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        for _ in 0..3 {
            let io = Io::new(socket, &handle).unwrap();
            assert_eq!(handle.registrations(), 1);
            block_on(io.writable()).unwrap();
            socket = io.into_inner().unwrap();
            assert_eq!(handle.registrations(), 0);
        }
    });
}

#[test]
fn a_source_registered_twice_is_the_error_of_the_call() {
    let driver = Driver::new().unwrap();
    let handle = driver.handle();
    let mut socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let registration = handle.register(&mut socket, Interest::READABLE).unwrap();
    let again = handle.register(&mut socket, Interest::READABLE);
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(handle.registrations(), 1);
    registration.deregister(&mut socket).unwrap();
}

#[test]
fn ready_prints_its_names() {
    assert_eq!(format!("{:?}", Ready::EMPTY), "EMPTY");
    assert_eq!(
        format!("{:?}", Ready::READABLE | Ready::ERROR),
        "READABLE | ERROR"
    );
    assert_eq!((Ready::ALL - Ready::READABLE) | Ready::READABLE, Ready::ALL);
}

#[test]
fn poll_io_leaves_the_waker_of_the_half_it_waits_for() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let own = socket.local_addr().unwrap();
        let socket = Io::new(socket, &driver.handle()).unwrap();
        let count = Arc::new(Count::default());
        let waker = Arc::clone(&count).into();
        let mut cx = Context::from_waker(&waker);
        let mut buffer = [0; 8];
        let receive = |cx: &mut Context<'_>, buffer: &mut [u8]| {
            socket.poll_io(cx, Direction::Read, |s| s.recv(buffer))
        };
        // Writability comes first, and is no reason to wake the reader.
        assert!(receive(&mut cx, &mut buffer).is_pending());
        driver.turn(None).unwrap();
        assert_eq!(count.woken(), 0);
        socket.get_ref().send_to(b"hello", own).unwrap();
        while count.woken() == 0 {
            driver.turn(Some(Duration::from_secs(1))).unwrap();
        }
        let Poll::Ready(Ok(5)) = receive(&mut cx, &mut buffer) else {
            panic!("not received")
        };
    });
}
