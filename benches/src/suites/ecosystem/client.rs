//! A handler that asks another server by hyper-util's pooled client: by Evenkeel's connector and
//! executor, and by hyper-util's own, on tokio and inside of Evenkeel's tasks.

use std::io;
use std::net::Ipv4Addr;
use std::thread;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

use super::serve::{on_evenkeel, on_tokio};
use crate::closed_loop::{Protocol, generate_load};
use crate::harness::{Contender, Setup};
use crate::runtimes::{Evenkeel, Runtime, Tokio};
use crate::suites::http::Hello;

const CONNECTIONS: usize = 64;

pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(Evenkeel::NAME, |setup| on_evenkeel(setup, by_evenkeel)),
    Contender::new("evenkeel+TokioExecutor", |setup| {
        on_evenkeel(setup, by_tokio)
    }),
    Contender::new(Tokio::NAME, |setup| on_tokio(setup, by_tokio)),
];

type Asker<C> = Client<C, Empty<Bytes>>;

async fn by_evenkeel() -> Router {
    let executor = evenkeel::hyper::Executor::new();
    app(Client::builder(executor).build(evenkeel::hyper::Connector::new()))
}

async fn by_tokio() -> Router {
    let mut connector = HttpConnector::new();
    // Evenkeel's does it by itself.
    connector.set_nodelay(true);
    app(Client::builder(TokioExecutor::new()).build(connector))
}

fn app<C: Connect + Clone + Send + Sync + 'static>(client: Asker<C>) -> Router {
    Router::new()
        .route("/{port}", get(ask::<C>))
        .with_state(client)
}

/// Passes the answer of the server at `port` on.
async fn ask<C>(State(client): State<Asker<C>>, Path(port): Path<u16>) -> Bytes
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let uri = format!("http://127.0.0.1:{port}/");
    let answer = client.get(uri.parse().expect("a URL")).await;
    let body = answer.expect("an answer").into_body().collect().await;
    body.expect("a body").to_bytes()
}

/// What tells the server whom to ask.
struct Forward(String);

impl Protocol for Forward {
    fn request(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn answer_bytes(&self, start: &[u8]) -> Option<usize> {
        Hello.answer_bytes(start)
    }

    fn is_right(&self, answer: &[u8]) -> bool {
        Hello.is_right(answer)
    }
}

/// The load's process has the other server too, so that its CPU is not counted.
pub(super) fn load(setup: &Setup) -> Result<Vec<f64>, String> {
    let port = start_other().map_err(|error| error.to_string())?;
    let forward = Forward(format!("GET /{port} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    generate_load(&forward, CONNECTIONS, setup.window).map(|found| found.by_request())
}

/// Starts the server that is asked, on a thread that lives as long as the process.
fn start_other() -> io::Result<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        let app = Router::new().route("/", get(|| async { "hello" }));
        runtime.block_on(async { axum::serve(listener, app).await })
    });
    Ok(port)
}
