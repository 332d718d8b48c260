//! An HTTP server on a thread of its own, with a runtime of tokio's.

use super::process::Peer;
use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ends when it is dropped, with all of its connections.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    waiting: Arc<AtomicUsize>,
    _peer: Peer,
}

impl HttpServer {
    pub(crate) fn start() -> HttpServer {
        let waiting = Arc::new(AtomicUsize::new(0));
        let router = Router::new()
            .route("/peer", get(peer))
            .route("/hello/{name}", get(hello))
            .route("/header", get(header))
            .route("/echo", post(echo))
            .route("/never", get(never))
            .with_state(waiting.clone());
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        let (peer, address) = Peer::start(async move |told| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
        HttpServer {
            address,
            waiting,
            _peer: peer,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests wait for an answer that does not come.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

/// The port of the client, by which connections are told apart.
async fn peer(ConnectInfo(address): ConnectInfo<SocketAddr>) -> String {
    address.port().to_string()
}

async fn hello(Path(name): Path<String>) -> String {
    format!("hello, {name}")
}

async fn header(headers: HeaderMap) -> String {
    let name = headers.get("x-name").and_then(|name| name.to_str().ok());
    name.unwrap_or_default().to_owned()
}

async fn echo(request: Request) -> Body {
    request.into_body()
}

struct Waits(Arc<AtomicUsize>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn never(State(waiting): State<Arc<AtomicUsize>>) -> impl IntoResponse {
    waiting.fetch_add(1, Ordering::SeqCst);
    let _waits = Waits(waiting);
    future::pending::<()>().await;
}
