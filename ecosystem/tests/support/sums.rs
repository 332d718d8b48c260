//! A gRPC service and its client, by hand, so that no compiler of protocol files is needed.

use super::thread_name;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{Request as HttpRequest, Response as HttpResponse};
use tonic::server::NamedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Number {
    #[prost(uint64, tag = "1")]
    pub(crate) value: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Text {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

/// The service. Its clones share what they count.
#[derive(Clone, Default)]
pub(crate) struct Sums {
    calls: Arc<AtomicUsize>,
}

/// A call in progress.
struct Call(Arc<AtomicUsize>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Sums {
    /// How many calls are in progress that do not end by themselves.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn begin(&self) -> Call {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Call(self.calls.clone())
    }

    async fn answer(self, request: HttpRequest<Body>) -> HttpResponse<Body> {
        let mut numbers = tonic::server::Grpc::new(ProstCodec::<Number, Number>::default());
        match request.uri().path() {
            DOUBLE => numbers.unary(service_fn(double), request).await,
            NEVER => {
                let never = service_fn(move |_: Request<Number>| {
                    let call = self.begin();
                    async move {
                        let _call = call;
                        future::pending::<Result<Response<Number>, Status>>().await
                    }
                });
                numbers.unary(never, request).await
            }
            COUNT => {
                let count = service_fn(move |request: Request<Number>| {
                    let call = self.begin();
                    let numbers = stream::iter(0..request.get_ref().value);
                    let numbers = numbers.map(move |value| {
                        let _call = &call;
                        Ok(Number { value })
                    });
                    future::ready(Ok::<_, Status>(Response::new(numbers)))
                });
                numbers.server_streaming(count, request).await
            }
            SUM => numbers.client_streaming(service_fn(sum), request).await,
            RUNNING => numbers.streaming(service_fn(running), request).await,
            WHERE => {
                let mut texts = tonic::server::Grpc::new(ProstCodec::<Text, Number>::default());
                let answer = |_: Request<Number>| {
                    let text = thread_name();
                    future::ready(Ok::<_, Status>(Response::new(Text { text })))
                };
                texts.unary(service_fn(answer), request).await
            }
            _ => Status::unimplemented("no such method").into_http(),
        }
    }
}

async fn double(request: Request<Number>) -> Result<Response<Number>, Status> {
    let value = request.get_ref().value.checked_mul(2);
    let value = value.ok_or_else(|| Status::out_of_range("too much"))?;
    Ok(Response::new(Number { value }))
}

async fn sum(request: Request<Streaming<Number>>) -> Result<Response<Number>, Status> {
    let mut numbers = request.into_inner();
    let mut value = 0;
    while let Some(number) = numbers.message().await? {
        value += number.value;
    }
    Ok(Response::new(Number { value }))
}

type Numbers = BoxStream<'static, Result<Number, Status>>;

async fn running(request: Request<Streaming<Number>>) -> Result<Response<Numbers>, Status> {
    let sums = request.into_inner().scan(0, |sum, number| {
        let number = number.map(|number| {
            *sum += number.value;
            Number { value: *sum }
        });
        future::ready(Some(number))
    });
    Ok(Response::new(sums.boxed()))
}

impl NamedService for Sums {
    const NAME: &'static str = "test.Sums";
}

impl Service<HttpRequest<Body>> for Sums {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let answer = self.clone().answer(request);
        Box::pin(async { Ok(answer.await) })
    }
}

const DOUBLE: &str = "/test.Sums/Double";
const NEVER: &str = "/test.Sums/Never";
const COUNT: &str = "/test.Sums/Count";
const SUM: &str = "/test.Sums/Sum";
const RUNNING: &str = "/test.Sums/Running";
const WHERE: &str = "/test.Sums/Where";

/// The client.
#[derive(Clone)]
pub(crate) struct Client(tonic::client::Grpc<Channel>);

impl Client {
    pub(crate) fn new(channel: Channel) -> Client {
        Client(tonic::client::Grpc::new(channel))
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))
    }

    async fn unary<M>(&mut self, method: &'static str, number: u64) -> Result<M, Status>
    where
        M: prost::Message + Default + 'static,
    {
        self.ready().await?;
        let path = PathAndQuery::from_static(method);
        let request = Request::new(Number { value: number });
        let answer = self
            .0
            .unary(request, path, ProstCodec::<Number, M>::default());
        Ok(answer.await?.into_inner())
    }

    /// Out of range if that is no number any more.
    pub(crate) async fn double(&mut self, number: u64) -> Result<u64, Status> {
        Ok(self.unary::<Number>(DOUBLE, number).await?.value)
    }

    /// Has no answer.
    pub(crate) async fn never(&mut self) -> Result<u64, Status> {
        Ok(self.unary::<Number>(NEVER, 0).await?.value)
    }

    /// A method that the service does not have.
    pub(crate) async fn missing(&mut self) -> Result<u64, Status> {
        Ok(self.unary::<Number>("/test.Sums/Missing", 0).await?.value)
    }

    /// The thread on which the service answers.
    pub(crate) async fn thread(&mut self) -> Result<String, Status> {
        Ok(self.unary::<Text>(WHERE, 0).await?.text)
    }

    /// The numbers below this one.
    pub(crate) async fn count(&mut self, end: u64) -> Result<Streaming<Number>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(COUNT);
        let request = Request::new(Number { value: end });
        let numbers = self
            .0
            .server_streaming(request, path, ProstCodec::default());
        Ok(numbers.await?.into_inner())
    }

    pub(crate) async fn sum(
        &mut self,
        numbers: impl Stream<Item = u64> + Send + 'static,
    ) -> Result<u64, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(SUM);
        let request = Request::new(numbers.map(|value| Number { value }));
        let sum = self
            .0
            .client_streaming(request, path, ProstCodec::<Number, Number>::default());
        Ok(sum.await?.into_inner().value)
    }

    /// The sum so far, for each number.
    pub(crate) async fn running(
        &mut self,
        numbers: impl Stream<Item = u64> + Send + 'static,
    ) -> Result<Streaming<Number>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(RUNNING);
        let request = Request::new(numbers.map(|value| Number { value }));
        let sums = self.0.streaming(request, path, ProstCodec::default());
        Ok(sums.await?.into_inner())
    }
}
