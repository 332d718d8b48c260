//! How many threads there are, and whose they are.

mod common;

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{LIMIT, block_on, blocker, wait_for, within_limit};
use evenkeel_blocking_pool::{Builder, Pool};

/// Has `threads` threads of `pool` run a job at the same time.
fn fill(pool: &Pool, threads: usize) {
    let barrier = Arc::new(Barrier::new(threads));
    let tasks: Vec<_> = (0..threads)
        .map(|_| {
            let barrier = barrier.clone();
            pool.spawn(move || barrier.wait())
        })
        .collect();
    for task in tasks {
        block_on(task).unwrap();
    }
}

fn wait_until_all_idle(pool: &Pool, threads: usize) {
    wait_for("all threads are idle", || {
        pool.idle_threads() == threads && pool.threads() == threads
    });
}

/// 600 jobs, of which 512 wait for each other: each must get a thread.
#[test]
fn blocked_jobs_all_get_a_thread_up_to_the_cap() {
    within_limit(|| {
        let pool = Builder::new().stack_size(64 << 10).build().unwrap();
        let barrier = Arc::new(Barrier::new(512));
        let (sender, receiver) = mpsc::channel();
        for i in 0..600 {
            let (barrier, sender) = (barrier.clone(), sender.clone());
            pool.execute(move || {
                if i < 512 {
                    barrier.wait();
                }
                sender.send(()).unwrap();
            })
            .unwrap();
        }
        for _ in 0..600 {
            receiver.recv().unwrap();
        }
        assert_eq!(pool.threads(), 512);
    });
}

#[test]
fn idle_threads_end_after_the_keep_alive_time() {
    within_limit(|| {
        let pool = Builder::new()
            .keep_alive(Duration::from_millis(20))
            .build()
            .unwrap();
        for _ in 0..3 {
            fill(&pool, 8);
            wait_for("all threads have ended", || pool.threads() == 0);
            assert_eq!(pool.idle_threads(), 0);
        }
    });
}

#[test]
fn threads_without_keep_alive_lose_no_job() {
    within_limit(|| {
        let pool = Builder::new()
            .keep_alive(Duration::ZERO)
            .max_threads(2)
            .build()
            .unwrap();
        for i in 0..2_000 {
            assert_eq!(block_on(pool.spawn(move || i)).unwrap(), i);
        }
        wait_for("all threads have ended", || pool.threads() == 0);
    });
}

#[test]
fn the_thread_that_became_idle_last_is_taken_first() {
    within_limit(|| {
        let pool = Builder::new().build().unwrap();
        fill(&pool, 6);
        wait_until_all_idle(&pool, 6);
        let mut threads = HashSet::new();
        for _ in 0..50 {
            threads.insert(block_on(pool.spawn(|| thread::current().id())).unwrap());
            wait_until_all_idle(&pool, 6);
        }
        assert_eq!(threads.len(), 1);
    });
}

/// A pool that is used all the time, but by one job at a time.
#[test]
fn relay_3840_a_pool_too_large_for_its_load_shrinks() {
    within_limit(|| {
        let pool = Builder::new()
            .keep_alive(Duration::from_millis(500))
            .build()
            .unwrap();
        fill(&pool, 8);
        let begin = Instant::now();
        while pool.threads() > 2 {
            assert!(begin.elapsed() < LIMIT, "{pool:?}");
            block_on(pool.spawn(|| ())).unwrap();
            wait_for("the thread is idle again", || {
                pool.idle_threads() == pool.threads()
            });
        }
    });
}

/// Quick jobs leave an idle thread behind; two long ones must not both count on it.
#[test]
fn tokio_8056() {
    within_limit(|| {
        for _ in 0..512 {
            let pool = Builder::new().max_threads(4).build().unwrap();
            for _ in 0..2 {
                block_on(pool.spawn(|| ())).unwrap();
            }
            let meeting = Arc::new(Barrier::new(2));
            let other = meeting.clone();
            let tasks = [
                pool.spawn(move || meeting.wait()),
                pool.spawn(move || other.wait()),
            ];
            for task in tasks {
                block_on(task).unwrap();
            }
        }
    });
}

