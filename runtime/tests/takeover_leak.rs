//! Nothing is left of a takeover: neither memory, nor tasks, nor threads, however many there have
//! been.
//!
//! The allocator and the threads belong to the whole process, hence a binary of its own, and one
//! test. `EVENKEEL_LEAK_TAKEOVERS=10000` makes it longer.

#![cfg(target_os = "linux")]

mod support;
mod takeover_support;

use evenkeel::runtime::{Runtime, TakeoverPolicy};
use evenkeel::task::{block_in_place, yield_now};
use evenkeel::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use support::{Live, foreign_block_on, until};
use takeover_support::{
    Stuck, builder_with, on, threads, threads_after_first_task, until_nobody_is_displaced,
};

/// The system's allocator, and how many bytes it has given and not got back.
struct Counting;

static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

// SAFETY: all is the system's allocator's doing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: by the caller's word about the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: by the caller's word it came from `alloc`, which had it from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Takeovers of all kinds of polls: the first and later ones, that end, wait or panic, in tasks
/// that are then polled elsewhere, and of the worker's own will.
fn takeovers(runtime: &Runtime, live: &Live, wanted: u64) {
    let before = runtime.metrics().takeovers();
    let mut round = 0;
    while runtime.metrics().takeovers() - before < wanted {
        let how = Stuck::ALL[usize::from(round % 16 == 0)];
        let held = live.clone();
        let task = runtime.spawn(async move {
            let _held = held.clone();
            if round % 2 == 0 {
                yield_now().await;
            }
            how.until_taken_over();
            match round % 5 {
                0 => yield_now().await,
                1 => block_in_place(|| drop(held)),
                2 => std::panic::resume_unwind(Box::new(())),
                // The second, after which it is polled elsewhere until it has been good for long
                // enough.
                3 => {
                    yield_now().await;
                    how.until_taken_over();
                    for _ in 0..8 {
                        yield_now().await;
                    }
                }
                _ => {}
            }
            evenkeel::spawn(async {}).await.unwrap();
        });
        if round % 7 == 0 {
            task.abort();
        }
        match foreign_block_on(task) {
            Ok(()) => {}
            Err(error) => assert!(error.is_panic() == (round % 5 == 2) || error.is_cancelled()),
        }
        round += 1;
    }
}

/// Nobody is in a poll any more, and all threads but those that stay have ended.
fn settle(runtime: &Runtime, live: &Live, threads_before: usize) {
    until(|| live.others() == 0);
    until_nobody_is_displaced(&runtime.metrics());
    // Those of before, the compute lane's and a spare.
    until(|| threads() <= threads_before + 3);
}

/// The driver thread forgets threads that are gone when it next looks, and stops looking when
/// nothing has happened for a while, so what is live is what is still there then.
fn least_live_bytes() -> isize {
    let samples = (0..50).map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        LIVE_BYTES.load(Ordering::SeqCst)
    });
    samples.min().expect("some")
}

const PHASES: usize = 4;

#[test]
fn thousands_of_takeovers_leave_nothing_behind() {
    let policy = TakeoverPolicy {
        after: Duration::from_micros(100),
        ..TakeoverPolicy::default()
    };
    let mut builder = builder_with(1, policy);
    builder
        .compute_threads(2)
        .thread_keep_alive(Duration::from_millis(50));
    on(builder, |runtime| {
        let live = Live::new();
        let wanted = std::env::var("EVENKEEL_LEAK_TAKEOVERS").ok();
        let wanted: u64 = wanted.map_or(3_000, |wanted| wanted.parse().expect("a number"));
        let threads_before = threads_after_first_task(&runtime);
        let live_bytes = [(); PHASES].map(|()| {
            takeovers(&runtime, &live, wanted / PHASES as u64);
            settle(&runtime, &live, threads_before);
            least_live_bytes()
        });
        // Some buffers grow in steps, and stay; what leaks grows in every phase.
        let grown = live_bytes.windows(2).map(|bytes| bytes[1] - bytes[0]);
        let least = grown.min().expect("more than one phase");
        let two_words_each = 16 * (wanted / PHASES as u64) as isize;
        assert!(least < two_words_each, "{live_bytes:?} after each phase");
        drop(runtime);
        assert_eq!(live.others(), 0);
    });
}
