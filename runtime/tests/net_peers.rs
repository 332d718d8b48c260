//! What a peer, or the order of things, may do to a stream: none of it makes a read or a write wait
//! for ever, or keeps a CPU busy.
#![cfg(all(target_os = "linux", feature = "tokio-io"))]

mod net_support;
mod support;

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use evenkeel::io::{AsyncFd, Interest};
use evenkeel::net::{TcpListener, TcpStream, UnixStream};
use net_support::{listener, run, tcp_pair};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// More slices than a system takes in one call.
const SLICES: usize = 2000;

fn pin<T: Unpin>(value: &mut T) -> Pin<&mut T> {
    Pin::new(value)
}

/// Writes as many slices of one byte, and returns the length of each write.
async fn write_slices(
    mut write: impl FnMut(&mut Context<'_>, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
) -> Vec<usize> {
    let bytes = [7; SLICES];
    let slices: Vec<IoSlice<'_>> = bytes.chunks(1).map(IoSlice::new).collect();
    let (mut written, mut lens) = (0, Vec::new());
    while written < SLICES {
        let n = poll_fn(|cx| write(cx, &slices[written..])).await.unwrap();
        written += n;
        lens.push(n);
    }
    lens
}

#[test]
fn a_write_of_more_slices_than_the_system_takes_goes_on() {
    run(async {
        use tokio::io::AsyncWrite;
        let all = [1024, 976];
        let (mut left, _right) = tcp_pair().await;
        let lens = write_slices(|cx, bufs| pin(&mut left).poll_write_vectored(cx, bufs)).await;
        assert_eq!(lens, all);
        let (mut left, _right) = UnixStream::pair().unwrap();
        let lens = write_slices(|cx, bufs| pin(&mut left).poll_write_vectored(cx, bufs)).await;
        assert_eq!(lens, all);
        let (_, mut half) = left.split();
        let lens = write_slices(|cx, bufs| pin(&mut half).poll_write_vectored(cx, bufs)).await;
        assert_eq!(lens, all);
    });
}

#[test]
#[cfg(feature = "futures-io")]
fn slices_by_the_traits_of_futures_io_go_on() {
    run(async {
        use futures_lite::{AsyncRead, AsyncWrite};
        let all = [1024, 976];
        let (mut left, mut right) = tcp_pair().await;
        let lens = write_slices(|cx, bufs| pin(&mut left).poll_write_vectored(cx, bufs)).await;
        assert_eq!(lens, all);
        arrived(&left);
        let lens = read_slices(|cx, bufs| pin(&mut right).poll_read_vectored(cx, bufs)).await;
        assert_eq!(lens, all);
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let lens = write_slices(|cx, bufs| pin(&mut left).poll_write_vectored(cx, bufs)).await;
        assert_eq!(lens, all);
        let lens = read_slices(|cx, bufs| pin(&mut right).poll_read_vectored(cx, bufs)).await;
        assert_eq!(lens, all);
    });
}

/// Reads into as many slices of one byte, and returns the length of each read.
#[cfg(feature = "futures-io")]
async fn read_slices(
    mut read: impl FnMut(&mut Context<'_>, &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>>,
) -> Vec<usize> {
    let mut bytes = [0; SLICES];
    let mut slices: Vec<IoSliceMut<'_>> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
    let (mut done, mut lens) = (0, Vec::new());
    while done < SLICES {
        let n = poll_fn(|cx| read(cx, &mut slices[done..])).await.unwrap();
        done += n;
        lens.push(n);
    }
    drop(slices);
    assert_eq!(bytes, [7; SLICES]);
    lens
}

#[test]
#[cfg(feature = "hyper")]
fn slices_by_the_traits_of_hyper_go_on() {
    run(async {
        use hyper::rt::Write;
        let all = [1024, 976];
        let (mut left, _right) = tcp_pair().await;
        let lens = write_slices(|cx, bufs| pin(&mut left).poll_write_vectored(cx, bufs)).await;
        assert_eq!(lens, all);
        let (mut left, _right) = UnixStream::pair().unwrap();
        let lens = write_slices(|cx, bufs| pin(&mut left).poll_write_vectored(cx, bufs)).await;
        assert_eq!(lens, all);
    });
}

#[test]
fn slices_behind_many_empty_ones_are_moved() {
    run(async {
        use tokio::io::AsyncWrite;
        let (mut left, right) = tcp_pair().await;
        let mut bufs = vec![IoSlice::new(b""); 1500];
        bufs.push(IoSlice::new(b"here"));
        assert_eq!(left.try_write_vectored(&bufs).unwrap(), 4);
        let written = poll_fn(|cx| pin(&mut left).poll_write_vectored(cx, &bufs)).await;
        assert_eq!(written.unwrap(), 4);
        arrived(&left);
        right.readable().await.unwrap();
        let mut buf = [0; 16];
        let mut bufs: Vec<IoSliceMut<'_>> = (0..1500).map(|_| IoSliceMut::new(&mut [])).collect();
        bufs.push(IoSliceMut::new(&mut buf));
        assert_eq!(right.try_read_vectored(&mut bufs).unwrap(), 8, "the end?");
        assert_eq!(&buf[..8], b"herehere");
    });
}

/// Waits until the other end's system has all that was written.
fn arrived(stream: &impl AsRawFd) {
    support::until(|| {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open, and the call writes one `c_int`.
        let outcome = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) };
        assert_eq!(outcome, 0);
        bytes == 0
    });
}

