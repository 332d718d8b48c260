//! Serving HTTP/1 and HTTP/2 within limits, to a graceful end.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use evenkeel::net::TcpListener;
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use tracing_subscriber::filter::LevelFilter;

const HEADER_BYTES_MAX: usize = 64 * 1024;
const HTTP2_STREAMS_MAX: u32 = 64;

/// What a client can take of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time; more of them wait in the kernel's queue.
    pub connections_max: usize,
    /// How long the header of a request may take, and a connection may be idle before one.
    pub header_time_max: Duration,
    /// How long a connection is kept before the client is asked to open a new one.
    pub connection_time_max: Duration,
    /// How long the requests in flight may take once their connection is to end.
    pub shutdown_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1000,
            header_time_max: Duration::from_secs(10),
            connection_time_max: Duration::from_secs(300),
            shutdown_time_max: Duration::from_secs(10),
        }
    }
}

/// Has what the server logs written to standard error, from warnings upwards.
pub fn log_to_stderr() {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
}

/// Serves HTTP on `listener` until `stop` completes, and then finishes the requests in flight,
/// within [`Limits::shutdown_time_max`].
pub async fn serve<H, F, B>(
    listener: TcpListener,
    limits: Limits,
    handler: H,
    stop: impl Future<Output = ()> + Send + 'static,
) where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let response = handler(request);
        async { Ok::<_, Infallible>(response.await) }
    });
    let server = evenkeel::serve(listener, service)
        .max_connections(limits.connections_max)
        .header_timeout(limits.header_time_max)
        .max_connection_age(limits.connection_time_max)
        .shutdown_timeout(limits.shutdown_time_max)
        .configure(|http| {
            http.http1().max_buf_size(HEADER_BYTES_MAX);
            http.http2().max_concurrent_streams(HTTP2_STREAMS_MAX);
        })
        .with_graceful_shutdown(stop);
    // It has no error: those of connections are logged by it.
    let _ = server.await;
}
