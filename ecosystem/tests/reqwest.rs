//! works: reqwest
//! by: tokio-rt
//! tested: HTTP/1 and 2, connections kept alive, bodies streamed both ways, 64 requests at once,
//! timeouts, cancelled requests, JSON, a server that goes away, the end of the runtime with open
//! connections, `reqwest::blocking` on the blocking pool
//! threads: requests and bodies where they are awaited; connections on the thread of the small
//! runtime, names on a thread for blocking calls of its

mod support;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::{Body, Client};
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use support::http::HttpServer;
use support::{everywhere, run, runtime, until, watchdog};

#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered() {
    let server = HttpServer::start();
    let body = reqwest::get(server.url("/hello/you"))
        .await
        .unwrap()
        .text()
        .await;
    assert_eq!(body.unwrap(), "hello, you");
}

#[test]
fn requests_are_answered_wherever_they_are_made() {
    let server = HttpServer::start();
    let url = server.url("/header");
    run(move || async move {
        let client = Client::new();
        everywhere(move || {
            let request = client.get(&url).header("x-name", "you");
            async move {
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.text().await.unwrap(), "you");
            }
        })
        .await;
    });
    drop(server);
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let server = HttpServer::start();
    let url = server.url("/peer");
    run(move || async move {
        let client = Client::new();
        let mut peers = HashSet::new();
        for _ in 0..50 {
            let (client, url) = (client.clone(), url.clone());
            let request =
                async move { client.get(url).send().await.unwrap().text().await.unwrap() };
            peers.insert(evenkeel::spawn(request).await.unwrap());
        }
        // One, and at most another that was begun because the first was put back a little late.
        assert!(peers.len() <= 2, "{peers:?}");
    });
    drop(server);
}

#[test]
fn many_requests_at_once_are_answered() {
    let server = Arc::new(HttpServer::start());
    run(move || async move {
        for client in [Client::builder(), Client::builder().http2_prior_knowledge()] {
            let client = client.build().unwrap();
            let requests: Vec<_> = (0..64)
                .map(|number| {
                    let request = client.get(server.url(&format!("/hello/{number}")));
                    let request = async move { request.send().await.unwrap().text().await };
                    (number, evenkeel::spawn(request))
                })
                .collect();
            for (number, request) in requests {
                assert_eq!(request.await.unwrap().unwrap(), format!("hello, {number}"));
            }
        }
    });
}

#[test]
fn requests_of_http2_share_a_connection() {
    let server = Arc::new(HttpServer::start());
    run(move || async move {
        let client = Client::builder().http2_prior_knowledge().build().unwrap();
        let peer = || async {
            let request = client.get(server.url("/peer")).send();
            request.await.unwrap().text().await.unwrap()
        };
        let first = peer().await;
        let peers = futures_util::future::join_all((0..20).map(|_| peer())).await;
        assert!(
            peers.iter().all(|peer| *peer == first),
            "{first}, {peers:?}"
        );
    });
}

#[test]
fn bodies_are_streamed_both_ways_at_once() {
    const CHUNKS: usize = 200;
    const BYTES: usize = 50_000;
    let server = Arc::new(HttpServer::start());
    run(move || async move {
        everywhere(move || {
            let server = server.clone();
            async move {
                let chunks = (0..CHUNKS).map(|number| vec![number as u8; BYTES]);
                let chunks = chunks.map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk)));
                let body = Body::wrap_stream(stream::iter(chunks));
                let answer = Client::new().post(server.url("/echo")).body(body).send();
                let mut chunks = answer.await.unwrap().bytes_stream();
                let mut received = 0;
                while let Some(chunk) = chunks.next().await {
                    for byte in chunk.unwrap() {
                        assert_eq!(byte, (received / BYTES) as u8);
                        received += 1;
                    }
                }
                assert_eq!(received, CHUNKS * BYTES);
            }
        })
        .await;
    });
}