/// A stream to which some bytes, an urgent one and more bytes have come, and its peer.
async fn with_urgent_byte(listener: &TcpListener) -> (TcpStream, std::net::TcpStream) {
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    peer.write_all(&[b'A'; 4096]).unwrap();
    SockRef::from(&peer).send_out_of_band(b"!").unwrap();
    peer.write_all(&[b'B'; 4096]).unwrap();
    arrived(&peer);
    (stream, peer)
}

#[test]
fn bytes_behind_an_urgent_one_are_read() {
    run(async {
        let listener = listener().await;
        let mut buf = [0; 16384];
        let (mut stream, _peer) = with_urgent_byte(&listener).await;
        for byte in [b'A', b'B'] {
            assert_eq!(stream.read(&mut buf).await.unwrap(), 4096);
            assert!(buf[..4096].iter().all(|found| *found == byte));
        }

        // The byte itself is there for who wants it; nobody else's reading takes it away.
        let (stream, _peer) = with_urgent_byte(&listener).await;
        let mut byte = [std::mem::MaybeUninit::new(0)];
        let take = || SockRef::from(&stream).recv_out_of_band(&mut byte);
        let taken = stream.async_io(Interest::PRIORITY, take).await;
        assert_eq!(taken.unwrap(), 1);
        // SAFETY: it was initialised when it was made.
        assert_eq!(unsafe { byte[0].assume_init() }, b'!');

        let (mut read, _write) = stream.into_split();
        for _ in 0..2 {
            assert_eq!(read.read(&mut buf).await.unwrap(), 4096);
        }
    });
}

#[test]
#[cfg(all(feature = "futures-io", feature = "hyper"))]
fn bytes_behind_an_urgent_one_are_read_by_every_trait() {
    run(async {
        let listener = listener().await;
        let mut buf = [0; 16384];
        let (mut stream, _peer) = with_urgent_byte(&listener).await;
        for _ in 0..2 {
            let n =
                poll_fn(|cx| futures_lite::AsyncRead::poll_read(pin(&mut stream), cx, &mut buf));
            assert_eq!(n.await.unwrap(), 4096);
        }
        let (mut stream, _peer) = with_urgent_byte(&listener).await;
        for _ in 0..2 {
            let mut into = hyper::rt::ReadBuf::new(&mut buf);
            poll_fn(|cx| hyper::rt::Read::poll_read(pin(&mut stream), cx, into.unfilled()))
                .await
                .unwrap();
            assert_eq!(into.filled().len(), 4096);
        }
    });
}

