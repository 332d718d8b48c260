//! One connection, from its handshake to its end.

use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use evenkeel_sync::panics::log;
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::first::{First, first};
use super::header_timer::HeaderTimer;
use super::service::{BoxError, Extend, OfConnection};
use crate::hyper::Executor;
use crate::time::{Duration, sleep, timeout};
use crate::when_woken::WhenWoken;

/// What all connections of a server have in common.
pub(super) struct Config {
    pub(super) http: Builder<Executor>,
    /// For the first request, from when the connection was accepted.
    pub(super) header_timeout: Duration,
    /// For the requests in flight, from when the connection is to end.
    pub(super) shutdown_timeout: Duration,
    /// How long a connection lives before it is to end.
    pub(super) age_max: Option<Duration>,
}

/// What the task of a connection has.
pub(super) struct Connection<S> {
    pub(super) service: S,
    pub(super) config: Arc<Config>,
    pub(super) extend: Option<Extend>,
    /// Changes, or has no sender any more, when the server ends. The server waits until it is
    /// dropped.
    pub(super) stopped: watch::Receiver<()>,
    /// One of those that `max_connections` allows.
    pub(super) _place: Option<OwnedSemaphorePermit>,
}

/// Why a connection is to end although its peer would go on.
enum End {
    /// There is nothing to wait for.
    AtOnce,
    AfterRequests,
}

impl<S, B> Connection<S>
where
    S: Service<
            Request<Incoming>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    pub(super) async fn serve<Io>(mut self, handshake: impl Future<Output = io::Result<Io>>)
    where
        Io: Read + Write + Unpin + Send + 'static,
    {
        let asked = Arc::new(AtomicBool::new(false));
        let end = pin!(end(&self.config, &asked, &mut self.stopped));
        // It is for events that are rare, and the requests need not pay for it.
        let mut end = pin!(WhenWoken::new(end));
        let io = match first(end.as_mut(), pin!(handshake)).await {
            First::Right(Ok(io)) => io,
            First::Right(Err(error)) => return debug(&error),
            First::Left(_) => return,
        };
        let service = OfConnection {
            service: self.service,
            asked: asked.clone(),
            extend: self.extend,
        };
        let mut http = self.config.http.clone();
        http.http1().timer(HeaderTimer::default());
        let mut connection = pin!(http.serve_connection_with_upgrades(io, service));
        match first(end, connection.as_mut()).await {
            First::Right(Ok(())) | First::Left(End::AtOnce) => return,
            First::Right(Err(error)) => return debug(&*error),
            First::Left(End::AfterRequests) => {}
        }
        connection.as_mut().graceful_shutdown();
        if let Ok(Err(error)) = timeout(self.config.shutdown_timeout, connection).await {
            debug(&*error);
        }
    }
}

/// The errors of a connection are its peer's: malformed requests, resets, timeouts.
fn debug(error: &(dyn std::error::Error + 'static)) {
    log(|| tracing::debug!(error, "a connection has ended with an error"));
}

/// Completes when a connection is to end. To be polled to its completion, and no further.
async fn end(config: &Config, asked: &AtomicBool, stopped: &mut watch::Receiver<()>) -> End {
    // hyper measures the time of an HTTP/1 header. This is for a peer that is silent before, or
    // opens HTTP/2 and asks for nothing.
    let silent = pin!(async {
        sleep(config.header_timeout).await;
        if asked.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    });
    let old = pin!(async {
        match config.age_max {
            Some(age_max) => sleep(age_max).await,
            None => pending().await,
        }
    });
    let stopped = pin!(stopped.changed());
    match first(silent, pin!(first(old, stopped))).await {
        First::Left(()) => End::AtOnce,
        First::Right(_) => End::AfterRequests,
    }
}
