//! hyper 1 on each runtime: a "hello" over HTTP/1 with keep-alive, as the hello examples of
//! [`evenkeel::hyper`] and of hyper itself serve it. Measured as `echo` is.

use std::convert::Infallible;

use hyper::body::Incoming;
use hyper::rt::{Read, Timer, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::closed_loop::{self, BY_REQUEST, Protocol, generate_load, host};
use crate::harness::{Bar, Case, Contender, Limit, Setup, Suite, Template};
use crate::runtimes::{self, Evenkeel, Runtime, Tokio};

pub(super) const SUITE: Suite = Suite::new(
    "http",
    "hyper 1 over HTTP/1 keep-alive in a closed loop; the client is another process",
    |_| CASES,
);

const CONNECTIONS: usize = 64;

const BODY: &[u8] = b"\r\n\r\nhello";

/// The server of the hello, on each.
pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(Evenkeel::NAME, |setup| {
        serve::<Evenkeel, _>(setup, |stream| {
            converse(stream, evenkeel::hyper::Timer::new())
        })
    }),
    Contender::new(Tokio::NAME, |setup| {
        serve::<Tokio, _>(setup, |stream| {
            converse(TokioIo::new(stream), TokioTimer::new())
        })
    }),
];

/// All there is to run.
const CASES: &[Case] = &[Case {
    load: Some(|setup| {
        generate_load(&Hello, CONNECTIONS, setup.window).map(|found| found.by_request())
    }),
    ..HTTP.case(
        "hello",
        "64 connections that all ask for the same short text",
        BY_REQUEST,
        CONTENDERS,
        &[Bar::new("requests", Limit::AtLeast(1.1, &["tokio"]))],
    )
}];

const HTTP: Template = Template {
    suite: "http",
    measure: &closed_loop::measure,
};

fn serve<R, F>(setup: &Setup, connection: fn(R::Stream) -> F) -> Result<Vec<f64>, String>
where
    R: Runtime,
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = runtimes::start::<R>(&setup.options)?;
    host(runtimes::serve(runtime, connection)?)
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

/// What is asked, and the hello.
pub(super) struct Hello;

impl Protocol for Hello {
    fn request(&self) -> &[u8] {
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    }

    /// The length of the head, once it is there, and of the body that it announces.
    fn answer_bytes(&self, start: &[u8]) -> Option<usize> {
        const BLANK: &[u8] = b"\r\n\r\n";
        let blank = start
            .windows(BLANK.len())
            .position(|bytes| bytes == BLANK)?;
        let head_bytes = blank + BLANK.len();
        let head = std::str::from_utf8(&start[..head_bytes]).ok()?;
        let body_bytes = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            value.trim().parse::<usize>().ok().filter(|_| is_length)
        })?;
        Some(head_bytes + body_bytes)
    }

    fn is_right(&self, answer: &[u8]) -> bool {
        answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(BODY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nage: 7\r\n\r\nhello";

    #[test]
    fn the_length_is_told_with_the_head() {
        let head_bytes = ANSWER.len() - 5;
        assert_eq!(Hello.answer_bytes(&ANSWER[..head_bytes - 1]), None);
        for end in head_bytes..=ANSWER.len() {
            assert_eq!(Hello.answer_bytes(&ANSWER[..end]), Some(ANSWER.len()));
        }
    }

    #[test]
    fn only_the_hello_is_right() {
        assert!(Hello.is_right(ANSWER));
        assert!(!Hello.is_right(&ANSWER[..ANSWER.len() - 1]));
        assert!(!Hello.is_right(b"HTTP/1.1 500 No\r\n\r\nhello"));
    }
}