/// As descriptors do (`net_unix.rs`).
#[test]
fn bytes_behind_what_ends_a_read_of_a_unix_stream_are_read() {
    run(async {
        let mut buf = [0; 64];
        let (mut left, right) = UnixStream::pair().unwrap();
        right.writable().await.unwrap();
        assert_eq!(right.try_write(b"before").unwrap(), 6);
        // Since Linux 5.15; where there is none, this is an error.
        let _ = SockRef::from(&right).send_out_of_band(b"!");
        assert_eq!(right.try_write(b"behind").unwrap(), 6);
        let mut text = Vec::new();
        while text.len() < 12 {
            let n = left.read(&mut buf).await.unwrap();
            text.extend_from_slice(&buf[..n]);
        }
        assert_eq!(text, b"beforebehind");

        // Bytes that come with credentials, and others that were sent before the reader wanted
        // them.
        let (mut left, right) = UnixStream::pair().unwrap();
        right.writable().await.unwrap();
        assert_eq!(right.try_write(b"without").unwrap(), 7);
        SockRef::from(&left).set_passcred(true).unwrap();
        assert_eq!(right.try_write(b"with").unwrap(), 4);
        let mut text = Vec::new();
        while text.len() < 11 {
            let n = left.read(&mut buf).await.unwrap();
            text.extend_from_slice(&buf[..n]);
        }
        assert_eq!(text, b"withoutwith");
    });
}

/// A hundred turns of the driver and of tasks.
async fn let_others_run() {
    let (mut left, mut right) = UnixStream::pair().unwrap();
    let echo = evenkeel::spawn(async move {
        let mut byte = [0];
        while right.read(&mut byte).await.unwrap() == 1 {
            right.write_all(&byte).await.unwrap();
        }
    });
    for _ in 0..100 {
        left.write_all(b"x").await.unwrap();
        left.read_exact(&mut [0]).await.unwrap();
    }
    drop(left);
    echo.await.unwrap();
}

/// `future`, and how often it is polled.
fn counted<F: Future>(future: F) -> (impl Future<Output = F::Output>, Arc<AtomicUsize>) {
    let polls = Arc::new(AtomicUsize::new(0));
    let count = polls.clone();
    let mut future = Box::pin(future);
    let future = poll_fn(move |cx| {
        count.fetch_add(1, Ordering::SeqCst);
        future.as_mut().poll(cx)
    });
    (future, polls)
}

#[test]
fn a_fifo_between_two_writers_waits() {
    run(async {
        let path = std::env::temp_dir().join(format!("evenkeel-fifo-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the name is text that ends with a null byte.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let reader = std::fs::File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .unwrap();
        let writer = || std::fs::File::options().write(true).open(&path).unwrap();
        let fd = Arc::new(AsyncFd::with_interest(reader, Interest::READABLE).unwrap());
        let read = |fd: Arc<AsyncFd<std::fs::File>>| async move {
            let read = |mut file: &std::fs::File| file.read(&mut [0; 4]);
            fd.async_io(Interest::READABLE, read).await.unwrap()
        };

        writer().write_all(b"1").unwrap();
        assert_eq!(read(fd.clone()).await, 1);
        assert_eq!(read(fd.clone()).await, 0);
        for round in 0..3 {
            let mut writer = writer();
            let (reads, polls) = counted(read(fd.clone()));
            let reads = evenkeel::spawn(reads);
            let_others_run().await;
            let polls = polls.load(Ordering::SeqCst);
            assert!(polls < 10, "polled {polls} times while nothing came");
            if round == 1 {
                // Closed without a byte: told all the same.
                drop(writer);
                assert_eq!(reads.await.unwrap(), 0);
            } else {
                writer.write_all(b"22").unwrap();
                assert_eq!(reads.await.unwrap(), 2);
                drop(writer);
                assert_eq!(read(fd.clone()).await, 0);
            }
        }
        std::fs::remove_file(&path).unwrap();
    });
}

/// The system says of a socket that is not connected yet that it is hung up.
#[test]
fn a_socket_registered_before_it_connects_waits() {
    run(async {
        let listener = listener().await;
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_nonblocking(true).unwrap();
        let fd = Arc::new(AsyncFd::new(socket).unwrap());
        drop(fd.readable().await.unwrap());
        let _ = fd.get_ref().connect(&listener.local_addr().unwrap().into());
        let (mut peer, _) = listener.accept().await.unwrap();

        let reader = fd.clone();
        let (reads, polls) = counted(async move {
            let read = |mut socket: &socket2::Socket| socket.read(&mut [0; 4]);
            reader.async_io(Interest::READABLE, read).await.unwrap()
        });
        let reads = evenkeel::spawn(reads);
        let_others_run().await;
        let polls = polls.load(Ordering::SeqCst);
        assert!(polls < 10, "polled {polls} times while nothing came");
        peer.write_all(b"x").await.unwrap();
        assert_eq!(reads.await.unwrap(), 1);
    });
}
