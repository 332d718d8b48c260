//! hyper 1 on each runtime: a "hello" over HTTP/1 with keep-alive, as the hello examples of
//! [`evenkeel::hyper`] and of hyper itself serve it. Measured as `echo` is.

use std::convert::Infallible;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::{Read, Timer, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::echo::{LOAD, METRICS, Protocol, generate_load, host, measure_pair, serve};
use crate::runtimes::{Evenkeel, Tokio};
use crate::suite::{Bar, Case, EVENKEEL, Limit, unknown};

/// One line for the help text and the report.
pub(crate) const ABOUT: &str =
    "hyper 1 over HTTP/1 keep-alive in a closed loop; the client is another process";

const CONNECTIONS: usize = 64;

const PROTOCOL: Protocol = Protocol {
    request: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    answer_bytes,
    is_right: |answer| answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(BODY),
};

const BODY: &[u8] = b"\r\n\r\nhello";

/// All there is to run.
pub(crate) const CASES: &[Case] = &[Case {
    suite: "http",
    name: "hello",
    about: "64 connections that all ask for the same short text",
    metrics: METRICS,
    contenders: &[EVENKEEL, "tokio"],
    bars: &[Bar {
        metric: "requests",
        limit: Limit::AtLeast(1.1, &["tokio"]),
    }],
    window_min: Duration::ZERO,
    measure: measure_pair,
}];

/// The child's side: the server on this contender, or the load.
pub(crate) fn measure(name: &str, contender: &str, window: Duration) -> Result<Vec<f64>, String> {
    match (name, contender) {
        ("hello", LOAD) => generate_load(&PROTOCOL, CONNECTIONS, window),
        ("hello", EVENKEEL) => host(evenkeel),
        ("hello", "tokio") => host(tokio),
        _ => Err(unknown(name, contender)),
    }
}

async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("hello".to_owned()))
}

/// A connection, with the runtime's IO and timer.
async fn converse<I, T>(io: I, timer: T)
where
    I: Read + Write + Unpin + 'static,
    T: Timer + Send + Sync + 'static,
{
    let connection = http1::Builder::new()
        .timer(timer)
        .serve_connection(io, service_fn(hello));
    // The client ends it in the middle of what it likes; if too early, the client complains.
    let _ = connection.await;
}

fn evenkeel() -> Result<u16, String> {
    serve::<Evenkeel, _>(|stream| {
        stream.set_nodelay(true).expect("set_nodelay");
        converse(stream, evenkeel::hyper::Timer::new())
    })
}

fn tokio() -> Result<u16, String> {
    serve::<Tokio, _>(|stream| {
        stream.set_nodelay(true).expect("set_nodelay");
        converse(TokioIo::new(stream), TokioTimer::new())
    })
}

/// The length of the head, once it is there, and of the body that it announces.
fn answer_bytes(start: &[u8]) -> Option<usize> {
    const BLANK: &[u8] = b"\r\n\r\n";
    let head_bytes = start
        .windows(BLANK.len())
        .position(|bytes| bytes == BLANK)?
        + BLANK.len();
    let head = std::str::from_utf8(&start[..head_bytes]).ok()?;
    let body_bytes = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        value.trim().parse::<usize>().ok().filter(|_| is_length)
    })?;
    Some(head_bytes + body_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nage: 7\r\n\r\nhello";

    #[test]
    fn the_length_is_told_with_the_head() {
        let head_bytes = ANSWER.len() - 5;
        assert_eq!(answer_bytes(&ANSWER[..head_bytes - 1]), None);
        for end in head_bytes..=ANSWER.len() {
            assert_eq!(answer_bytes(&ANSWER[..end]), Some(ANSWER.len()));
        }
    }

    #[test]
    fn only_the_hello_is_right() {
        assert!((PROTOCOL.is_right)(ANSWER));
        assert!(!(PROTOCOL.is_right)(&ANSWER[..ANSWER.len() - 1]));
        assert!(!(PROTOCOL.is_right)(b"HTTP/1.1 500 No\r\n\r\nhello"));
    }
}
