//! tokio#4730: the worker that had polled the driver last went into a long poll, and nobody else
//! took the driver over: all timers and sockets stood still until it came back.

use crate::support::{Gate, builder, foreign_block_on, in_block_on, on_runtime, watchdog};
use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::runtime::{Runtime, TakeoverPolicy};
use evenkeel::time::{Duration, interval, sleep};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

async fn ping_pong(rounds: usize) {
    async fn exchange(stream: &TcpStream, writes_first: bool, rounds: usize) {
        for round in 0..2 * rounds {
            if (round % 2 == 0) == writes_first {
                stream.writable().await.unwrap();
                assert_eq!(stream.try_write(&[1]).unwrap(), 1);
                continue;
            }
            loop {
                stream.readable().await.unwrap();
                match stream.try_read(&mut [0]) {
                    Ok(read) => break assert_eq!(read, 1),
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
                }
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = evenkeel::spawn(async move {
        exchange(&listener.accept().await.unwrap().0, false, rounds).await;
    });
    exchange(&TcpStream::connect(address).await.unwrap(), true, rounds).await;
    server.await.unwrap();
}

fn others_go_on(runtime: &Runtime) {
    for _ in 0..5 {
        foreign_block_on(runtime.spawn(async {
            sleep(Duration::from_millis(3)).await;
            let mut ticks = interval(Duration::from_millis(1));
            for _ in 0..3 {
                ticks.tick().await;
            }
            ping_pong(20).await;
            evenkeel::compute::spawn(sleep(Duration::from_millis(1)))
                .await
                .unwrap();
        }))
        .unwrap();
    }
}

/// One worker blocks for good. A task whose timer is on that worker, and one whose socket was first
/// polled there, go on with the other worker.
#[test]
fn timers_and_io_go_on_beside_a_worker_that_blocks_for_good() {
    on_runtime(2, |runtime| {
        let (begun, release) = (Gate::new(), Gate::new());
        let inside = (begun.clone(), release.clone());
        let (polled, of_stuck) = (Gate::new(), Gate::new());
        let first_polled = (polled.clone(), of_stuck.clone());
        let stuck = runtime.spawn(async move {
            let timer = evenkeel::spawn(async move {
                let mut sleep = Box::pin(sleep(Duration::from_millis(20)));
                let _ = crate::support::poll_once(&mut sleep).await;
                first_polled.0.open();
                sleep.await;
                first_polled.1.open();
            });
            // The child runs next on this worker, or is taken by the other; both are worth a test.
            polled.wait().await;
            inside.0.open();
            inside.1.block();
            timer
        });
        begun.block();
        of_stuck.block();
        others_go_on(runtime);
        release.open();
        foreign_block_on(foreign_block_on(stuck).unwrap()).unwrap();
    });
}

/// The worker got stuck while it fired its own timers: those behind are not forgotten.
#[test]
fn the_timers_behind_the_one_that_blocks() {
    on_runtime(2, |runtime| {
        for _ in 0..10 {
            let release = Gate::new();
            let inside = release.clone();
            let spawner = runtime.spawn(async move {
                let blocks = evenkeel::spawn(async move {
                    sleep(Duration::from_millis(1)).await;
                    inside.block();
                });
                let behind: Vec<_> = (2..12)
                    .map(|i| evenkeel::spawn(sleep(Duration::from_millis(i))))
                    .collect();
                (blocks, behind)
            });
            let (blocks, behind) = foreign_block_on(spawner).unwrap();
            behind
                .into_iter()
                .for_each(|task| foreign_block_on(task).unwrap());
            release.open();
            foreign_block_on(blocks).unwrap();
        }
    });
}

/// All workers block for good, or compute: others take their places.
#[test]
fn timers_and_io_go_on_with_all_workers_stuck_for_good() {
    for workers in [1, 2] {
        for computes in [false, true] {
            on_runtime(workers, move |runtime| {
                let (release, released) = (Gate::new(), Arc::new(AtomicBool::new(false)));
                let stuck: Vec<_> = (0..workers)
                    .map(|_| {
                        let begun = Gate::new();
                        let inside = (begun.clone(), release.clone(), released.clone());
                        let stuck = runtime.spawn(async move {
                            inside.0.open();
                            if !computes {
                                inside.1.block();
                            }
                            while !inside.2.load(Ordering::SeqCst) {
                                std::hint::spin_loop();
                            }
                        });
                        begun.block();
                        stuck
                    })
                    .collect();
                others_go_on(runtime);
                released.store(true, Ordering::SeqCst);
                release.open();
                for stuck in stuck {
                    foreign_block_on(stuck).unwrap();
                }
            });
        }
    }
}

/// All workers stuck, and nobody takes their places: timers and sockets that are not theirs go on.
#[test]
fn block_on_and_the_compute_lane_go_on_without_any_worker() {
    watchdog(|| {
        let runtime = builder(1)
            .takeover(TakeoverPolicy::disabled())
            .build()
            .unwrap();
        let (begun, release) = (Gate::new(), Gate::new());
        let inside = (begun.clone(), release.clone());
        let stuck = runtime.spawn(async move {
            inside.0.open();
            inside.1.block();
        });
        begun.block();
        runtime.block_on(async {
            sleep(Duration::from_millis(2)).await;
            evenkeel::compute::spawn(sleep(Duration::from_millis(2)))
                .await
                .unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (server, _) = listener.accept().await.unwrap();
            client.writable().await.unwrap();
            assert_eq!(client.try_write(&[1]).unwrap(), 1);
            server.readable().await.unwrap();
        });
        release.open();
        foreign_block_on(stuck).unwrap();
    });
}

/// A worker that never comes to an end of its queue polls for IO and fires timers all the same.
#[test]
fn timers_and_io_go_on_beside_tasks_that_yield_without_end() {
    in_block_on(2, || async {
        let end = Arc::new(AtomicBool::new(false));
        let spinners: Vec<_> = (0..4)
            .map(|_| {
                let end = end.clone();
                evenkeel::spawn(async move {
                    while !end.load(Ordering::SeqCst) {
                        evenkeel::task::yield_now().await;
                    }
                })
            })
            .collect();
        evenkeel::spawn(async {
            sleep(Duration::from_millis(5)).await;
            ping_pong(20).await;
        })
        .await
        .unwrap();
        end.store(true, Ordering::SeqCst);
        for spinner in spinners {
            spinner.await.unwrap();
        }
    });
}
