//! What the tests of sockets share.

use std::future::Future;
use std::panic;
use std::pin::pin;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::runtime::Runtime;

/// Far more than any of these tests takes; reached only when something was never woken.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs `test` on a fresh runtime and fails when it does not end.
pub(crate) fn run<F: Future<Output = ()> + Send + 'static>(test: F) {
    let (done, outcome) = channel();
    let thread = thread::spawn(move || {
        // The sender goes with the closure, so a panic is seen as a hang-up.
        let _done = done;
        Runtime::new().expect("a runtime").block_on(test);
    });
    match outcome.recv_timeout(WATCHDOG) {
        Err(RecvTimeoutError::Timeout) => {
            panic!("no end after {WATCHDOG:?}: something is not woken")
        }
        Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = thread.join() {
                panic::resume_unwind(panic);
            }
        }
        Ok(()) => unreachable!("nothing is sent"),
    }
}

/// Polls a future once, with a waker that does nothing.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A listener on a free port of the loopback.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Two ends of a TCP connection: the one that connected and the one that was accepted. Both are
/// known to be writable, so that `try_write` works at once.
#[allow(dead_code, reason = "not every test needs it")]
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
