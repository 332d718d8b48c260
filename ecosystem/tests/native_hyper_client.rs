//! works: hyper-util (its pooled client on our sockets)
//! by: native (`evenkeel::hyper`)
//! tested: a connector on our sockets, our executor and timers, connections that are kept and
//! shared, idle ones that are closed, HTTP/2, requests that are given up, a server that is gone
//! threads: requests, connections and the timer of the pool on the workers of the IO lane

mod native_support;
mod support;

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Router, routing::get};
use bytes::Bytes;
use evenkeel::hyper::{Executor, Timer};
use evenkeel::net::{TcpListener, TcpStream};
use http_body_util::Full;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use native_support::{read, spawn_server};
use support::{run, until};
use tower::Service;

/// Our stream, of which the pool knows.
struct Stream(TcpStream);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Read::poll_read(Pin::new(&mut self.0), cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Write::poll_write(Pin::new(&mut self.0), cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Write::poll_write_vectored(Pin::new(&mut self.0), cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        Write::is_write_vectored(&self.0)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Write::poll_flush(Pin::new(&mut self.0), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Write::poll_shutdown(Pin::new(&mut self.0), cx)
    }
}

#[derive(Clone)]
struct Connector;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let authority = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
            TcpStream::connect(authority.as_str()).await.map(Stream)
        })
    }
}

type Pool = Client<Connector, Full<Bytes>>;

fn client(idle_timeout: Duration, http2: bool) -> Pool {
    Client::builder(Executor::new())
        .pool_timer(Timer::new())
        .timer(Timer::new())
        .pool_idle_timeout(idle_timeout)
        .http2_only(http2)
        .build(Connector)
}

/// Answers with the port of the client, by which connections are told apart.
async fn serve() -> (SocketAddr, evenkeel::JoinHandle<io::Result<()>>) {
    let app = Router::new()
        .route(
            "/",
            get(
                |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.port().to_string() },
            ),
        )
        .route("/never", get(std::future::pending::<()>));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = evenkeel::serve(listener, app).with_connect_info(ConnectInfo::<SocketAddr>);
    let address = server.local_addr().unwrap();
    (address, spawn_server(server))
}

async fn port(client: &Pool, address: SocketAddr) -> String {
    let uri = format!("http://{address}/").parse().unwrap();
    let (status, port) = read(client.get(uri).await.unwrap()).await;
    assert_eq!(status, 200);
    port
}

const LONG: Duration = Duration::from_secs(90);

#[test]
fn a_connection_is_kept_and_used_again() {
    run(|| async {
        let (address, _serving) = serve().await;
        let client = client(LONG, false);
        let first = port(&client, address).await;
        // It is back in the pool a moment after its answer has been read.
        until(async || port(&client, address).await == port(&client, address).await).await;
        let ports: Vec<_> = (0..16)
            .map(|_| {
                let client = client.clone();
                evenkeel::spawn(async move { port(&client, address).await })
            })
            .collect();
        for port in ports {
            port.await.unwrap();
        }
        assert!(first.parse::<u16>().is_ok());
    });
}

#[test]
fn an_idle_connection_is_not_used_again() {
    run(|| async {
        let (address, _serving) = serve().await;
        let client = client(Duration::from_millis(50), false);
        let first = port(&client, address).await;
        evenkeel::time::sleep(Duration::from_millis(200)).await;
        assert_ne!(port(&client, address).await, first);
    });
}

#[test]
fn requests_of_http2_share_a_connection() {
    run(|| async {
        let (address, _serving) = serve().await;
        let client = client(LONG, true);
        let first = port(&client, address).await;
        let ports: Vec<_> = (0..16)
            .map(|_| {
                let client = client.clone();
                evenkeel::spawn(async move { port(&client, address).await })
            })
            .collect();
        for port in ports {
            assert_eq!(port.await.unwrap(), first);
        }
    });
}

#[test]
fn a_request_that_is_given_up_does_not_spoil_the_pool() {
    run(|| async {
        let (address, _serving) = serve().await;
        for http2 in [false, true] {
            let client = client(LONG, http2);
            let uri = format!("http://{address}/never").parse().unwrap();
            let never = evenkeel::time::timeout(Duration::from_millis(20), client.get(uri));
            assert!(never.await.is_err());
            port(&client, address).await;
        }
    });
}

#[test]
fn a_server_that_is_gone_is_an_error() {
    run(|| async {
        let (address, serving) = serve().await;
        let client = client(LONG, false);
        port(&client, address).await;
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        let uri: Uri = format!("http://{address}/").parse().unwrap();
        until(async || client.get(uri.clone()).await.is_err()).await;
        assert!(client.get(uri).await.unwrap_err().is_connect());
    });
}
