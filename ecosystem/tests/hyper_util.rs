//! works: hyper + hyper-util (client with a pool, `TokioExecutor`, `TokioIo`, `auto` server)
//! by: tokio-rt
//! tested: HTTP/1 and 2, connections kept alive, 64 requests at once, names that are looked up, a
//! server of theirs on tokio's sockets, the end of the runtime with open connections
//! threads: requests where they are awaited; connections of a client on the thread of the small
//! runtime, those of a server where they are spawned

mod support;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use support::http::HttpServer;
use support::{everywhere, run, runtime, until, watchdog};

type Pooled = Client<HttpConnector, Empty<Bytes>>;

fn client() -> Pooled {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30));
    builder.build_http()
}

async fn get(client: &Pooled, url: String) -> String {
    let answer = client.get(url.parse().unwrap()).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered() {
    let server = HttpServer::start();
    assert_eq!(get(&client(), server.url("/hello/you")).await, "hello, you");
}

#[test]
fn requests_are_answered_wherever_they_are_made() {
    let server = HttpServer::start();
    // A name: it is looked up by a blocking call of tokio's.
    let url = format!("http://localhost:{}/hello/you", server.address.port());
    run(move || async move {
        let client = client();
        everywhere(move || {
            let (client, url) = (client.clone(), url.clone());
            async move { assert_eq!(get(&client, url).await, "hello, you") }
        })
        .await;
    });
    drop(server);
}

#[test]
fn connections_are_kept_and_shared() {
    let server = Arc::new(HttpServer::start());
    run(move || async move {
        let mut peers = HashSet::new();
        let one_by_one = client();
        for _ in 0..30 {
            let (client, url) = (one_by_one.clone(), server.url("/peer"));
            peers.insert(
                evenkeel::spawn(async move { get(&client, url).await })
                    .await
                    .unwrap(),
            );
        }
        assert!(peers.len() <= 2, "{peers:?}");

        let mut builder = Client::builder(TokioExecutor::new());
        let client: Pooled = builder.http2_only(true).build_http();
        let first = get(&client, server.url("/peer")).await;
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (client, url) = (client.clone(), server.url("/peer"));
                evenkeel::spawn(async move { get(&client, url).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), first);
        }
    });
}

#[test]
fn a_server_of_theirs_ends_after_its_requests() {
    async fn answer(
        request: Request<Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
        let body = request.uri().path().to_owned();
        Ok(hyper::Response::new(Full::from(body)))
    }
    async fn serve(listener: tokio::net::TcpListener, end: evenkeel::sync::oneshot::Receiver<()>) {
        let mut end = std::pin::pin!(end);
        let (server, graceful) = (
            auto::Builder::new(TokioExecutor::new()),
            GracefulShutdown::new(),
        );
        loop {
            let (stream, _) = evenkeel::select! {
                accepted = listener.accept() => accepted.unwrap(),
                _ = &mut end => break,
            };
            let connection = server.serve_connection(TokioIo::new(stream), service_fn(answer));
            // On a worker, with its socket on tokio's reactor.
            let connection = graceful.watch(connection.into_owned());
            evenkeel::spawn(async move { connection.await.unwrap() });
        }
        graceful.shutdown().await;
    }
    run(|| async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = evenkeel::sync::oneshot::channel();
        let serving = evenkeel::spawn(serve(listener, ended));
        for is_http2 in [false, true] {
            let mut builder = Client::builder(TokioExecutor::new());
            let client: Pooled = builder.http2_only(is_http2).build_http();
            assert_eq!(get(&client, format!("http://{address}/x")).await, "/x");
        }
        end.send(()).unwrap();
        serving.await.unwrap();
    });
}

#[test]
fn a_runtime_ends_with_requests_in_progress() {
    let server = Arc::new(HttpServer::start());
    watchdog(move || {
        for _ in 0..20 {
            let (runtime, client) = (runtime(), client());
            runtime.block_on(async {
                get(&client, server.url("/hello/you")).await;
                evenkeel::spawn(client.get(server.url("/never").parse().unwrap()));
                until(|| async { server.waiting() == 1 }).await;
            });
            drop(runtime);
            drop(client);
            while server.waiting() != 0 {
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    run(|| async {
        let nobody = SocketAddr::from(([127, 0, 0, 1], support::process::free_port()));
        let request = client().get(format!("http://{nobody}/").parse().unwrap());
        assert!(request.await.unwrap_err().is_connect());
    });
}