#[test]
fn many_submitters_lose_no_job() {
    within_limit(|| {
        let pool = Builder::new()
            .max_threads(3)
            .keep_alive(Duration::from_micros(50))
            .build()
            .unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..2_000 {
                        let ran = ran.clone();
                        let task = pool.spawn(move || ran.fetch_add(1, Ordering::Relaxed));
                        if i % 7 == 0 {
                            block_on(task).unwrap();
                        }
                    }
                });
            }
        });
        wait_for("all jobs have run", || ran.load(Ordering::Relaxed) == 8_000);
        assert_eq!(pool.queued(), 0);
    });
}

#[test]
fn each_thread_runs_both_hooks_and_has_its_name() {
    within_limit(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let (start, stop, number) = (log.clone(), log.clone(), AtomicUsize::new(0));
        let name = || thread::current().name().unwrap_or_default().to_owned();
        let pool = Builder::new()
            .thread_name_fn(move || format!("bp-{}\0", number.fetch_add(1, Ordering::Relaxed)))
            .on_thread_start(move || start.lock().unwrap().push(("start", name())))
            .on_thread_stop(move || {
                stop.lock().unwrap().push(("stop", name()));
                panic!("logged");
            })
            .build()
            .unwrap();
        fill(&pool, 3);
        assert!(pool.shutdown(None));
        let log = log.lock().unwrap();
        for what in ["start", "stop"] {
            let mut names: Vec<_> = log
                .iter()
                .filter(|entry| entry.0 == what)
                .map(|entry| &*entry.1)
                .collect();
            names.sort_unstable();
            assert_eq!(names, ["bp-0", "bp-1", "bp-2"], "{what}");
        }
    });
}

#[test]
fn a_fixed_name_is_given_to_every_thread() {
    within_limit(|| {
        let pool = Builder::new().thread_name("disk").build().unwrap();
        let name = block_on(pool.spawn(|| thread::current().name().map(str::to_owned))).unwrap();
        assert_eq!(name.as_deref(), Some("disk"));
    });
}

#[test]
fn a_stop_hook_that_blocks_holds_up_no_job() {
    within_limit(|| {
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let (stopping, is_stopping) = mpsc::channel();
        let pool = Builder::new()
            .keep_alive(Duration::ZERO)
            .max_threads(2)
            .on_thread_stop(move || {
                let _ = stopping.send(());
                let _ = released.lock().unwrap().recv();
            })
            .build()
            .unwrap();
        block_on(pool.spawn(|| ())).unwrap();
        is_stopping.recv().unwrap();
        assert_eq!(block_on(pool.spawn(|| 3)).unwrap(), 3);
        drop(release);
        wait_for("both threads have ended", || pool.threads() == 0);
    });
}

/// Makes all threads that are wanted, whatever pauses are asked for. Returns the number of pauses.
fn make_all(maker: impl Fn() -> io::Result<Option<Duration>>) -> usize {
    std::iter::from_fn(|| maker().unwrap()).count()
}

#[test]
fn with_a_hook_threads_are_made_by_the_driver_alone() {
    within_limit(|| {
        // True to make threads, false to end.
        let (ring, rung) = mpsc::channel();
        let end = ring.clone();
        let makers = Arc::new(Mutex::new(HashSet::new()));
        let seen = makers.clone();
        let pool = Builder::new()
            .thread_maker(move || ring.send(true).unwrap())
            .thread_name_fn(move || {
                // Called by whoever makes the thread.
                seen.lock()
                    .unwrap()
                    .insert(thread::current().name().map(str::to_owned));
                "made".into()
            })
            .build()
            .unwrap();
        let driver = thread::Builder::new().name("driver".into());
        let driven = pool.clone();
        let driver = driver.spawn(move || {
            while rung.recv().unwrap() {
                make_all(|| driven.make_threads());
            }
        });
        fill(&pool, 40);
        assert_eq!(pool.threads(), 40);
        assert_eq!(
            *makers.lock().unwrap(),
            HashSet::from([Some("driver".to_owned())])
        );
        assert!(pool.shutdown(None));
        end.send(false).unwrap();
        driver.unwrap().join().unwrap();
    });
}

