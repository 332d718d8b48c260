//! An HTTP server: HTTP/1 and HTTP/2 for whatever is a service of tower or hyper, on the sockets of
//! this runtime. See [`serve`].
//!
//! # Examples
//!
//! With axum, the only difference is the name of the function:
//!
//! ```ignore
//! let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
//! let listener = evenkeel::net::TcpListener::bind("0.0.0.0:3000").await?;
//! evenkeel::serve(listener, app).with_graceful_shutdown(signal).await?;
//! ```
//!
//! With tonic, in place of `Server::builder()`, whose layers (the client's deadline, say) a service
//! has then to bring:
//!
//! ```ignore
//! let routes = tonic::service::Routes::new(GreeterServer::new(greeter));
//! evenkeel::serve(listener, routes).await?;
//! ```
//!
//! With hyper alone:
//!
//! ```
//! use evenkeel::net::TcpListener;
//! use hyper::body::Incoming;
//! use hyper::service::service_fn;
//! use hyper::{Request, Response};
//!
//! async fn hello(request: Request<Incoming>) -> hyper::Result<Response<String>> {
//!     Ok(Response::new(format!("hello from {}", request.uri().path())))
//! }
//!
//! # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let server = evenkeel::serve(listener, service_fn(hello))
//!     .with_graceful_shutdown(async { drop(stopped.await) });
//! let server = evenkeel::spawn(server.into_future());
//! // ... and elsewhere, at some time:
//! drop(stop);
//! server.await??;
//! # std::io::Result::Ok(()) }).unwrap();
//! ```

mod accept;
mod connection;
mod first;
mod header_timer;
mod listener;
mod service;

use std::fmt;
use std::future::{Future, IntoFuture, pending};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::server::conn::auto::Builder;

pub use listener::Listener;
pub use service::{HttpService, Hyper, Tower};

use crate::hyper::{Executor, Timer};
use crate::time::Duration;
use connection::Config;
use service::Extend;

