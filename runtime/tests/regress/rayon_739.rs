//! rayon#739 and #768, rayon#913 and #929: who had set a latch went on to read what the latch was
//! in, and the waiter, who had seen it set, had freed that already. It took two pools of one thread
//! that hand each other their results.

use crate::support::{Live, foreign_block_on, runtime_with, watchdog};
use evenkeel::runtime::Handle;
use evenkeel::task::{JoinHandle, yield_now};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

/// An output that tells if it was freed or is another's.
#[derive(Debug)]
struct Output(Box<usize>, #[expect(dead_code, reason = "counted")] Live);

impl Output {
    fn new(value: usize, live: &Live) -> Output {
        Output(Box::new(value), live.clone())
    }
}

/// Tasks of each runtime await tasks of the other, which yield to the thread that may be the faster
/// one.
#[test]
fn two_runtimes_of_one_worker_hand_their_results_to_each_other() {
    fn down(
        depth: usize,
        here: Handle,
        there: Handle,
        live: Live,
    ) -> Pin<Box<dyn Future<Output = Output> + Send>> {
        Box::pin(async move {
            if depth > 0 {
                let below = down(depth - 1, there.clone(), here, live.clone());
                let below = there.spawn(below);
                if depth.is_multiple_of(2) {
                    yield_now().await;
                } else {
                    thread::yield_now();
                }
                assert_eq!(*below.await.unwrap().0, depth - 1);
            }
            Output::new(depth, &live)
        })
    }
    watchdog(|| {
        let (a, b) = (runtime_with(1), runtime_with(1));
        let live = Live::new();
        for _ in 0..200 {
            let ends = [(&a, &b), (&b, &a)].map(|(here, there)| {
                let (here, there) = (here.handle().clone(), there.handle().clone());
                here.spawn(down(16, here.clone(), there, live.clone()))
            });
            for end in ends {
                assert_eq!(*foreign_block_on(end).unwrap().0, 16);
            }
        }
        drop((a, b));
        assert_eq!(live.others(), 0);
    });
}

/// A waker that gives the waiter time, in the middle of the completion.
struct Yields(#[expect(dead_code, reason = "counted")] Live);

impl Wake for Yields {
    fn wake(self: Arc<Self>) {
        thread::yield_now();
    }
}

/// The waiter sees that the task has ended, takes the output and lets go of the task, while the
/// worker that set it has still to wake the waiter.
#[test]
fn the_waiter_is_gone_before_it_is_woken() {
    fn take(mut handle: JoinHandle<Output>, live: &Live) -> usize {
        let waker = Waker::from(Arc::new(Yields(live.clone())));
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = Pin::new(&mut handle).poll(&mut cx) {
                return *output.unwrap().0;
            }
            while !handle.is_finished() {
                thread::yield_now();
            }
        }
    }
    watchdog(|| {
        let (runtime, live) = (runtime_with(1), Live::new());
        for round in 0..3_000 {
            let held = live.clone();
            let handle = match round % 100 {
                // It has only what others leave it, so few of these.
                0 => runtime.spawn_compute(move || Output::new(round, &held)),
                1..50 => runtime.spawn(async move {
                    yield_now().await;
                    Output::new(round, &held)
                }),
                _ => runtime.spawn_blocking(move || Output::new(round, &held)),
            };
            assert_eq!(take(handle, &live), round);
        }
        drop(runtime);
        assert_eq!(
            live.others(),
            0,
            "an output or a waker is left, or was dropped twice"
        );
    });
}