#[test]
fn hooks_go_with_the_pool() {
    within_limit(|| {
        let held = Arc::new(());
        let (maker, start) = (held.clone(), held.clone());
        let pool = Builder::new()
            .thread_maker(move || drop(maker.clone()))
            .on_thread_start(move || drop(start.clone()))
            .build()
            .unwrap();
        let task = pool.spawn(|| ());
        make_all(|| pool.make_threads());
        block_on(task).unwrap();
        assert!(pool.shutdown(None));
        drop(pool);
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

#[test]
fn the_hook_is_not_called_while_a_call_is_unanswered() {
    within_limit(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        let pool = Builder::new()
            .thread_maker(move || {
                counter.fetch_add(1, Ordering::SeqCst);
            })
            .build()
            .unwrap();
        let blockers: Vec<_> = (0..50)
            .map(|_| {
                let (block, release, begun) = blocker();
                pool.execute(block).unwrap();
                (release, begun)
            })
            .collect();
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert_eq!((pool.threads(), pool.queued()), (0, 50));
        assert!(pool.make_threads().unwrap().is_some());
        let calls_before = calls.load(Ordering::SeqCst);
        pool.execute(|| ()).unwrap();
        let calls_now = calls.load(Ordering::SeqCst);
        assert_eq!(calls_now, calls_before, "a maker that pauses comes back");
        let pauses = 1 + make_all(|| pool.make_threads());
        assert!(pauses <= 10, "{pauses}");
        assert_eq!(pool.threads(), 51);
        for (_, begun) in &blockers {
            begun.recv().unwrap();
        }
        assert_eq!(pool.make_threads().unwrap(), None);
        drop(blockers);
        wait_until_all_idle(&pool, 51);
        fill(&pool, 51);
        assert!(pool.shutdown(None));
    });
}

/// A queue that the threads there are empty soon makes no more of them, and one that they do not
/// makes ever more.
#[test]
fn a_burst_of_short_jobs_makes_few_threads() {
    within_limit(|| {
        let pool = Builder::new().thread_maker(|| ()).build().unwrap();
        let (gate, open) = mpsc::channel::<()>();
        let open = Arc::new(Mutex::new(open));
        // A hundred jobs, each of which waits for its turn.
        for _ in 0..100 {
            let open = open.clone();
            pool.execute(move || open.lock().unwrap().recv().unwrap())
                .unwrap();
        }
        assert!(pool.make_threads().unwrap().is_some());
        assert_eq!(pool.threads(), 1, "the first at once");
        let queued = |jobs: usize| {
            wait_for("the thread takes the next job", || pool.queued() == jobs);
        };
        queued(99);
        // It takes twenty jobs a pause, so that all are begun within ten pauses.
        for left in [79, 59, 39, 19] {
            (0..20).for_each(|_| gate.send(()).unwrap());
            queued(left);
            assert!(pool.make_threads().unwrap().is_some());
            assert_eq!(pool.threads(), 1, "{left} left");
        }
        // No job ends any more: one thread, then two, then four.
        for threads in [2, 4, 8] {
            queued(20 - threads / 2);
            assert!(pool.make_threads().unwrap().is_some());
            assert_eq!(pool.threads(), threads);
        }
        (0..20).for_each(|_| gate.send(()).unwrap());
        queued(0);
        assert_eq!(pool.make_threads().unwrap(), None);
        assert!(pool.shutdown(None));
    });
}
