//! A service of tonic's, written by hand, and a client of hyper's that speaks gRPC to it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_prost::ProstCodec;

use super::load::{self, Caller};
use crate::closed_loop::{host, pattern};
use crate::harness::{Contender, Setup};
use crate::runtimes::{self, Evenkeel, Runtime, Tokio};

const CONNECTIONS: usize = 16;
const CALLS: usize = 4;
const MESSAGE_BYTES: usize = 64;

pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(Evenkeel::NAME, |setup| {
        let runtime = runtimes::start::<Evenkeel>(&setup.options)?;
        let (listener, port) = runtimes::listen()?;
        Evenkeel::detach(runtime.spawn(async {
            let listener = Evenkeel::listen(listener).expect("listen");
            evenkeel::serve(listener, Routes::new(Echo)).await
        }));
        host(port)
    }),
    Contender::new(Tokio::NAME, |setup| {
        let runtime = runtimes::start::<Tokio>(&setup.options)?;
        let (listener, port) = runtimes::listen()?;
        Tokio::detach(runtime.spawn(async {
            let listener = Tokio::listen(listener).expect("listen");
            // Evenkeel's does it by itself.
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let server = Server::builder().add_service(Echo);
            server.serve_with_incoming(incoming).await
        }));
        host(port)
    }),
];

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

/// The service: what is sent comes back.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl UnaryService<Message> for Echo {
    type Response = Message;
    type Future = Ready<Result<tonic::Response<Message>, Status>>;

    fn call(&mut self, request: tonic::Request<Message>) -> Self::Future {
        ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async {
            let mut grpc = Grpc::new(ProstCodec::<Message, Message>::default());
            Ok(grpc.unary(Echo, request).await)
        })
    }
}

/// A message in its frame: not compressed, its length, and the field with its own length.
fn frame() -> Bytes {
    let mut frame = vec![
        0,
        0,
        0,
        0,
        MESSAGE_BYTES as u8 + 2,
        0x0a,
        MESSAGE_BYTES as u8,
    ];
    frame.extend(pattern(MESSAGE_BYTES));
    frame.into()
}

struct Client {
    sender: SendRequest<Full<Bytes>>,
    port: u16,
    frame: Bytes,
}

impl Caller for Client {
    async fn call(&mut self) -> io::Result<()> {
        let uri = format!("http://127.0.0.1:{}/bench.Echo/Echo", self.port);
        let request = Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(self.frame.clone()))
            .map_err(io::Error::other)?;
        let response = self.sender.send_request(request).await;
        let body = response.map_err(io::Error::other)?.into_body();
        let collected = body.collect().await.map_err(io::Error::other)?;
        let trailers = collected.trailers();
        let status = trailers.and_then(|trailers| trailers.get("grpc-status"));
        let is_ok = status.is_some_and(|status| status == "0");
        if !is_ok || collected.to_bytes() != self.frame {
            return Err(io::Error::other("a wrong answer"));
        }
        Ok(())
    }
}

pub(super) fn load(setup: &Setup) -> Result<Vec<f64>, String> {
    load::load(setup, async |port| {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
            stream.set_nodelay(true)?;
            let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let (sender, connection) = handshake.map_err(io::Error::other)?;
            tokio::spawn(connection);
            clients.extend((0..CALLS).map(|_| Client {
                sender: sender.clone(),
                port,
                frame: frame(),
            }));
        }
        Ok(clients)
    })
}
