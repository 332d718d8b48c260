//! works: tonic + tonic-prost (its own server and client)
//! by: tokio-rt
//! tested: unary calls, streams both ways, statuses, deadlines, cancelled calls, 64 calls at once,
//! a server that comes back, graceful shutdown, the end of the runtime with open calls
//! threads: calls of a client where they are awaited; the service, all connections and the buffers
//! of channels on the thread of the small runtime
//!
//! A service whose handlers compute hands that to `spawn_compute`, as anywhere.

mod support;

use futures_util::StreamExt;
use futures_util::stream;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use support::sums::{Client, Sums};
use support::{SMALL_RUNTIME, everywhere, run, runtime, until, watchdog};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Server};

type Serving = evenkeel::JoinHandle<Result<(), tonic::transport::Error>>;

/// A server in a task of Evenkeel's, until it is notified.
async fn serve(address: &str) -> (SocketAddr, Sums, Arc<Notify>, Serving) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sums, end) = (Sums::default(), Arc::new(Notify::new()));
    let serving = Server::builder().add_service(sums.clone());
    let ended = end.clone();
    let serving = evenkeel::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        serving
            .serve_with_incoming_shutdown(incoming, ended.notified())
            .await
    });
    (address, sums, end, serving)
}

async fn connect(address: SocketAddr) -> Client {
    Client::new(endpoint(address).connect().await.unwrap())
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Channel::from_shared(format!("http://{address}")).unwrap()
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_answered() {
    let (address, ..) = serve("127.0.0.1:0").await;
    assert_eq!(connect(address).await.double(4).await.unwrap(), 8);
}

#[test]
fn calls_of_all_kinds_are_answered_wherever_they_are_made() {
    run(|| async {
        let (address, ..) = serve("127.0.0.1:0").await;
        everywhere(move || async move {
            let mut client = connect(address).await;
            assert_eq!(client.double(21).await.unwrap(), 42);
            let counted: Vec<_> = client.count(1000).await.unwrap().collect().await;
            let counted = counted.into_iter().map(|number| number.unwrap().value);
            assert!(counted.eq(0..1000));
            let sum = client.sum(stream::iter(0..1000));
            assert_eq!(sum.await.unwrap(), 499_500);
            let running = client.running(stream::iter(1..=4)).await.unwrap();
            let running: Vec<_> = running.map(|number| number.unwrap().value).collect().await;
            assert_eq!(running, [1, 3, 6, 10]);
        })
        .await;
    });
}

/// Each number is sent once the sum before it has come.
#[test]
fn a_stream_goes_both_ways_at_once() {
    run(|| async {
        let (address, ..) = serve("127.0.0.1:0").await;
        let mut client = connect(address).await;
        let (send, receive) = evenkeel::sync::mpsc::channel(1);
        send.send(0).await.unwrap();
        let numbers = tokio_stream::wrappers::ReceiverStream::new(receive);
        let mut sums = client.running(numbers).await.unwrap();
        for number in 0..200 {
            assert_eq!(sums.message().await.unwrap().unwrap().value, number);
            send.send(1).await.unwrap();
        }
        drop(send);
        assert_eq!(sums.message().await.unwrap().unwrap().value, 200);
        assert_eq!(sums.message().await.unwrap(), None);
    });
}

#[test]
fn statuses_of_the_service_arrive() {
    run(|| async {
        let (address, ..) = serve("127.0.0.1:0").await;
        let mut client = connect(address).await;
        assert_eq!(
            client.double(u64::MAX).await.unwrap_err().code(),
            Code::OutOfRange
        );
        assert_eq!(
            client.missing().await.unwrap_err().code(),
            Code::Unimplemented
        );
    });
}

#[test]
fn many_calls_at_once_are_answered() {
    run(|| async {
        let (address, ..) = serve("127.0.0.1:0").await;
        let client = connect(address).await;
        let calls: Vec<_> = (0..64)
            .map(|number| {
                let mut client = client.clone();
                evenkeel::spawn(async move { (number, client.double(number).await.unwrap()) })
            })
            .collect();
        for call in calls {
            let (number, answer) = call.await.unwrap();
            assert_eq!(answer, 2 * number);
        }
    });
}

#[test]
fn a_deadline_ends_a_call_on_both_sides() {
    run(|| async {
        let (address, sums, ..) = serve("127.0.0.1:0").await;
        let endpoint = endpoint(address).timeout(Duration::from_millis(30));
        let mut client = Client::new(endpoint.connect().await.unwrap());
        let code = client.never().await.unwrap_err().code();
        assert!(
            [Code::Cancelled, Code::DeadlineExceeded].contains(&code),
            "{code}"
        );
        until(|| async { sums.calls() == 0 }).await;
    });
}

#[test]
fn a_call_that_is_dropped_is_cancelled_at_the_server() {
    run(|| async {
        let (address, sums, ..) = serve("127.0.0.1:0").await;
        let mut client = connect(address).await;
        let mut other = client.clone();
        let call = evenkeel::spawn(async move { other.never().await });
        until(|| async { sums.calls() == 1 }).await;
        call.abort();
        until(|| async { sums.calls() == 0 }).await;
        // And a stream of which not all was read.
        let mut numbers = client.count(u64::MAX).await.unwrap();
        assert_eq!(numbers.message().await.unwrap().unwrap().value, 0);
        assert_eq!(sums.calls(), 1);
        drop(numbers);
        until(|| async { sums.calls() == 0 }).await;
        assert_eq!(client.double(1).await.unwrap(), 2);
    });
}

#[test]
fn a_channel_finds_a_server_that_comes_back() {
    run(|| async {
        let (address, _, end, serving) = serve("127.0.0.1:0").await;
        let mut client = Client::new(endpoint(address).connect_lazy());
        assert_eq!(client.double(1).await.unwrap(), 2);
        end.notify_one();
        serving.await.unwrap().unwrap();
        let gone = client.clone();
        until(move || {
            let mut gone = gone.clone();
            async move {
                gone.double(1)
                    .await
                    .is_err_and(|error| error.code() == Code::Unavailable)
            }
        })
        .await;
        let _server = serve(&address.to_string()).await;
        until(|| {
            let mut client = client.clone();
            async move { client.double(1).await.is_ok_and(|answer| answer == 2) }
        })
        .await;
    });
}

#[test]
fn calls_in_progress_are_answered_before_the_server_ends() {
    run(|| async {
        let (address, sums, end, serving) = serve("127.0.0.1:0").await;
        let mut client = connect(address).await;
        let mut numbers = client.count(100_000).await.unwrap();
        assert_eq!(numbers.message().await.unwrap().unwrap().value, 0);
        end.notify_one();
        let mut last = 0;
        while let Some(number) = numbers.message().await.unwrap() {
            last = number.value;
        }
        assert_eq!(last, 99_999);
        serving.await.unwrap().unwrap();
        assert_eq!(sums.calls(), 0);
        assert!(connects(address).await.is_err());
    });
}

async fn connects(address: SocketAddr) -> Result<Channel, tonic::transport::Error> {
    endpoint(address).connect().await
}

#[test]
fn the_service_runs_on_the_thread_of_the_small_runtime() {
    run(|| async {
        let (address, ..) = serve("127.0.0.1:0").await;
        assert_eq!(
            connect(address).await.thread().await.unwrap(),
            SMALL_RUNTIME
        );
    });
}

#[test]
fn a_runtime_ends_with_calls_and_streams_in_progress() {
    watchdog(|| {
        for _ in 0..20 {
            let runtime = runtime();
            let sums = runtime.block_on(async {
                let (address, sums, ..) = serve("127.0.0.1:0").await;
                let mut client = connect(address).await;
                let mut other = client.clone();
                evenkeel::spawn(async move { other.never().await });
                let mut numbers = client.count(u64::MAX).await.unwrap();
                evenkeel::spawn(async move { while numbers.message().await.is_ok() {} });
                until(|| async { sums.calls() == 2 }).await;
                sums
            });
            drop(runtime);
            assert_eq!(sums.calls(), 0);
        }
    });
}

#[test]
fn a_channel_outlives_its_runtime_and_says_so() {
    watchdog(|| {
        let first = runtime();
        let (client, address) = first.block_on(async {
            let (address, ..) = serve("127.0.0.1:0").await;
            let mut client = connect(address).await;
            client.double(1).await.unwrap();
            (client, address)
        });
        drop(first);
        let second = runtime();
        second.block_on(async {
            let _server = serve(&address.to_string()).await;
            let mut gone = client.clone();
            assert!(gone.double(1).await.is_err());
            assert_eq!(connect(address).await.double(1).await.unwrap(), 2);
        });
        drop(client);
    });
}
