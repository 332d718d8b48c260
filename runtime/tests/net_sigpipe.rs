//! A write to a peer that is gone is an error, and no signal, which would end a C program that has
//! this as a library.
#![cfg(all(unix, feature = "tokio-io"))]

mod net_support;
mod support;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel::net::{TcpStream, UnixDatagram, UnixStream};
use net_support::{run, tcp_pair};
use tokio::io::{AsyncWrite, AsyncWriteExt};

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

#[track_caller]
fn assert_broken<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(SIGNALS.load(Ordering::SeqCst), 0, "SIGPIPE");
}

fn slices() -> [IoSlice<'static>; 2] {
    [IoSlice::new(b"x"), IoSlice::new(b"y")]
}

async fn write_by_traits(stream: &mut (impl AsyncWrite + Unpin)) {
    assert_broken(stream.write(b"x").await);
    for bufs in [&slices()[..], &slices()[..1]] {
        let write = poll_fn(|cx| Pin::new(&mut *stream).poll_write_vectored(cx, bufs));
        assert_broken(write.await);
    }
}

/// Until the reset has come, which is an error of its own.
async fn reset(stream: &mut TcpStream, peer: TcpStream) {
    peer.set_zero_linger().unwrap();
    drop(peer);
    while stream.write(b"x").await.is_ok() {}
}

#[test]
fn nothing_that_writes_to_a_socket_raises_a_signal() {
    // SAFETY: the handler does nothing but count.
    unsafe { libc::signal(libc::SIGPIPE, count as *const () as libc::sighandler_t) };
    run(async {
        let (mut left, right) = UnixStream::pair().unwrap();
        drop(right);
        write_by_traits(&mut left).await;
        assert_broken(left.try_write(b"x"));
        assert_broken(left.try_write_vectored(&slices()));
        write_by_traits(&mut left.split().1).await;
        let (_read, mut write) = left.into_split();
        write_by_traits(&mut write).await;

        let (mut left, right) = tcp_pair().await;
        reset(&mut left, right).await;
        write_by_traits(&mut left).await;
        assert_broken(left.try_write(b"x"));
        assert_broken(left.try_write_vectored(&slices()));
        #[cfg(feature = "futures-io")]
        for bufs in [&slices()[..], &slices()[..1]] {
            use futures_lite::AsyncWrite;
            let write =
                poll_fn(|cx| AsyncWrite::poll_write_vectored(Pin::new(&mut left), cx, bufs));
            assert_broken(write.await);
        }
        #[cfg(feature = "hyper")]
        for bufs in [&slices()[..], &slices()[..1]] {
            use hyper::rt::Write;
            let write = poll_fn(|cx| Write::poll_write_vectored(Pin::new(&mut left), cx, bufs));
            assert_broken(write.await);
        }

        let (left, _right) = UnixDatagram::pair().unwrap();
        left.shutdown(Shutdown::Write).unwrap();
        assert_broken(left.send(b"x").await);
        assert_broken(left.try_send(b"x"));
    });
}
