//! Accepting connections and serving HTTP/1 and HTTP/2 on them, within limits, to a graceful end.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evenkeel::hyper::{Executor, Timer};
use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::time::{sleep, timeout};
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::{Semaphore, watch};

use crate::accept::accept;

const HEADER_BYTES_MAX: usize = 64 * 1024;
const HTTP2_STREAMS_MAX: u32 = 64;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// What a client can take of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time; more of them wait in the kernel's queue.
    pub connections_max: u32,
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

/// Serves HTTP on `listener` until `stop` completes, and then finishes the requests in flight,
/// within [`Limits::shutdown_time_max`].
pub async fn serve<H, F, B>(
    listener: TcpListener,
    limits: Limits,
    handler: H,
    stop: impl Future<Output = ()>,
) where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let builder = Arc::new(builder(&limits));
    let limits = Arc::new(limits);
    let places = Arc::new(Semaphore::new(limits.connections_max as usize));
    let (stopping, stopped) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let (stream, place) = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut stop => break,
        };
        let connection = connection(
            stream,
            builder.clone(),
            limits.clone(),
            handler.clone(),
            stopped.clone(),
        );
        evenkeel::spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    stopping.send_replace(());
    // Each connection gives its place back when it ends, which its own limits make sure of.
    let _all = places.acquire_many(limits.connections_max).await;
}

fn builder(limits: &Limits) -> Builder<Executor> {
    let mut builder = Builder::new(Executor::new());
    builder
        .http1()
        .timer(Timer::new())
        .header_read_timeout(limits.header_time_max)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(Timer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .max_concurrent_streams(HTTP2_STREAMS_MAX);
    builder
}

async fn connection<H, F, B>(
    stream: TcpStream,
    builder: Arc<Builder<Executor>>,
    limits: Arc<Limits>,
    handler: H,
    mut stopped: watch::Receiver<()>,
) where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    // Answers are small; without this the kernel may hold one back for what could follow it.
    let _ = stream.set_nodelay(true);
    let any_request = AtomicBool::new(false);
    let service = service_fn(|request| {
        any_request.store(true, Ordering::Relaxed);
        let response = handler(request);
        async { Ok::<_, Infallible>(response.await) }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(stream, service));
    // hyper measures the time of an HTTP/1 header. This is for a client that sends too little to
    // tell HTTP/1 from HTTP/2, or that opens HTTP/2 and then asks for nothing.
    let silence = async {
        sleep(limits.header_time_max).await;
        if any_request.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // The errors of a connection are its client's: malformed requests, resets, timeouts.
        _ = connection.as_mut() => return,
        () = silence => return,
        _ = stopped.changed() => {}
        () = sleep(limits.connection_time_max) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(limits.shutdown_time_max, connection).await;
}
