//! works: tower + backon (timeouts, buffers, limits, retries)
//! by: tokio-rt
//! tested: `timeout`, `buffer`, `rate_limit`, `concurrency_limit`, `load_shed`, `retry`, retries
//! with pauses, the end of the runtime with requests in a buffer
//! threads: services where they are awaited; the worker of a buffer, and so the service behind it,
//! and all timers on the thread of the small runtime

mod support;

use backon::{ConstantBuilder, Retryable};
use futures_util::FutureExt;
use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{SMALL_RUNTIME, everywhere, run, runtime, thread_name, until, watchdog};
use tower::load_shed::error::Overloaded;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

async fn never(_: ()) -> Result<(), Infallible> {
    future::pending().await
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_fires() {
    let limit = Duration::from_millis(10);
    let service = ServiceBuilder::new().timeout(limit).service_fn(never);
    let error = service.oneshot(()).await.unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>());
}

#[test]
fn timeouts_fire_and_retries_pause_wherever_they_are() {
    run(|| {
        everywhere(|| async {
            let limit = Duration::from_millis(5);
            let service = ServiceBuilder::new().timeout(limit).service_fn(never);
            assert!(service.oneshot(()).await.is_err());

            let (begun, tries) = (Instant::now(), AtomicUsize::new(0));
            let fails_twice = async || match tries.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => Err("not yet"),
                _ => Ok(7),
            };
            let pauses = ConstantBuilder::default().with_delay(Duration::from_millis(10));
            assert_eq!(fails_twice.retry(pauses).await, Ok(7));
            assert!(begun.elapsed() >= Duration::from_millis(20));
        })
    });
}

#[test]
fn a_buffer_is_shared_by_many_tasks() {
    run(|| async {
        let service = service_fn(async |number: u64| Ok::<_, Infallible>((number, thread_name())));
        let service = ServiceBuilder::new().buffer(4).service(service);
        let tasks: Vec<_> = (0..64)
            .map(|number| {
                let service = service.clone();
                evenkeel::spawn(async move {
                    let (answer, _) = service.oneshot(number).await.unwrap();
                    assert_eq!(answer, number);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        // What the service itself answers with is polled by whoever asked.
        let called_on = ServiceBuilder::new().buffer(1).service(service_fn(|()| {
            future::ready(Ok::<_, Infallible>(thread_name()))
        }));
        assert_eq!(called_on.oneshot(()).await.unwrap(), SMALL_RUNTIME);
    });
}

#[test]
fn limits_of_rate_and_number_hold() {
    run(|| async {
        let begun = Instant::now();
        let quick = service_fn(async |()| Ok::<_, Infallible>(()));
        let mut rare = ServiceBuilder::new()
            .rate_limit(2, Duration::from_millis(30))
            .service(quick);
        for _ in 0..5 {
            rare.ready().await.unwrap().call(()).await.unwrap();
        }
        assert!(begun.elapsed() >= Duration::from_millis(60));

        let few = ServiceBuilder::new()
            .load_shed()
            .concurrency_limit(1)
            .service_fn(never);
        let other = few.clone();
        let waits = evenkeel::spawn(few.oneshot(()));
        // Until the first has begun, the second takes its place, and does not end.
        let refused = || async {
            let at_once = other.clone().oneshot(()).now_or_never();
            at_once.is_some_and(|answer| answer.unwrap_err().is::<Overloaded>())
        };
        until(refused).await;
        waits.abort();
    });
}

#[test]
fn a_runtime_ends_with_requests_in_a_buffer() {
    watchdog(|| {
        for _ in 0..20 {
            let runtime = runtime();
            let called = Arc::new(AtomicUsize::new(0));
            let service = runtime.block_on(async {
                let calls = called.clone();
                let waits = service_fn(move |()| {
                    calls.fetch_add(1, Ordering::SeqCst);
                    never(())
                });
                let layers = ServiceBuilder::new().buffer(4).concurrency_limit(1);
                let service = layers.service(waits);
                for _ in 0..3 {
                    evenkeel::spawn(service.clone().oneshot(()));
                }
                until(|| async { called.load(Ordering::SeqCst) == 1 }).await;
                service
            });
            drop(runtime);
            drop(service);
        }
    });
}
