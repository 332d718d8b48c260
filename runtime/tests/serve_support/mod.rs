//! A server on a free port, and a client that can send what no HTTP library would.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;

use evenkeel::JoinHandle;
use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::serve::{HttpService, Hyper, Serve, ServeFuture};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::{Request, Response};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::oneshot;

use crate::net_support::listener;

pub(crate) type Answer = Response<Full<Bytes>>;

pub(crate) fn text(text: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(text.into()))
}

/// A server, in tasks of the current runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Server {
    pub(crate) async fn start<S>(service: S) -> Server
    where
        S: HttpService<Hyper, Service = S>,
        Serve<TcpListener, S>: IntoFuture<IntoFuture = ServeFuture>,
    {
        Server::start_with(service, |server| server).await
    }

    pub(crate) async fn start_with<S>(
        service: S,
        change: impl FnOnce(Serve<TcpListener, S>) -> Serve<TcpListener, S>,
    ) -> Server
    where
        S: HttpService<Hyper, Service = S>,
        Serve<TcpListener, S>: IntoFuture<IntoFuture = ServeFuture>,
    {
        let (stop, stopped) = oneshot::channel();
        let server = change(evenkeel::serve(listener().await, service));
        let server = server.with_graceful_shutdown(async { drop(stopped.await) });
        Server {
            address: server.local_addr().unwrap(),
            stop,
            serving: evenkeel::spawn(server.into_future()),
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A connection of HTTP/2.
    pub(crate) async fn http2(&self) -> http2::SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = http2::handshake(evenkeel::hyper::Executor::new(), stream)
            .await
            .unwrap();
        drop(evenkeel::spawn(connection));
        sender
    }

    /// Gives the signal for the end; what is returned is done when the server is.
    pub(crate) fn stop(self) -> JoinHandle<io::Result<()>> {
        self.stop.send(()).unwrap();
        self.serving
    }

    /// Drops the server without a signal.
    pub(crate) async fn abort(self) {
        self.serving.abort();
        assert!(self.serving.await.unwrap_err().is_cancelled());
    }
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    let uri = format!("http://localhost{path}");
    Request::get(uri).body(Full::default()).unwrap()
}

pub(crate) async fn body_text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// A connection of HTTP/1 that is used byte by byte.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        Client {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next answer, as its head and its body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let n = self.stream.read_line(&mut head).await.unwrap();
            assert_ne!(n, 0, "the end after {head:?}");
        }
        let head = head.to_ascii_lowercase();
        let len = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |len| len.parse().unwrap());
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// The body of the answer, which is 200.
    pub(crate) async fn get(&mut self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
            .await;
        let (head, body) = self.answer().await;
        assert!(head.starts_with("http/1.1 200 "), "{head:?}");
        body
    }

    /// Waits until the server closes the connection, and returns what it said before.
    pub(crate) async fn until_closed(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.stream.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}
