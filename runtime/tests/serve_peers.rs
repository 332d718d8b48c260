//! `evenkeel::serve` for peers that do not behave, and for services that panic.
#![cfg(all(unix, feature = "serve", feature = "tokio-io"))]

mod net_support;
mod serve_support;
mod support;

use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::serve::Listener;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use net_support::{listener, run};
use serve_support::{Answer, Client, Server, body_text, get, text};
use support::Gate;
use tokio::io::AsyncWriteExt;

const SHORT: Duration = Duration::from_millis(100);

/// The length of the body. Panics at `/panic`, fails at `/error`.
async fn len(request: Request<Incoming>) -> Result<Answer, io::Error> {
    match request.uri().path() {
        "/panic" => panic!("as the request asked"),
        "/error" => return Err(io::Error::other("as the request asked")),
        _ => {}
    }
    let body = request.into_body().collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    Ok(text(body.len().to_string()))
}

#[test]
fn what_is_no_request_gets_400_and_an_end() {
    run(async {
        let server = Server::start(service_fn(len)).await;
        for request in [
            "this is no HTTP\r\n\r\n",
            "GET\r\n\r\n",
            "GET / HTTP/9.9\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "\0\0\0\0",
        ] {
            let mut client = server.connect().await;
            client.send(request).await;
            let answer = client.until_closed().await;
            assert!(
                answer.starts_with("HTTP/1.1 400 "),
                "{request:?}: {answer:?}"
            );
        }
        assert_eq!(server.connect().await.get("/").await, "0");
    });
}

#[test]
fn silent_and_slow_peers_are_closed() {
    run(async {
        let server =
            Server::start_with(service_fn(len), |server| server.header_timeout(SHORT)).await;
        for beginning in [
            "",
            "P",
            "PRI * HTTP/2.0",
            "GET / HT",
            "GET / HTTP/1.1\r\nx: y\r\n",
        ] {
            let mut client = server.connect().await;
            client.send(beginning).await;
            client.until_closed().await;
        }
        for request in [
            // HTTP/2 that is opened, and then never asks for anything.
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            // Idle after a request.
            "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        ] {
            // Again if the connection was closed before this came.
            let mut answer = String::new();
            while answer.is_empty() {
                let mut client = server.connect().await;
                client.send(request).await;
                answer = client.until_closed().await;
            }
        }
    });
}

#[test]
fn a_header_that_trickles_in_is_cut_off() {
    run(async {
        let server =
            Server::start_with(service_fn(len), |server| server.header_timeout(SHORT)).await;
        let mut client = server.connect().await;
        client.send("GET / HTTP/1.1\r\nx: ").await;
        // Ends with an error once the server has closed its side; the watchdog is for a server that
        // does not.
        while client.stream.write_all(b"x").await.is_ok() {
            evenkeel::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_request_that_breaks_off_does_not_hurt_others() {
    run(async {
        // It also gives its place back.
        let server = Server::start_with(service_fn(len), |server| server.max_connections(1)).await;
        for part in [
            "GET / HTTP/1.1\r\nhost:",
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n1",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nno number\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nno frame at all, I am afraid",
        ] {
            let mut client = server.connect().await;
            client.send(part).await;
            drop(client);
            assert_eq!(server.connect().await.get("/").await, "0", "{part:?}");
        }
    });
}

#[test]
fn a_service_that_panics_ends_its_connection_alone() {
    run(async {
        let server = Server::start_with(service_fn(len), |server| server.max_connections(2)).await;
        let mut other = server.connect().await;
        other.get("/").await;
        for path in ["/panic", "/error", "/panic"] {
            let mut client = server.connect().await;
            client
                .send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
                .await;
            assert_eq!(client.until_closed().await, "", "{path}");
        }
        assert_eq!(other.get("/").await, "0");
        server.stop().await.unwrap().unwrap();
    });
}

#[test]
fn a_panic_in_http2_ends_its_request_alone() {
    run(async {
        let server = Server::start(service_fn(len)).await;
        let mut client = server.http2().await;
        for path in ["/panic", "/error"] {
            assert!(client.send_request(get(path)).await.is_err(), "{path}");
            let response = client.send_request(get("/")).await.unwrap();
            assert_eq!(body_text(response).await, "0");
        }
        server.stop().await.unwrap().unwrap();
    });
}

/// Its first handshake waits for the gate, its second fails.
struct Strange {
    listener: TcpListener,
    accepted: usize,
    gate: Gate,
}

impl Listener for Strange {
    type Io = TcpStream;
    type Addr = SocketAddr;
    type Handshake = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, SocketAddr)> {
        let (stream, addr) = self.listener.accept().await?;
        self.accepted += 1;
        let (accepted, gate) = (self.accepted, self.gate.clone());
        let handshake = async move {
            match accepted {
                1 => gate.wait().await,
                2 => return Err(io::Error::other("no such certificate")),
                _ => {}
            }
            Ok(stream)
        };
        Ok((Box::pin(handshake), addr))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[test]
fn a_handshake_does_not_hold_up_others() {
    run(async {
        let gate = Gate::new();
        let listener = Strange {
            listener: listener().await,
            accepted: 0,
            gate: gate.clone(),
        };
        let server = evenkeel::serve(listener, service_fn(len));
        let address = server.local_addr().unwrap();
        evenkeel::spawn(server.into_future());
        let mut waits = Client::connect(address).await;
        waits.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(Client::connect(address).await.until_closed().await, "");
        assert_eq!(Client::connect(address).await.get("/").await, "0");
        gate.open();
        assert_eq!(waits.answer().await.1, "0");
    });
}

#[test]
fn a_handshake_that_takes_too_long_is_cut_off() {
    run(async {
        let listener = Strange {
            listener: listener().await,
            accepted: 0,
            gate: Gate::new(),
        };
        let server = evenkeel::serve(listener, service_fn(len)).header_timeout(SHORT);
        let address = server.local_addr().unwrap();
        evenkeel::spawn(server.into_future());
        assert_eq!(Client::connect(address).await.until_closed().await, "");
    });
}
