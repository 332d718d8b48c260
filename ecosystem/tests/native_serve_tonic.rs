//! works: tonic + tonic-prost (its services on `evenkeel::serve`, its client on our sockets)
//! by: native (`evenkeel::serve`, `evenkeel::hyper`)
//! tested: `Routes`, interceptors, unary calls, streams both ways, statuses, deadlines,
//! cancelled calls, the peer's address, 64 calls at once, HTTP/1 beside gRPC, graceful shutdown,
//! the end of the runtime with open calls
//! threads: the service, and the connections of both sides, on the workers of the IO lane; only the
//! timers of deadlines are those of the small runtime

mod native_support;
mod support;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel::JoinHandle;
use evenkeel::hyper::Executor;
use evenkeel::net::{TcpListener, TcpStream};
use futures_util::{StreamExt, stream};
use native_support::{Http1, spawn_server};
use support::sums::{Client, Sums};
use support::{IO_WORKER, run, runtime, until, watchdog};
use tokio::sync::oneshot;
use tonic::Code;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

struct Server {
    address: SocketAddr,
    sums: Sums,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

async fn serve() -> Server {
    let sums = Sums::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = evenkeel::serve(listener, Routes::new(sums.clone()))
        .with_graceful_shutdown(async { drop(stopped.await) });
    Server {
        address: server.local_addr().unwrap(),
        sums,
        stop,
        serving: spawn_server(server),
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.executor(Executor::new())
}

/// A channel whose connections are our sockets.
async fn connect(endpoint: &Endpoint) -> Client {
    let connector = service_fn(|uri: Uri| async move {
        let address = uri.authority().unwrap().as_str().to_owned();
        TcpStream::connect(address).await
    });
    Client::new(endpoint.connect_with_connector(connector).await.unwrap())
}

#[test]
fn calls_of_all_kinds_are_answered() {
    run(|| async {
        let server = serve().await;
        let mut client = connect(&endpoint(server.address)).await;
        assert_eq!(client.double(4).await.unwrap(), 8);
        let mut numbers = client.count(1000).await.unwrap();
        let mut next = 0;
        while let Some(number) = numbers.message().await.unwrap() {
            assert_eq!(number.value, next);
            next += 1;
        }
        assert_eq!(next, 1000);
        assert_eq!(client.sum(stream::iter(1..=100)).await.unwrap(), 5050);
        let running = client.running(stream::iter(1..=4)).await.unwrap();
        let running: Vec<_> = running.map(|number| number.unwrap().value).collect().await;
        assert_eq!(running, [1, 3, 6, 10]);
    });
}

#[test]
fn statuses_come_through() {
    run(|| async {
        let server = serve().await;
        let mut client = connect(&endpoint(server.address)).await;
        let error = client.double(u64::MAX).await.unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange);
        let error = client.missing().await.unwrap_err();
        assert_eq!(error.code(), Code::Unimplemented);
    });
}

#[test]
fn the_service_runs_on_the_workers() {
    run(|| async {
        let server = serve().await;
        let mut client = connect(&endpoint(server.address)).await;
        let name = client.thread().await.unwrap();
        assert!(name.starts_with(IO_WORKER), "{name}");
    });
}

#[test]
fn a_call_ends_at_its_deadline_and_when_it_is_dropped() {
    run(|| async {
        let server = serve().await;
        let short = endpoint(server.address).timeout(Duration::from_millis(50));
        let error = connect(&short).await.never().await.unwrap_err();
        assert!(
            matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled),
            "{error}"
        );
        let mut client = connect(&endpoint(server.address)).await;
        let call = evenkeel::spawn(async move { client.never().await });
        until(|| async { server.sums.calls() > 0 }).await;
        call.abort();
        until(|| async { server.sums.calls() == 0 }).await;
    });
}

#[test]
fn sixty_four_calls_share_a_connection() {
    run(|| async {
        let server = serve().await;
        let client = connect(&endpoint(server.address)).await;
        let calls: Vec<_> = (0..64)
            .map(|number| {
                let mut client = client.clone();
                evenkeel::spawn(async move { client.double(number).await })
            })
            .collect();
        for (number, call) in (0..).zip(calls) {
            assert_eq!(call.await.unwrap().unwrap(), 2 * number);
        }
    });
}

#[test]
fn an_interceptor_knows_the_peer() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local_addr = listener.local_addr().unwrap();
        let (seen, mut peers) = tokio::sync::mpsc::unbounded_channel();
        let service = tonic::service::interceptor::InterceptedService::new(
            Sums::default(),
            move |request: tonic::Request<()>| {
                seen.send(request.remote_addr()).unwrap();
                Ok(request)
            },
        );
        let server =
            evenkeel::serve(listener, Routes::new(service)).with_connect_info(move |addr| {
                TcpConnectInfo {
                    local_addr: Some(local_addr),
                    remote_addr: Some(addr),
                }
            });
        spawn_server(server);
        let mut client = connect(&endpoint(local_addr)).await;
        assert_eq!(client.double(1).await.unwrap(), 2);
        let peer = peers.recv().await.unwrap().unwrap();
        assert!(peer.ip().is_loopback() && peer != local_addr);
    });
}

#[test]
fn what_is_no_grpc_gets_an_answer_beside_it() {
    run(|| async {
        let server = serve().await;
        let mut client = connect(&endpoint(server.address)).await;
        let mut other = Http1::connect(server.address).await;
        let (status, _) = other.get("/").await;
        assert_eq!(status, 200, "a gRPC status is in the headers of a 200");
        assert_eq!(client.double(1).await.unwrap(), 2);
    });
}

#[test]
fn a_graceful_shutdown_lets_streams_end() {
    run(|| async {
        let server = serve().await;
        let mut client = connect(&endpoint(server.address)).await;
        let (numbers, more) = tokio::sync::mpsc::channel(1);
        let more = tokio_stream::wrappers::ReceiverStream::new(more);
        let mut running = client.running(more).await.unwrap();
        numbers.send(1).await.unwrap();
        assert_eq!(running.message().await.unwrap().unwrap().value, 1);
        server.stop.send(()).unwrap();
        // The listener is closed, and the stream goes on.
        until(|| async { TcpStream::connect(server.address).await.is_err() }).await;
        numbers.send(2).await.unwrap();
        assert_eq!(running.message().await.unwrap().unwrap().value, 3);
        drop(numbers);
        assert_eq!(running.message().await.unwrap(), None);
        server.serving.await.unwrap().unwrap();
    });
}

#[test]
fn the_runtime_ends_with_open_calls() {
    watchdog(|| {
        let runtime = runtime();
        let sums = runtime.block_on(async {
            let server = serve().await;
            let mut client = connect(&endpoint(server.address)).await;
            evenkeel::spawn(async move { client.never().await });
            until(|| async { server.sums.calls() > 0 }).await;
            server.sums
        });
        drop(runtime);
        assert_eq!(sums.calls(), 0);
    });
}
