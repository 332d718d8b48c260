//! works: hyper-util (its pooled client on our sockets)
//! by: native (`evenkeel::hyper`)
//! tested: our connector, executor and timers, connections that are kept and shared, idle ones that
//! are closed, HTTP/2, requests that are given up, a server that is gone, a name, an address of
//! IPv6, a URL of another scheme
//! threads: requests, connections and the timer of the pool on the workers of the IO lane

mod native_support;
mod support;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Router, routing::get};
use bytes::Bytes;
use evenkeel::hyper::{Connector, Executor, Timer};
use evenkeel::net::TcpListener;
use http_body_util::Full;
use hyper::Uri;
use hyper_util::client::legacy::Client;
use native_support::{read, spawn_server};
use support::{run, until};

type Pool = Client<Connector, Full<Bytes>>;

fn client(idle_timeout: Duration, http2: bool) -> Pool {
    Client::builder(Executor::new())
        .pool_timer(Timer::new())
        .timer(Timer::new())
        .pool_idle_timeout(idle_timeout)
        .http2_only(http2)
        .build(Connector::new())
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

#[test]
fn names_and_addresses_of_ipv6_are_reached() {
    run(|| async {
        let (address, _serving) = serve().await;
        let client = client(LONG, false);
        let name = format!("http://localhost:{}/", address.port());
        let (status, _) = read(client.get(name.parse().unwrap()).await.unwrap()).await;
        assert_eq!(status, 200);
        let Ok(listener) = TcpListener::bind("[::1]:0").await else {
            return eprintln!("skipped: no IPv6 here");
        };
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/", get(|| async { "six" }));
        let _serving = spawn_server(evenkeel::serve(listener, app));
        let uri = format!("http://{address}/").parse().unwrap();
        let (_, body) = read(client.get(uri).await.unwrap()).await;
        assert_eq!(body, "six");
    });
}

#[test]
fn nothing_is_sent_in_the_clear_to_a_url_of_https() {
    run(|| async {
        let (address, _serving) = serve().await;
        let uri = format!("https://{address}/").parse().unwrap();
        let error = client(LONG, false).get(uri).await.unwrap_err();
        assert!(error.is_connect());
    });
}
