//! works: tokio-util + tokio-stream
//! by: tokio-rt
//! tested: `Framed` with codecs over Evenkeel's sockets, `StreamReader`, `CancellationToken`,
//! `TaskTracker`, `DelayQueue`, `LocalPoolHandle`, `StreamExt::{timeout, throttle}`, streams over
//! channels and intervals, `AbortOnDropHandle`
//! threads: all where it is awaited; their timers on the thread of the small runtime, tasks of a
//! `LocalPoolHandle` on threads of its own
//!
//! Their timers run in real time while Evenkeel's clock is paused.

mod support;

use bytes::Bytes;
use evenkeel::net::{TcpListener, TcpStream};
use futures_util::{SinkExt, StreamExt};
use std::io;
use std::time::Duration;
use support::{everywhere, run, runtime, watchdog};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{IntervalStream, ReceiverStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec};
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, LocalPoolHandle, TaskTracker};
use tokio_util::time::DelayQueue;

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = TcpStream::connect(listener.local_addr().unwrap());
    let (client, server) = evenkeel::join!(connect, listener.accept());
    (client.unwrap(), server.unwrap().0)
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_go_both_ways_over_a_socket() {
    let (client, server) = tcp_pair().await;
    let serving = evenkeel::spawn(async {
        let mut lines = Framed::new(server, LinesCodec::new());
        while let Some(line) = lines.next().await {
            lines.send(line.unwrap().to_uppercase()).await.unwrap();
        }
    });
    let mut lines = Framed::new(client, LinesCodec::new());
    for number in 0..100 {
        lines.send(format!("line {number}")).await.unwrap();
        assert_eq!(
            lines.next().await.unwrap().unwrap(),
            format!("LINE {number}")
        );
    }
    drop(lines);
    serving.await.unwrap();
}

#[test]
fn frames_of_all_sizes_arrive() {
    run(|| async {
        let (client, server) = tcp_pair().await;
        let sizes = [0, 1, 1000, 100_000, 1_000_000];
        let sending = evenkeel::spawn(async move {
            let mut frames = Framed::new(client, LengthDelimitedCodec::new());
            for size in sizes {
                frames.send(Bytes::from(vec![7; size])).await.unwrap();
            }
        });
        let frames = Framed::new(server, LengthDelimitedCodec::new());
        let received: Vec<_> = frames.map(|frame| frame.unwrap().len()).collect().await;
        assert_eq!(received, sizes);
        sending.await.unwrap();
    });
}

#[test]
fn timers_and_channels_are_streams_wherever_they_are() {
    run(|| {
        everywhere(|| async {
            let ticks = evenkeel::sync::mpsc::channel(4);
            let (send, receive) = ticks;
            let sending = evenkeel::spawn(async move {
                for number in 0..20 {
                    send.send(number).await.unwrap();
                }
            });
            let received: Vec<_> = ReceiverStream::new(receive).collect().await;
            assert!(received.into_iter().eq(0..20));
            sending.await.unwrap();

            let period = tokio::time::interval(Duration::from_millis(1));
            let ticks: Vec<_> = IntervalStream::new(period).take(3).collect().await;
            assert!(ticks.is_sorted());

            let never = tokio_stream::pending::<()>().timeout(Duration::from_millis(2));
            assert!(std::pin::pin!(never).next().await.unwrap().is_err());
            let slow = tokio_stream::iter(0..3).throttle(Duration::from_millis(1));
            assert_eq!(
                std::pin::pin!(slow)
                    .fold(0, |sum, n| async move { sum + n })
                    .await,
                3
            );
        })
    });
}

#[test]
fn delays_end_in_order() {
    run(|| async {
        let mut queue = DelayQueue::new();
        for millis in [30, 10, 20] {
            queue.insert(millis, Duration::from_millis(millis));
        }
        let gone = queue.insert(15, Duration::from_millis(15));
        queue.remove(&gone);
        let mut ended = Vec::new();
        while let Some(delay) = queue.next().await {
            ended.push(delay.into_inner());
        }
        assert_eq!(ended, [10, 20, 30]);
    });
}

#[test]
fn tasks_of_evenkeels_are_tracked_and_cancelled() {
    run(|| async {
        let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
        for _ in 0..16 {
            let child = token.child_token();
            evenkeel::spawn(tracker.track_future(async move { child.cancelled().await }));
        }
        // And of tokio's, which the tracker spawns itself.
        let child = token.child_token();
        tracker.spawn(async move { child.cancelled().await });
        tracker.close();
        assert_eq!(tracker.len(), 17);
        token.cancel();
        tracker.wait().await;
        assert!(tracker.is_empty());
    });
}

#[test]
fn a_stream_is_read() {
    run(|| async {
        let parts = ["ab", "c\nde"].map(|part| Ok::<_, io::Error>(Bytes::from(part)));
        let reader = StreamReader::new(tokio_stream::iter(parts));
        let mut lines = evenkeel::io::AsyncBufReadExt::lines(reader);
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "abc");
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "de");
        assert_eq!(lines.next_line().await.unwrap(), None);
    });
}

#[test]
fn futures_that_are_not_send_run_in_a_local_pool() {
    run(|| async {
        let pool = LocalPoolHandle::new(1);
        let task = pool.spawn_pinned(|| async {
            let here = std::rc::Rc::new(7);
            tokio::time::sleep(Duration::from_millis(1)).await;
            *here
        });
        assert_eq!(task.await.unwrap(), 7);
    });
}

#[test]
fn a_task_of_tokios_is_aborted_when_its_handle_is_dropped() {
    run(|| async {
        let (kept, gone) = evenkeel::sync::oneshot::channel::<()>();
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let _kept = kept;
            std::future::pending::<()>().await;
        }));
        drop(task);
        assert!(gone.await.is_err());
    });
}

#[test]
fn a_runtime_ends_with_all_of_it_in_use() {
    watchdog(|| {
        for _ in 0..20 {
            let runtime = runtime();
            let kept = runtime.block_on(async {
                let (client, server) = tcp_pair().await;
                let tracker = TaskTracker::new();
                tracker.spawn(std::future::pending::<()>());
                evenkeel::spawn(tracker.track_future(async {
                    let mut lines = Framed::new(server, LinesCodec::new());
                    while let Some(Ok(_)) = lines.next().await {}
                }));
                let mut queue = DelayQueue::new();
                queue.insert((), Duration::from_secs(600));
                assert!(futures_util::poll!(queue.next()).is_pending());
                (client, tracker, queue)
            });
            drop(runtime);
            assert!(kept.1.is_empty());
            drop(kept);
        }
    });
}
