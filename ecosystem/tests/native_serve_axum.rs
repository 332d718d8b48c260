//! works: axum (its `Router` on `evenkeel::serve`)
//! by: native (`evenkeel::serve`)
//! tested: routes, state, extractors, streamed bodies, `ConnectInfo`, WebSocket, method routers and
//! handlers alone, curl with HTTP/1.1 and 2, 100 connections at once, graceful shutdown, a handler
//! that panics, the end of the runtime
//! threads: handlers on the workers of the IO lane; what `WebSocketUpgrade::on_upgrade` spawns on
//! the thread of the small runtime, since axum calls `tokio::spawn` there

mod native_support;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Path, State};
use axum::handler::HandlerWithoutStateExt;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{any, get, post};
use bytes::Bytes;
use evenkeel::JoinHandle;
use evenkeel::net::{TcpListener, TcpStream};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::Request;
use native_support::{Http1, curl, read, spawn_server};
use support::{IO_WORKER, MEANT, SMALL_RUNTIME, run, runtime, thread_name, watchdog};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite;

type Count = Arc<AtomicUsize>;

fn app(count: Count) -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/count", get(counted))
        .route("/add/{a}/{b}", get(sum))
        .route("/echo", post(|body: Body| async { body }))
        .route(
            "/length",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/peer", get(peer))
        .route("/thread", get(|| async { thread_name() }))
        .route("/compute", get(compute))
        .route("/panic", get(panics))
        .route("/never", get(std::future::pending::<()>))
        .route("/socket", any(socket))
        .with_state(count)
}

async fn counted(State(count): State<Count>) -> String {
    count.fetch_add(1, Ordering::SeqCst).to_string()
}

async fn sum(Path((a, b)): Path<(u32, u32)>) -> Result<String, StatusCode> {
    let sum = a.checked_add(b).ok_or(StatusCode::UNPROCESSABLE_ENTITY)?;
    Ok(sum.to_string())
}

async fn peer(ConnectInfo(addr): ConnectInfo<SocketAddr>) -> String {
    addr.to_string()
}

async fn panics() {
    panic!("{MEANT}")
}

async fn compute() -> String {
    evenkeel::spawn_compute(thread_name).await.unwrap()
}

async fn socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        socket.send(Message::text(thread_name())).await.unwrap();
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(text) = message {
                socket.send(Message::Text(text)).await.unwrap();
            }
        }
    })
}

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

async fn serve() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = evenkeel::serve(listener, app(Count::default()))
        .with_connect_info(ConnectInfo::<SocketAddr>)
        .with_graceful_shutdown(async { drop(stopped.await) });
    Server {
        address: server.local_addr().unwrap(),
        stop,
        serving: spawn_server(server),
    }
}

#[test]
fn a_router_answers() {
    run(|| async {
        let server = serve().await;
        let mut client = Http1::connect(server.address).await;
        assert_eq!(client.get("/").await, (200, "hello".to_owned()));
        for count in 0..3 {
            assert_eq!(client.get("/count").await.1, count.to_string());
        }
        assert_eq!(client.get("/add/2/3").await, (200, "5".to_owned()));
        assert_eq!(client.get("/add/4294967295/1").await.0, 422);
        assert_eq!(client.get("/add/two/1").await.0, 400);
        assert_eq!(client.get("/missing").await.0, 404);
        assert_eq!(client.get("/echo").await.0, 405);
    });
}

#[test]
fn bodies_are_streamed_both_ways() {
    run(|| async {
        let server = serve().await;
        let mut client = Http1::connect(server.address).await;
        let body = Bytes::from(vec![b'x'; 1_500_000]);
        let request = |path| {
            let request = Request::post(path).header("host", "localhost");
            request.body(Full::new(body.clone())).unwrap()
        };
        let (status, text) = read(client.send(request("/echo")).await.unwrap()).await;
        assert_eq!((status, text.len()), (200, body.len()));
        // axum's own limit of 2 MB is not reached.
        let (status, text) = read(client.send(request("/length")).await.unwrap()).await;
        assert_eq!((status, text.as_str()), (200, "1500000"));
    });
}

#[test]
fn handlers_run_on_workers_and_compute_on_the_compute_lane() {
    run(|| async {
        let server = serve().await;
        let mut client = Http1::connect(server.address).await;
        let (_, name) = client.get("/thread").await;
        assert!(name.starts_with(IO_WORKER), "{name}");
        let (_, name) = client.get("/compute").await;
        assert!(name.starts_with("evenkeel-cpu-"), "{name}");
    });
}

