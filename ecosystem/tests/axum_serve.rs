//! works: axum (`axum::serve`)
//! by: tokio-rt
//! tested: HTTP/1 and 2, 200 connections, handlers that compute on the compute lane, a handler that
//! panics, WebSockets, graceful shutdown, the end of the runtime with open connections
//! threads: the loop that accepts where it is awaited; connections and handlers on the thread of
//! the small runtime, one for all: for more than that, `evenkeel::serve`
//!
//! The WebSocket client is tokio-tungstenite's.

mod support;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use reqwest::Client;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use support::{MEANT, SMALL_RUNTIME, run, runtime, thread_name, until, watchdog};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as ClientMessage;

struct Serving {
    address: SocketAddr,
    end: Arc<Notify>,
    task: evenkeel::JoinHandle<io::Result<()>>,
    /// A request for `/slow` is there.
    slow: Arc<Notify>,
    /// Lets its handler go on.
    go_on: Arc<Notify>,
}

async fn serve() -> Serving {
    let [end, slow, go_on] = [(); 3].map(|()| Arc::new(Notify::new()));
    let (arrived, gate) = (slow.clone(), go_on.clone());
    let wait = async move || {
        arrived.notify_one();
        gate.notified().await;
    };
    let router = Router::new()
        .route("/thread", get(async || thread_name()))
        .route("/compute", get(compute))
        .route("/panic", get(async || -> String { panic!("{MEANT}") }))
        .route("/slow", get(wait))
        .route(
            "/endless",
            get(async || Body::from_stream(stream::repeat(chunk()))),
        )
        .route("/socket", get(socket));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ended = end.clone();
    let serving = axum::serve(listener, router);
    let serving = serving.with_graceful_shutdown(async move { ended.notified().await });
    let task = evenkeel::spawn(async { serving.await });
    Serving {
        address,
        end,
        task,
        slow,
        go_on,
    }
}

fn chunk() -> Result<Bytes, Infallible> {
    Ok(Bytes::from_static(&[0; 1000]))
}

async fn compute() -> String {
    let sum = evenkeel::spawn_compute(|| (0..1_000_000_u64).sum::<u64>());
    evenkeel::time::sleep(std::time::Duration::from_millis(1)).await;
    sum.await.unwrap().to_string()
}

async fn socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                let answer = Message::Text(format!("{text}!").into());
                if socket.send(answer).await.is_err() {
                    break;
                }
            }
        }
    })
}

impl Serving {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, client: &Client, path: &str) -> reqwest::Result<String> {
        client
            .get(self.url(path))
            .send()
            .await?
            .error_for_status()?
            .text()
            .await
    }
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_run_on_the_thread_of_the_small_runtime() {
    let serving = serve().await;
    let text = serving.get(&Client::new(), "/thread").await;
    assert_eq!(text.unwrap(), SMALL_RUNTIME);
}

#[test]
fn a_handler_uses_the_compute_lane_and_the_timers_of_the_runtime() {
    run(|| async {
        let serving = serve().await;
        for client in [Client::builder(), Client::builder().http2_prior_knowledge()] {
            let text = serving.get(&client.build().unwrap(), "/compute").await;
            assert_eq!(text.unwrap(), "499999500000");
        }
    });
}

#[test]
fn many_connections_are_served_at_once() {
    run(|| async {
        let serving = Arc::new(serve().await);
        let clients: Vec<_> = (0..200)
            .map(|_| {
                let serving = serving.clone();
                // Each has connections of its own.
                evenkeel::spawn(async move {
                    let client = Client::new();
                    for _ in 0..3 {
                        serving.get(&client, "/thread").await.unwrap();
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
}

#[test]
fn a_handler_that_panics_costs_its_connection_and_nothing_else() {
    run(|| async {
        let (serving, client) = (serve().await, Client::new());
        assert!(serving.get(&client, "/panic").await.is_err());
        serving.get(&client, "/thread").await.unwrap();
    });
}

#[test]
fn messages_go_both_ways_over_a_websocket() {
    run(|| async {
        let serving = serve().await;
        let url = format!("ws://{}/socket", serving.address);
        let talks: Vec<_> = (0..16)
            .map(|number| {
                let url = url.clone();
                evenkeel::spawn(async move {
                    let (mut socket, _) = connect_async(url).await.unwrap();
                    for round in 0..20 {
                        let text = format!("{number} {round}");
                        socket.send(ClientMessage::text(&text)).await.unwrap();
                        let answer = socket.next().await.unwrap().unwrap();
                        assert_eq!(answer.into_text().unwrap(), format!("{text}!"));
                    }
                    socket.close(None).await.unwrap();
                    while let Some(Ok(_)) = socket.next().await {}
                })
            })
            .collect();
        for talk in talks {
            talk.await.unwrap();
        }
    });
}

#[test]
fn requests_in_progress_are_answered_before_a_server_ends() {
    run(|| async {
        let (serving, client) = (serve().await, Client::new());
        let request = evenkeel::spawn(client.get(serving.url("/slow")).send());
        serving.slow.notified().await;
        serving.end.notify_one();
        until(|| async {
            tokio::net::TcpStream::connect(serving.address)
                .await
                .is_err()
        })
        .await;
        assert!(!serving.task.is_finished());
        serving.go_on.notify_one();
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
        serving.task.await.unwrap().unwrap();
    });
}

#[test]
fn a_runtime_ends_with_open_connections() {
    watchdog(|| {
        for _ in 0..20 {
            let (runtime, client) = (runtime(), Client::new());
            let (body, socket) = runtime.block_on(async {
                let serving = serve().await;
                serving.get(&client, "/thread").await.unwrap();
                evenkeel::spawn(client.get(serving.url("/slow")).send());
                let answer = client.get(serving.url("/endless")).send().await.unwrap();
                let mut body = answer.bytes_stream();
                body.next().await.unwrap().unwrap();
                let url = format!("ws://{}/socket", serving.address);
                let (mut socket, _) = connect_async(url).await.unwrap();
                socket.send(ClientMessage::text("x")).await.unwrap();
                (body, socket)
            });
            drop(runtime);
            drop((body, socket, client));
        }
    });
}