#[test]
fn json_comes_back_as_it_was_sent() {
    let server = HttpServer::start();
    let url = server.url("/echo");
    run(move || async move {
        let sent = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
        let answer = Client::new().post(url).json(&sent).send().await.unwrap();
        assert_eq!(answer.json::<Vec<(String, i32)>>().await.unwrap(), sent);
    });
    drop(server);
}

#[test]
fn a_request_without_an_answer_times_out_and_is_ended_at_the_server() {
    let server = Arc::new(HttpServer::start());
    run(move || async move {
        let request = Client::new().get(server.url("/never"));
        let error = request
            .timeout(Duration::from_millis(50))
            .send()
            .await
            .unwrap_err();
        assert!(error.is_timeout(), "{error}");
        let late = Client::builder()
            .read_timeout(Duration::from_millis(50))
            .build()
            .unwrap();
        let late = evenkeel::spawn(late.get(server.url("/never")).send())
            .await
            .unwrap();
        assert!(late.unwrap_err().is_timeout());
        until(|| async { server.waiting() == 0 }).await;
    });
}

#[test]
fn a_request_that_is_dropped_is_ended_at_the_server() {
    let server = Arc::new(HttpServer::start());
    run(move || async move {
        for client in [Client::builder(), Client::builder().http2_prior_knowledge()] {
            let client = client.build().unwrap();
            let request = evenkeel::spawn(client.get(server.url("/never")).send());
            until(|| async { server.waiting() == 1 }).await;
            request.abort();
            assert!(request.await.unwrap_err().is_cancelled());
            until(|| async { server.waiting() == 0 }).await;
            let next = client.get(server.url("/hello/you")).send().await.unwrap();
            assert_eq!(next.text().await.unwrap(), "hello, you");
        }
    });
}

#[test]
fn a_server_that_goes_away_is_an_error() {
    run(|| async {
        let client = Client::new();
        let server = HttpServer::start();
        let (hello, never) = (server.url("/hello/you"), server.url("/never"));
        client
            .get(&hello)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let request = evenkeel::spawn(client.get(never).send());
        until(|| async { server.waiting() == 1 }).await;
        evenkeel::spawn_blocking(|| drop(server)).await.unwrap();
        assert!(request.await.unwrap().is_err());
        assert!(client.get(&hello).send().await.unwrap_err().is_connect());
    });
}

#[test]
fn the_blocking_client_works_on_the_blocking_pool() {
    let server = HttpServer::start();
    let url = server.url("/hello/you");
    run(move || async move {
        let text = || reqwest::blocking::get(url).unwrap().text().unwrap();
        assert_eq!(evenkeel::spawn_blocking(text).await.unwrap(), "hello, you");
    });
    drop(server);
}

#[test]
fn a_runtime_ends_with_requests_and_bodies_in_progress() {
    let server = Arc::new(HttpServer::start());
    watchdog(move || {
        for _ in 0..20 {
            let (runtime, client) = (runtime(), Client::new());
            let body = runtime.block_on(async {
                let idle = client.get(server.url("/hello/you")).send();
                idle.await.unwrap().text().await.unwrap();
                evenkeel::spawn(client.get(server.url("/never")).send());
                let chunks = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[0; 1000])));
                let body = Body::wrap_stream(chunks);
                let answer = client.post(server.url("/echo")).body(body).send();
                let mut body = answer.await.unwrap().bytes_stream();
                body.next().await.unwrap().unwrap();
                until(|| async { server.waiting() == 1 }).await;
                body
            });
            drop(runtime);
            // What is left of it is dropped where no runtime is any more.
            drop(body);
            drop(client);
            while server.waiting() != 0 {
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn a_client_goes_on_with_the_next_runtime() {
    let server = Arc::new(HttpServer::start());
    watchdog(move || {
        let client = Client::new();
        for _ in 0..3 {
            let url = server.url("/hello/you");
            // What it has kept of the runtime before is found to be closed, and not used.
            let text = runtime().block_on(async { client.get(url).send().await?.text().await });
            assert_eq!(text.unwrap(), "hello, you");
        }
    });
}