#[test]
fn axums_connect_info_is_there() {
    run(|| async {
        let server = serve().await;
        for _ in 0..2 {
            let mut client = Http1::connect(server.address).await;
            let (status, addr) = client.get("/peer").await;
            assert_eq!(status, 200);
            let addr: SocketAddr = addr.parse().unwrap();
            assert!(addr.ip().is_loopback());
            assert_eq!(client.get("/peer").await.1, addr.to_string());
        }
    });
}

#[test]
fn method_routers_and_handlers_are_served_without_a_router() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = evenkeel::serve(listener, get(|| async { "a method router" }));
        let address = server.local_addr().unwrap();
        spawn_server(server);
        let answer = Http1::connect(address).await.get("/any").await;
        assert_eq!(answer, (200, "a method router".to_owned()));

        let handler = (|| async { "a handler" }).into_service();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = evenkeel::serve(listener, handler);
        let address = server.local_addr().unwrap();
        spawn_server(server);
        let answer = Http1::connect(address).await.get("/any").await;
        assert_eq!(answer, (200, "a handler".to_owned()));
    });
}

#[test]
fn curl_is_answered_in_both_versions() {
    run(|| async {
        let server = serve().await;
        let url = format!("http://{}/count", server.address);
        let echo = format!("http://{}/echo", server.address);
        let format = "%{http_version} %{http_code} ";
        for (option, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
            let arguments = [option, "--write-out", format, "--output", "/dev/null"];
            // Two requests of one connection, of which the second goes to the standard output. The
            // curl of Debian 12 fails when it uses HTTP/2 without TLS again (curl/curl#10634).
            let urls: &[&str] = match version {
                "2" => &[&url],
                _ => &[&url, &url],
            };
            let Some(out) = curl(&[&arguments[..], urls].concat()).await else {
                return;
            };
            let said = format!("{version} 200 ");
            assert_eq!(out.matches(&said).count(), urls.len(), "{out}");
            let data = "x".repeat(100_000);
            let out = curl(&[option, "--data-binary", &data, &echo]).await;
            assert_eq!(out.unwrap(), data);
        }
    });
}

#[test]
fn a_hundred_connections_at_once_are_answered() {
    run(|| async {
        let server = serve().await;
        let address = server.address;
        let clients: Vec<_> = (0..100)
            .map(|_| {
                evenkeel::spawn(async move {
                    let mut client = Http1::connect(address).await;
                    for _ in 0..5 {
                        assert_eq!(client.get("/").await.1, "hello");
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
fn a_websocket_is_upgraded_and_spoken() {
    run(|| async {
        let server = serve().await;
        let stream = TcpStream::connect(server.address).await.unwrap();
        let url = format!("ws://{}/socket", server.address);
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let thread = socket.next().await.unwrap().unwrap();
        assert_eq!(thread.to_text().unwrap(), SMALL_RUNTIME);
        for text in ["one", "two"] {
            socket.send(tungstenite::Message::text(text)).await.unwrap();
            let answer = socket.next().await.unwrap().unwrap();
            assert_eq!(answer.to_text().unwrap(), text);
        }
        socket.close(None).await.unwrap();
        while let Some(message) = socket.next().await {
            assert!(message.unwrap().is_close());
        }
    });
}

#[test]
fn a_handler_that_panics_takes_its_connection_alone() {
    run(|| async {
        let server = serve().await;
        let mut other = Http1::connect(server.address).await;
        other.get("/").await;
        let mut client = Http1::connect(server.address).await;
        let request = native_support::get("/panic");
        assert!(client.send(request).await.is_err());
        assert_eq!(other.get("/").await.1, "hello");
    });
}

#[test]
fn a_graceful_shutdown_ends_when_all_is_answered() {
    run(|| async {
        let server = serve().await;
        let mut client = Http1::connect(server.address).await;
        client.get("/").await;
        server.stop.send(()).unwrap();
        server.serving.await.unwrap().unwrap();
        assert!(client.send(native_support::get("/")).await.is_err());
        assert!(TcpStream::connect(server.address).await.is_err());
    });
}

#[test]
fn the_runtime_ends_with_open_connections() {
    watchdog(|| {
        let runtime = runtime();
        runtime.block_on(async {
            let server = serve().await;
            let mut client = Http1::connect(server.address).await;
            client.get("/").await;
            let never = async move { client.send(native_support::get("/never")).await.is_ok() };
            evenkeel::spawn(never);
            let mut idle = Http1::connect(server.address).await;
            idle.get("/").await;
        });
        drop(runtime);
    });
}
