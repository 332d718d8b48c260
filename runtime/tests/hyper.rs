//! hyper on this runtime: HTTP/1 and HTTP/2 over real connections.
#![cfg(all(unix, feature = "hyper", feature = "tokio-io"))]

mod net_support;
mod support;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use evenkeel::hyper::{Executor, Io, Timer};
use evenkeel::net::{TcpListener, UnixStream};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::Timer as _;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server};
use net_support::{listener, run, tcp_pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers with the body of the request.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Ok(Response::new(Full::new(body)))
}

fn request(body: &'static [u8]) -> Request<Full<Bytes>> {
    Request::post("http://localhost/echo")
        .body(Full::new(Bytes::from_static(body)))
        .unwrap()
}

async fn serve_http1(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        evenkeel::spawn(
            server::conn::http1::Builder::new()
                .timer(Timer::new())
                .header_read_timeout(Duration::from_millis(50))
                .serve_connection(stream, service_fn(echo)),
        );
    }
}

#[test]
fn http1_answers_on_one_connection_after_the_other() {
    run(async {
        let (client, server) = tcp_pair().await;
        let serving = evenkeel::spawn(
            server::conn::http1::Builder::new().serve_connection(server, service_fn(echo)),
        );
        let (mut sender, connection) = client::conn::http1::handshake(client).await.unwrap();
        let connection = evenkeel::spawn(connection);
        for _ in 0..3 {
            static BODY: [u8; 100_000] = [b'x'; 100_000];
            sender.ready().await.unwrap();
            let response = sender.send_request(request(&BODY)).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(
                response.into_body().collect().await.unwrap().to_bytes(),
                &BODY[..]
            );
        }
        drop(sender);
        connection.await.unwrap().unwrap();
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn http1_refuses_what_is_no_request() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        evenkeel::spawn(serve_http1(listener));
        let mut client = evenkeel::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"this is no HTTP\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    });
}

#[test]
fn the_timer_ends_a_connection_that_sends_no_header() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        evenkeel::spawn(serve_http1(listener));
        let start = Instant::now();
        let mut client = evenkeel::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(50));
    });
}

#[test]
fn http2_multiplexes_on_the_executor() {
    run(async {
        let (client, server) = UnixStream::pair().unwrap();
        evenkeel::spawn(
            server::conn::http2::Builder::new(Executor::new())
                .timer(Timer::new())
                .keep_alive_interval(Duration::from_secs(1))
                .serve_connection(server, service_fn(echo)),
        );
        let (sender, connection) = client::conn::http2::handshake(Executor::new(), client)
            .await
            .unwrap();
        evenkeel::spawn(connection);
        let requests: Vec<_> = (0..20)
            .map(|_| {
                let mut sender = sender.clone();
                evenkeel::spawn(async move {
                    let response = sender.send_request(request(b"multiplexed")).await.unwrap();
                    response.into_body().collect().await.unwrap().to_bytes()
                })
            })
            .collect();
        for request in requests {
            assert_eq!(request.await.unwrap(), "multiplexed");
        }
    });
}

#[test]
fn a_wrapped_stream_serves_too() {
    run(async {
        // Stands for a TLS stream: it has tokio's IO traits alone.
        let (client, server) = tokio::io::duplex(512);
        evenkeel::spawn(
            server::conn::http1::Builder::new().serve_connection(Io::new(server), service_fn(echo)),
        );
        let (mut sender, connection) = client::conn::http1::handshake(Io::new(client))
            .await
            .unwrap();
        evenkeel::spawn(connection);
        let response = sender.send_request(request(b"wrapped")).await.unwrap();
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "wrapped"
        );
    });
}

#[test]
fn a_sleep_is_reset_to_both_sides() {
    run(async {
        let timer = Timer::new();
        let start = timer.now();
        let mut sleep = timer.sleep(Duration::from_secs(3600));
        timer.reset(&mut sleep, start + Duration::from_millis(20));
        sleep.as_mut().await;
        assert!(start.elapsed() >= Duration::from_millis(20));
        let mut sleep = timer.sleep_until(start);
        let later = timer.now() + Duration::from_millis(20);
        timer.reset(&mut sleep, later);
        sleep.await;
        assert!(timer.now() >= later);
    });
}

#[test]
fn a_sleep_of_another_timer_is_replaced() {
    #[derive(Debug)]
    struct Never;
    impl std::future::Future for Never {
        type Output = ();
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<()> {
            std::task::Poll::Pending
        }
    }
    impl hyper::rt::Sleep for Never {}

    run(async {
        let timer = Timer::new();
        let mut sleep: std::pin::Pin<Box<dyn hyper::rt::Sleep>> = Box::pin(Never);
        timer.reset(&mut sleep, timer.now());
        sleep.await;
    });
}
