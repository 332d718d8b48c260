//! What [hyper](https://docs.rs/hyper) 1 needs of a runtime: [`Executor`], [`Timer`], and its IO
//! traits.
//!
//! [`TcpStream`](crate::net::TcpStream) and [`UnixStream`](crate::net::UnixStream) implement
//! hyper's [`Read`](hyper::rt::Read) and [`Write`](hyper::rt::Write) themselves: hand them to hyper
//! as they are. What implements tokio's IO traits, such as a TLS stream on top of one of them, goes
//! into [`Io`] (feature `tokio-io`), and what hyper gives back after an upgrade goes into [`Io`] to
//! be used through tokio's traits. Requests through hyper-util's pooled client are on these sockets
//! with [`Connector`] (feature `hyper-client`).
//!
//! # Examples
//!
//! Serving HTTP/1 on one connection:
//!
//! ```no_run
//! use evenkeel::net::TcpListener;
//! use hyper::body::Incoming;
//! use hyper::server::conn::http1;
//! use hyper::service::service_fn;
//! use hyper::{Request, Response};
//!
//! async fn hello(_: Request<Incoming>) -> hyper::Result<Response<String>> {
//!     Ok(Response::new("hello".to_owned()))
//! }
//!
//! # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:3000").await?;
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     evenkeel::spawn(
//!         http1::Builder::new()
//!             .timer(evenkeel::hyper::Timer::new())
//!             .serve_connection(stream, service_fn(hello)),
//!     );
//! }
//! # #[allow(unreachable_code)] std::io::Result::Ok(())
//! # }).unwrap();
//! ```

#[cfg(feature = "hyper-client")]
mod connector;
#[cfg(feature = "tokio-io")]
mod io;
mod stream;

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

#[cfg(feature = "hyper-client")]
pub use connector::Connector;
#[cfg(feature = "tokio-io")]
pub use io::Io;

use crate::runtime::Handle;
use crate::time::{self, Sleep};

/// Spawns hyper's background tasks, as HTTP/2 needs it, on the IO lane.
///
/// # Examples
///
/// ```
/// use hyper::rt::Executor as _;
///
/// let runtime = evenkeel::runtime::Runtime::new()?;
/// let executor = evenkeel::hyper::Executor::with_handle(runtime.handle().clone());
/// let (done, wait) = std::sync::mpsc::channel();
/// executor.execute(async move { done.send("spawned").unwrap() });
/// assert_eq!(wait.recv().unwrap(), "spawned");
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Executor {
    handle: Option<Handle>,
}

impl Executor {
    /// An executor that spawns on the runtime from which it is called.
    ///
    /// Its `execute` panics outside a runtime.
    pub fn new() -> Self {
        Self::default()
    }

    /// An executor that spawns on the runtime of `handle`, wherever it is called from.
    pub fn with_handle(handle: Handle) -> Self {
        Self {
            handle: Some(handle),
        }
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        // Dropping the handle detaches the task.
        drop(match &self.handle {
            Some(handle) => handle.spawn(future),
            None => crate::spawn(future),
        });
    }
}

/// Makes hyper's timeouts run on this runtime's timers.
///
/// It makes sleeps for the runtime from which it is called, and panics outside a runtime.
#[derive(Copy, Clone, Debug, Default)]
pub struct Timer;

impl Timer {
    /// A timer.
    pub fn new() -> Self {
        Self
    }
}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(time::sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(time::sleep_until(time::Instant::from_std(deadline)))
    }

    fn now(&self) -> Instant {
        time::Instant::now().into_std()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(sleep) => sleep.reset(time::Instant::from_std(deadline)),
            // It was made by another timer.
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

impl hyper::rt::Sleep for Sleep {}