const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// hyper adds the time to the present moment, which a larger one would overflow.
const HEADER_TIMEOUT_MAX: Duration = Duration::from_secs(30 * 365 * 86_400);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves HTTP/1 and HTTP/2 on `listener`: each connection by a task of its own, whose requests
/// `service` answers.
///
/// Which version it is, is seen by the first bytes of a connection; HTTP/2 without TLS is meant by
/// clients with "prior knowledge". With HTTP/1, the service runs in the task of the connection;
/// with HTTP/2, each request has a task. All are on the IO lane: what computes goes to
/// [`spawn_compute`](crate::spawn_compute).
///
/// Upgrades are possible (WebSocket, also `CONNECT` of HTTP/2). With HTTP/1 a connection that was
/// upgraded belongs to whoever took it, and nothing said here of connections is about it any more.
/// With HTTP/2 it is one stream of its connection, and ends with that.
///
/// The names are those of `axum::serve`. `axum::serve` itself spawns on the small runtime of
/// feature `tokio-rt`, which has one thread; this is the way for a server whose work matters.
///
/// # Peers
///
/// - A connection that was accepted has [30 s](Serve::header_timeout) for its first request, and
///   HTTP/1 has as long for each further one. A peer of HTTP/2 is asked every 20 s whether it is
///   still there, and has 20 s for the answer.
/// - What is no HTTP gets an answer of 400, and its connection is closed.
/// - The sockets have `TCP_NODELAY`.
/// - There is no limit for how long a body takes, in either direction: that is for the service.
///   There is none for connections either, until [`max_connections`](Serve::max_connections) sets
///   one.
///
/// # Errors
///
/// None: the future is never done, or with [`Serve::with_graceful_shutdown`] once that has ended
/// all, and then it is `Ok`. A connection that cannot be accepted, usually since the process has
/// too many open descriptors, is logged with `tracing` as a warning and tried again, after 5 ms at
/// first and every second in the end. Errors of connections are their peers' and are logged as
/// `debug`.
///
/// # Panics
///
/// The future panics when it is polled outside a runtime.
///
/// A panic of the service's future ends its connection, or with HTTP/2 its request; one in
/// `Service::call` itself ends the connection. Others go on. A panic in `clone` of the service, or
/// in the closure of [`Serve::with_connect_info`], ends the server.
///
/// # Cancel safety
///
/// Dropping the future closes the listener, and has all connections end as
/// [`Serve::with_graceful_shutdown`] does; nobody waits for that then.
///
/// # Sources
///
/// The API is axum's, the pauses after an error are those of Go's `net/http`.
pub fn serve<L, S, Kind>(listener: L, service: S) -> Serve<L, S::Service>
where
    L: Listener,
    S: HttpService<Kind>,
{
    let mut http = Builder::new(Executor::new());
    http.http1().header_read_timeout(HEADER_TIMEOUT);
    http.http2()
        .timer(Timer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .enable_connect_protocol();
    Serve {
        listener,
        service: service.into_service(),
        config: Config {
            http,
            header_timeout: HEADER_TIMEOUT,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            age_max: None,
        },
        connections_max: None,
        connect_info: None,
        signal: Box::pin(pending()),
    }
}

/// A server, which [`serve`] makes. It serves when it is awaited.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<L: Listener, S> {
    listener: L,
    service: S,
    config: Config,
    connections_max: Option<usize>,
    connect_info: Option<Box<dyn Fn(L::Addr) -> Extend + Send>>,
    signal: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<L: Listener, S> Serve<L, S> {
    /// Ends the server once `signal` completes: the listener is closed, connections without a
    /// request are too, and the others once their requests are answered. The future of the server
    /// is done when all have ended, after [30 s](Self::shutdown_timeout) at the latest.
    pub fn with_graceful_shutdown<F>(mut self, signal: F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.signal = Box::pin(signal);
        self
    }

    /// Calls `make` with the peer's address, once for each connection, and puts the result into the
    /// extensions of each of its requests.
    ///
    /// With `axum::extract::ConnectInfo` for `make`, its extractor of that name works. tonic's
    /// `Request::remote_addr` reads a `tonic::transport::server::TcpConnectInfo`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// # use evenkeel::net::TcpListener;
    /// # use hyper::service::service_fn;
    /// # use hyper::{Request, Response, body::Incoming};
    /// #[derive(Clone)]
    /// struct Peer(SocketAddr);
    ///
    /// async fn who(request: Request<Incoming>) -> hyper::Result<Response<String>> {
    ///     let Peer(addr) = request.extensions().get().expect("it is there");
    ///     Ok(Response::new(addr.to_string()))
    /// }
    ///
    /// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = evenkeel::serve(listener, service_fn(who)).with_connect_info(Peer);
    /// # });
    /// ```
    pub fn with_connect_info<T>(mut self, make: impl Fn(L::Addr) -> T + Send + 'static) -> Self
    where
        T: Clone + Send + Sync + 'static,
    {
        self.connect_info = Some(Box::new(move |addr| {
            let info = make(addr);
            Box::new(move |extensions| {
                extensions.insert(info.clone());
            })
        }));
        self
    }

    /// At most so many connections at the same time; more of them wait in the kernel's queue. An
    /// upgraded connection does not count any more.
    ///
    /// # Panics
    ///
    /// If `max` is zero, or more than an eighth of `usize::MAX`.
    pub fn max_connections(mut self, max: usize) -> Self {
        assert!(max > 0, "a server without connections");
        assert!(max <= tokio::sync::Semaphore::MAX_PERMITS);
        self.connections_max = Some(max);
        self
    }

    /// How long a peer may take for the header of a request, and an HTTP/1 connection may be idle
    /// before one; for the first request also what comes before, such as the handshake of TLS. 30 s
    /// unless it is set.
    pub fn header_timeout(mut self, time: Duration) -> Self {
        self.config.header_timeout = time;
        let time = time.min(HEADER_TIMEOUT_MAX);
        self.config.http.http1().header_read_timeout(time);
        self
    }

    /// How long the requests in flight may take when their connection is to end, at a graceful
    /// shutdown or [at its age](Self::max_connection_age). They are dropped after that. 30 s unless
    /// it is set.
    pub fn shutdown_timeout(mut self, time: Duration) -> Self {
        self.config.shutdown_timeout = time;
        self
    }

    /// How long a connection lives before its peer is asked to open another one, by `connection:
    /// close` or `GOAWAY`. For ever unless it is set.
    pub fn max_connection_age(mut self, time: Duration) -> Self {
        self.config.age_max = Some(time);
        self
    }

    /// hyper's own settings, which are in effect unless they are changed here: 200 requests at the
    /// same time on an HTTP/2 connection, for instance. The timer of HTTP/1 stays the server's own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use evenkeel::net::TcpListener;
    /// # use hyper::service::service_fn;
    /// # use hyper::{Request, Response, body::Incoming};
    /// # async fn hello(_: Request<Incoming>) -> hyper::Result<Response<String>> {
    /// #     Ok(Response::new(String::new()))
    /// # }
    /// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = evenkeel::serve(listener, service_fn(hello)).configure(|http| {
    ///     http.http1().max_buf_size(64 * 1024);
    ///     http.http2().max_concurrent_streams(64);
    /// });
    /// # });
    /// ```
    pub fn configure(mut self, change: impl FnOnce(&mut Builder<Executor>)) -> Self {
        change(&mut self.config.http);
        self
    }

    /// The address on which the server listens.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }
}

impl<L: Listener, S> fmt::Debug for Serve<L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

impl<L, S> IntoFuture for Serve<L, S>
where
    L: Listener,
    S: HttpService<Hyper> + Send + 'static,
{
    type Output = io::Result<()>;
    type IntoFuture = ServeFuture;

    fn into_future(self) -> ServeFuture {
        ServeFuture(Box::pin(accept::run(self)))
    }
}

/// The future of a [`Serve`].
#[must_use = "futures do nothing unless they are awaited or polled"]
pub struct ServeFuture(Pin<Box<dyn Future<Output = ()> + Send>>);

impl fmt::Debug for ServeFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeFuture").finish_non_exhaustive()
    }
}

impl Future for ServeFuture {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}
