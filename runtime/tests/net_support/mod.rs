//! What the tests of sockets share.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use evenkeel::net::{TcpListener, TcpStream};

use crate::support::on_runtime;

/// Runs `test` on a fresh runtime, under the watchdog.
#[track_caller]
pub(crate) fn run<F: Future<Output = ()> + Send + 'static>(test: F) {
    on_runtime(2, move |runtime| runtime.block_on(test));
}

/// Polls a future once, with a waker that does nothing.
pub(crate) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A listener on a free port of the loopback.
pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Two ends of a TCP connection: the one that connected and the one that was accepted. Both are
/// known to be writable, so that `try_write` works at once.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = listener().await;
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    client.writable().await.unwrap();
    server.writable().await.unwrap();
    (client, server)
}
