//! works: tokio-rustls
//! by: native
//! tested: client and server on our streams, HTTPS by `evenkeel::serve` with HTTP/1 and 2 chosen by
//! ALPN, curl, a certificate that is not trusted, peers that speak no TLS or fall silent, `close
//! notify` and its absence
//! threads: TLS is computed where its stream is polled: on the workers of the IO lane

mod native_support;
mod support;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evenkeel::hyper::Io;
use evenkeel::io::{AsyncReadExt, AsyncWriteExt};
use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::serve::Listener;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use native_support::{Identity, curl, get, read, spawn_server};
use support::run;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

async fn connect(
    identity: &Identity,
    alpn: &[&str],
    address: SocketAddr,
) -> io::Result<client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let connector = TlsConnector::from(Arc::new(identity.client(alpn)));
    connector.connect(name(), stream).await
}

/// Both ends of a connection.
async fn pair(identity: &Identity) -> (client::TlsStream<TcpStream>, server::TlsStream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(identity.server(&[])));
    let accepted = async {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.unwrap()
    };
    let (client, server) = evenkeel::join!(connect(identity, &[], address), accepted);
    (client.unwrap(), server)
}

#[test]
fn bytes_go_both_ways() {
    run(|| async {
        let (client, server) = pair(&Identity::new()).await;
        let message = vec![5; 1_000_000];
        let echo = evenkeel::spawn(async move {
            let (mut read, mut write) = evenkeel::io::split(server);
            evenkeel::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let (mut read, mut write) = evenkeel::io::split(client);
        let sent = message.clone();
        let sending = evenkeel::spawn(async move {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
            write
        });
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        assert!(received == message);
        sending.await.unwrap();
        echo.await.unwrap();
    });
}

#[test]
fn an_end_without_notice_is_an_error() {
    run(|| async {
        let (mut client, server) = pair(&Identity::new()).await;
        let (stream, _) = server.into_inner();
        drop(stream);
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);

        let (mut client, mut server) = pair(&Identity::new()).await;
        server.shutdown().await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

/// TLS on a listener: the handshake is made by the task of the connection.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = Io<server::TlsStream<TcpStream>>;
    type Addr = SocketAddr;
    type Handshake = Pin<Box<dyn Future<Output = io::Result<Self::Io>> + Send>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, SocketAddr)> {
        let (stream, addr) = self.listener.accept().await?;
        let handshake = self.acceptor.accept(stream);
        Ok((Box::pin(async { Ok(Io::new(handshake.await?)) }), addr))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn version(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    Ok(Response::new(format!("{:?}", request.version())))
}

/// A server of HTTPS.
async fn serve(identity: &Identity) -> SocketAddr {
    let listener = Tls {
        listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        acceptor: TlsAcceptor::from(Arc::new(identity.server(&["h2", "http/1.1"]))),
    };
    let address = listener.local_addr().unwrap();
    let server = evenkeel::serve(listener, service_fn(version));
    spawn_server(server.header_timeout(Duration::from_millis(500)));
    address
}

#[test]
fn https_is_served_in_the_version_that_was_agreed_on() {
    run(|| async {
        let identity = Identity::new();
        let address = serve(&identity).await;
        let stream = connect(&identity, &["http/1.1"], address).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(Io::new(stream)).await;
        let (mut sender, connection) = handshake.unwrap();
        evenkeel::spawn(connection);
        let answer = read(sender.send_request(get("/")).await.unwrap()).await;
        assert_eq!(answer, (200, "HTTP/1.1".to_owned()));

        let stream = connect(&identity, &["h2"], address).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let executor = evenkeel::hyper::Executor::new();
        let handshake = hyper::client::conn::http2::handshake(executor, Io::new(stream)).await;
        let (mut sender, connection) = handshake.unwrap();
        evenkeel::spawn(connection);
        let request = Request::get("https://localhost/")
            .body(http_body_util::Full::<bytes::Bytes>::default());
        let answer = read(sender.send_request(request.unwrap()).await.unwrap()).await;
        assert_eq!(answer, (200, "HTTP/2.0".to_owned()));
    });
}

#[test]
fn curl_is_answered_by_https() {
    run(|| async {
        let address = serve(&Identity::new()).await;
        let url = format!("https://localhost:{}/", address.port());
        for (option, version) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
            let Some(out) = curl(&[option, "--insecure", &url]).await else {
                return;
            };
            assert_eq!(out, version);
        }
    });
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused() {
    run(|| async {
        let address = serve(&Identity::new()).await;
        let error = connect(&Identity::new(), &["h2"], address)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    });
}

#[test]
fn peers_that_speak_no_tls_do_not_hold_up_others() {
    run(|| async {
        let identity = Identity::new();
        let address = serve(&identity).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(connect(&identity, &["h2"], address).await.is_ok());
        // Both are closed: with an alert, and when their time is over.
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        let _ = silent.read_to_end(&mut Vec::new()).await;
    });
}
