//! works: tower (layers around a service of `evenkeel::serve`)
//! by: native (`evenkeel::serve`)
//! tested: `concurrency_limit` and `load_shed`, `retry`, `Buffer` with its worker spawned by hand,
//! `ServiceBuilder`, services that are not ready
//! threads: layers run in the task of the connection; the worker of a `Buffer` is a task of the IO
//! lane
//!
//! `timeout` and `rate_limit` use tokio's timers, and `ServiceBuilder::buffer` tokio's `spawn`: for
//! these there is the small runtime, and the file `tower.rs`.

mod native_support;
mod support;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel::net::TcpListener;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use native_support::{Http1, spawn_server};
use support::{IO_WORKER, run, thread_name, until};
use tokio::sync::Semaphore;
use tower::buffer::Buffer;
use tower::retry::{Policy, RetryLayer};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

type Answer = Response<String>;

fn answer(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response
}

/// Serves `service`, a connection for each request.
macro_rules! serve {
    ($service:expr) => {{
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = evenkeel::serve(listener, $service);
        let address: SocketAddr = server.local_addr().unwrap();
        spawn_server(server);
        address
    }};
}

#[test]
fn more_than_the_limit_are_shed() {
    run(|| async {
        let go = Arc::new(Semaphore::new(0));
        let inside = Arc::new(AtomicUsize::new(0));
        let (gate, count) = (go.clone(), inside.clone());
        let slow = service_fn(move |_: Request<Incoming>| {
            let gate = gate.clone();
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(answer(StatusCode::OK, "in time"))
            }
        });
        let service = ServiceBuilder::new()
            .map_result(|result: Result<Answer, BoxError>| {
                let busy =
                    |error: BoxError| answer(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
                Ok::<_, BoxError>(result.unwrap_or_else(busy))
            })
            .load_shed()
            .layer(tower::limit::GlobalConcurrencyLimitLayer::new(2))
            .service(slow);
        let address = serve!(service);
        let get =
            move || evenkeel::spawn(async move { Http1::connect(address).await.get("/").await });
        let inner = [get(), get()];
        until(|| async { inside.load(Ordering::SeqCst) == 2 }).await;
        assert_eq!(get().await.unwrap().0, 503);
        go.add_permits(2);
        for request in inner {
            assert_eq!(request.await.unwrap(), (200, "in time".to_owned()));
        }
        let third = get();
        until(|| async { inside.load(Ordering::SeqCst) == 3 }).await;
        go.add_permits(1);
        assert_eq!(third.await.unwrap().0, 200);
    });
}

/// Again and again, up to five times.
#[derive(Clone)]
struct Again(usize);

impl Policy<u32, u32, io::Error> for Again {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut u32, result: &mut Result<u32, io::Error>) -> Option<Ready<()>> {
        if result.is_ok() || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &u32) -> Option<u32> {
        Some(*request)
    }
}

#[test]
fn what_fails_is_tried_again() {
    run(|| async {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        let flaky = service_fn(move |number: u32| {
            let call = count.fetch_add(1, Ordering::SeqCst);
            async move {
                evenkeel::task::yield_now().await;
                if call < 3 {
                    return Err(io::Error::other("not yet"));
                }
                Ok(number + 1)
            }
        });
        let mut service = ServiceBuilder::new()
            .layer(RetryLayer::new(Again(5)))
            .service(flaky);
        assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 2);
        assert_eq!(calls.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn a_buffer_whose_worker_is_our_task_shares_a_service() {
    run(|| async {
        let mut requests = 0;
        let one = service_fn(move |()| {
            requests += 1;
            ready(Ok::<_, io::Error>(requests))
        });
        let (buffer, worker) = Buffer::pair(one, 4);
        let worker = evenkeel::spawn(worker);
        let service = service_fn(move |_: Request<Incoming>| {
            let buffer = buffer.clone();
            async move {
                let number = buffer.oneshot(()).await?;
                Ok::<_, BoxError>(answer(
                    StatusCode::OK,
                    format!("{number} {}", thread_name()),
                ))
            }
        });
        let address = serve!(service);
        let requests: Vec<_> = (0..20)
            .map(|_| evenkeel::spawn(async move { Http1::connect(address).await.get("/").await.1 }))
            .collect();
        let mut numbers = Vec::new();
        for request in requests {
            let text = request.await.unwrap();
            let (number, thread) = text.split_once(' ').unwrap();
            assert!(thread.starts_with(IO_WORKER), "{thread}");
            numbers.push(number.parse::<u32>().unwrap());
        }
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=20));
        assert!(!worker.is_finished());
    });
}
