//! Services: those of tower and those of hyper, and what is seen of their requests.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::body::{Body, Incoming};
use hyper::http::Extensions;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Stands for services of tower in [`HttpService`].
#[derive(Debug)]
pub enum Tower {}

/// Stands for services of hyper in [`HttpService`].
#[derive(Debug)]
pub enum Hyper {}

/// A service that answers HTTP requests: of tower, as axum's `Router` and the services of tonic
/// are, or of hyper, as [`hyper::service::service_fn`] makes them.
///
/// It is cloned for each connection, and a service of tower for each request as well. `Kind` is
/// found by the compiler, and is to be ignored; the trait is implemented for all there is.
///
/// The requirements of a service `S`: `S: Clone + Send + 'static`, its future is `Send + 'static`,
/// and its body is `Send + 'static` with data that is `Send`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service that can be served",
    label = "not a service of HTTP requests, or not `Clone + Send + 'static`, or its future or body is not `Send`",
    note = "axum: pass the `Router` itself, and not what `into_make_service` makes of it",
    note = "hyper, tower: a service of `Request<hyper::body::Incoming>` is needed"
)]
pub trait HttpService<Kind> {
    /// The body of an answer.
    type Body: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;

    /// An error of it ends the connection, or under HTTP/2 the request.
    type Error: Into<BoxError>;

    /// As a service of hyper.
    type Service: Service<
            Request<Incoming>,
            Response = Response<Self::Body>,
            Error = Self::Error,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static;

    /// Makes a service of hyper of it.
    fn into_service(self) -> Self::Service;
}

impl<S, B> HttpService<Tower> for S
where
    S: tower_service::Service<
            Request<Incoming>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
    type Error = S::Error;
    type Service = TowerToHyperService<S>;

    fn into_service(self) -> Self::Service {
        TowerToHyperService::new(self)
    }
}

impl<S, B> HttpService<Hyper> for S
where
    S: Service<
            Request<Incoming>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
    type Error = S::Error;
    type Service = S;

    fn into_service(self) -> S {
        self
    }
}

/// Puts what is known of a connection into the extensions of a request.
pub(super) type Extend = Box<dyn Fn(&mut Extensions) + Send>;

/// The service of one connection.
pub(super) struct OfConnection<S> {
    pub(super) service: S,
    /// Whether there was any request.
    pub(super) asked: Arc<AtomicBool>,
    pub(super) extend: Option<Extend>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for OfConnection<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> S::Future {
        self.asked.store(true, Ordering::Relaxed);
        if let Some(extend) = &self.extend {
            extend(request.extensions_mut());
        }
        self.service.call(request)
    }
}
