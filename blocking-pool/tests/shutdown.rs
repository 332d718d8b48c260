//! The end of a pool.

mod common;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use common::{LIMIT, block_on, blocker, wait_for, within_limit};
use evenkeel_blocking_pool::{BlockingTask, Builder, ExecuteError, Pool};

fn busy_pool() -> (Pool, mpsc::Sender<()>) {
    let pool = Builder::new().max_threads(1).build().unwrap();
    let (block, release, begun) = blocker();
    pool.execute(block).unwrap();
    begun.recv().unwrap();
    (pool, release)
}

/// A job that never returns: the bounded shutdown gives up on it.
#[test]
fn tokio_1923_tokio_5338() {
    within_limit(|| {
        let (pool, release) = busy_pool();
        assert!(!pool.shutdown(Some(Duration::from_millis(10))));
        assert!(!pool.shutdown(Some(Duration::ZERO)));
        pool.shutdown_background();
        assert_eq!(pool.threads(), 1);
        drop(release);
        assert!(pool.shutdown(Some(LIMIT)));
        assert_eq!(pool.threads(), 0);
    });
}

#[test]
fn shutdown_waits_for_the_running_job() {
    within_limit(|| {
        let (pool, release) = busy_pool();
        let waiting = pool.clone();
        let shutdown = thread::spawn(move || waiting.shutdown(None));
        wait_for("the pool is closed", || pool.execute(|| ()).is_err());
        drop(release);
        assert!(shutdown.join().unwrap());
        assert_eq!(pool.threads(), 0);
    });
}

#[test]
fn shutdown_ends_idle_threads() {
    within_limit(|| {
        let pool = Builder::new().keep_alive(Duration::MAX).build().unwrap();
        block_on(pool.spawn(|| ())).unwrap();
        wait_for("the thread is idle", || pool.idle_threads() == 1);
        assert!(pool.shutdown(None));
    });
}

#[test]
fn after_shutdown_jobs_are_refused() {
    let pool = Builder::new().build().unwrap();
    assert!(pool.shutdown(None));
    assert!(matches!(pool.execute(|| ()), Err(ExecuteError::ShutDown)));
    assert!(block_on(pool.spawn(|| ())).unwrap_err().is_cancelled());
    assert_eq!(pool.make_threads().unwrap(), None);
    assert!(pool.shutdown(None));
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Queued jobs that are dropped after all, since the system has no thread for them, and whose
/// destructor takes a lock, uses the pool, or panics. (No operating system gives a thread a stack
/// as large as the address space.)
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn tokio_3869() {
    within_limit(|| {
        let pool = Builder::new()
            .stack_size(1 << 47)
            .thread_maker(|| ())
            .build()
            .unwrap();
        let dropped = Arc::new(Mutex::new(0));
        let ran = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for i in 0..20 {
            let (dropped, pool_in_job, ran) = (dropped.clone(), pool.clone(), ran.clone());
            let bomb = OnDrop(move || {
                let refused = pool_in_job.execute(|| ());
                assert!(matches!(refused, Err(ExecuteError::ShutDown)));
                pool_in_job.shutdown(Some(Duration::ZERO));
                assert!(pool_in_job.make_threads().unwrap().is_none());
                *dropped.lock().unwrap() += 1;
                assert!(i % 5 > 0, "logged");
            });
            let job = move || {
                ran.store(true, Ordering::SeqCst);
                drop(bomb);
            };
            if i % 2 == 0 {
                pool.execute(job).unwrap();
            } else {
                tasks.push(pool.spawn(job));
            }
        }
        assert!(!pool.shutdown(Some(Duration::ZERO)));
        assert_eq!(pool.queued(), 20);
        assert!(pool.make_threads().is_err());
        assert_eq!(pool.queued(), 0);
        // The mutex is poisoned by none of them: each panics after its guard is gone.
        assert_eq!(*dropped.lock().unwrap(), 20);
        assert!(!ran.load(Ordering::SeqCst));
        for task in tasks {
            assert!(block_on(task).unwrap_err().is_cancelled());
        }
        assert!(pool.shutdown(None));
    });
}

/// "Write the last line of the log": what waits when the pool is shut down runs, and whoever waits
/// does so for that too.
#[test]
fn queued_jobs_run_before_the_end() {
    within_limit(|| {
        for waits in [true, false] {
            let (pool, release) = busy_pool();
            let tasks: Vec<_> = (0..5).map(|i| pool.spawn(move || i)).collect();
            let closing = pool.clone();
            let shutdown = thread::spawn(move || match waits {
                true => assert!(closing.shutdown(None)),
                false => closing.shutdown_background(),
            });
            wait_for("the pool is closed", || pool.execute(|| ()).is_err());
            assert!(pool.queued() >= 5);
            drop(release);
            shutdown.join().unwrap();
            if waits {
                assert!(tasks.iter().all(BlockingTask::is_finished));
            }
            for (i, task) in tasks.into_iter().enumerate() {
                assert_eq!(block_on(task).unwrap(), i);
            }
        }
    });
}

/// They have no thread yet, and each needs one of its own.
#[test]
fn queued_jobs_get_threads_after_the_shutdown_has_begun() {
    within_limit(|| {
        let (ring, rung) = mpsc::channel();
        let pool = Builder::new()
            .thread_maker(move || ring.send(()).unwrap())
            .build()
            .unwrap();
        let meeting = Arc::new(Barrier::new(8));
        let tasks = [(); 8].map(|()| {
            let meeting = meeting.clone();
            pool.spawn(move || {
                meeting.wait();
            })
        });
        rung.recv().unwrap();
        let closing = pool.clone();
        let shutdown = thread::spawn(move || closing.shutdown(None));
        wait_for("the pool is closed", || pool.execute(|| ()).is_err());
        assert!(!pool.shutdown(Some(Duration::from_millis(1))));
        while pool.make_threads().unwrap().is_some() {}
        assert!(shutdown.join().unwrap());
        assert!(tasks.iter().all(BlockingTask::is_finished));
    });
}

/// Asked for again when one has gone that was about to end when the last job came.
#[test]
fn a_job_that_comes_while_the_only_thread_leaves_runs_after_the_shutdown() {
    within_limit(|| {
        let (release, released) = mpsc::channel::<()>();
        let (released, (stopping, is_stopping)) = (Mutex::new(released), mpsc::channel());
        let pool = Builder::new()
            .keep_alive(Duration::ZERO)
            .max_threads(1)
            .on_thread_stop(move || {
                let _ = stopping.send(());
                let _ = released.lock().unwrap().recv();
            })
            .build()
            .unwrap();
        block_on(pool.spawn(|| ())).unwrap();
        is_stopping.recv().unwrap();
        let task = pool.spawn(|| 7);
        pool.shutdown_background();
        drop(release);
        assert_eq!(block_on(task).unwrap(), 7);
        assert!(pool.shutdown(None));
    });
}

// ---- thread-locals ----

/// What a thread does last of all.
struct AtEnd(Box<dyn FnOnce()>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        std::mem::replace(&mut self.0, Box::new(|| ()))();
    }
}

thread_local!(static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) });

fn at_end(f: impl FnOnce() + 'static) {
    AT_END.set(Some(AtEnd(Box::new(f))));
}

/// So long that whoever does not wait for it is caught.
const LINGER: Duration = Duration::from_millis(100);

#[test]
fn shutdown_waits_for_the_destructors_of_thread_locals() {
    within_limit(|| {
        for timeout in [None, Some(LIMIT), Some(Duration::MAX)] {
            let pool = Builder::new().build().unwrap();
            let done = Arc::new(AtomicUsize::new(0));
            let tasks = [(); 3].map(|()| {
                let done = done.clone();
                pool.spawn(move || {
                    at_end(move || {
                        thread::sleep(LINGER);
                        done.fetch_add(1, Ordering::SeqCst);
                    });
                })
            });
            tasks.into_iter().for_each(|task| block_on(task).unwrap());
            assert!(pool.shutdown(timeout));
            assert_eq!(done.load(Ordering::SeqCst), 3);
        }
    });
}

/// Threads that were not needed any more have left before.
#[test]
fn shutdown_waits_for_threads_that_left_earlier() {
    within_limit(|| {
        let pool = Builder::new().keep_alive(Duration::ZERO).build().unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        const THREADS: usize = 8;
        let meeting = Arc::new(Barrier::new(THREADS));
        let tasks = [(); THREADS].map(|()| {
            let (done, meeting) = (done.clone(), meeting.clone());
            pool.spawn(move || {
                meeting.wait();
                at_end(move || {
                    thread::sleep(LINGER);
                    done.fetch_add(1, Ordering::SeqCst);
                });
            })
        });
        tasks.into_iter().for_each(|task| block_on(task).unwrap());
        wait_for("all threads have left", || pool.threads() == 0);
        assert!(pool.shutdown(None));
        assert_eq!(done.load(Ordering::SeqCst), THREADS);
    });
}

/// A destructor that never ends: the bounded shutdown gives up on it, and another waits again.
#[test]
fn a_bounded_shutdown_does_not_wait_for_a_thread_local_that_blocks() {
    within_limit(|| {
        let pool = Builder::new().build().unwrap();
        let (release, released) = mpsc::channel::<()>();
        let end = move || {
            let _ = released.recv();
        };
        block_on(pool.spawn(move || at_end(end))).unwrap();
        for _ in 0..2 {
            assert!(!pool.shutdown(Some(Duration::from_millis(10))));
        }
        assert_eq!(pool.threads(), 0);
        assert!(!pool.shutdown(Some(Duration::ZERO)));
        drop(release);
        assert!(pool.shutdown(None));
        assert!(pool.shutdown(Some(Duration::ZERO)));
    });
}

#[test]
fn a_thread_local_that_blocks_keeps_few_other_threads() {
    within_limit(|| {
        let pool = Builder::new().keep_alive(Duration::ZERO).build().unwrap();
        let (release, released) = mpsc::channel::<()>();
        let blocks = move || {
            let _ = released.recv();
        };
        block_on(pool.spawn(move || at_end(blocks))).unwrap();
        let ended = Arc::new(AtomicUsize::new(0));
        const THREADS: usize = 20;
        for _ in 0..THREADS {
            wait_for("the thread has left", || pool.threads() == 0);
            let ended = ended.clone();
            let end = move || {
                ended.fetch_add(1, Ordering::SeqCst);
            };
            block_on(pool.spawn(move || at_end(end))).unwrap();
        }
        wait_for("all but one end", || {
            ended.load(Ordering::SeqCst) >= THREADS - 1
        });
        drop(release);
        assert!(pool.shutdown(None));
        assert_eq!(ended.load(Ordering::SeqCst), THREADS);
    });
}

/// Both ways: it is refused, and the pool is shut down by it.
#[test]
fn a_thread_local_may_use_the_pool_that_ends() {
    within_limit(|| {
        let pool = Builder::new().build().unwrap();
        let (inner, (outcome, result)) = (pool.clone(), mpsc::channel());
        let end = move || {
            let refused = matches!(inner.execute(|| ()), Err(ExecuteError::ShutDown));
            let cancelled = block_on(inner.spawn(|| ())).unwrap_err().is_cancelled();
            let waited = inner.shutdown(None);
            outcome.send((refused, cancelled, waited)).unwrap();
        };
        block_on(pool.spawn(move || at_end(end))).unwrap();
        assert!(pool.shutdown(None));
        assert_eq!(result.recv().unwrap(), (true, true, false));
    });
}

#[test]
fn dropping_the_last_handle_ends_the_threads() {
    within_limit(|| {
        let (stopped, has_stopped) = mpsc::channel();
        let pool = Builder::new()
            .keep_alive(Duration::MAX)
            .on_thread_stop(move || stopped.send(()).unwrap())
            .build()
            .unwrap();
        let other = pool.clone();
        block_on(pool.spawn(|| ())).unwrap();
        drop(pool);
        assert_eq!(
            block_on(other.spawn(|| 1)).unwrap(),
            1,
            "one handle is left"
        );
        drop(other);
        has_stopped.recv().unwrap();
    });
}

#[test]
fn a_job_that_shuts_its_pool_down_does_not_wait_for_itself() {
    within_limit(|| {
        let pool = Builder::new().build().unwrap();
        let inner = pool.clone();
        assert!(!block_on(pool.spawn(move || inner.shutdown(None))).unwrap());
        assert!(pool.shutdown(None));
        // Nor does a job that drops the last handle.
        let pool = Builder::new().build().unwrap();
        let inner = pool.clone();
        let (block, release, begun) = blocker();
        let task = pool.spawn(move || {
            block();
            drop(inner);
        });
        begun.recv().unwrap();
        drop(pool);
        drop(release);
        block_on(task).unwrap();
    });
}

/// Whatever the race, an accepted job either runs or is dropped, and its task completes.
#[test]
fn submitting_during_shutdown_strands_nothing() {
    within_limit(|| {
        for round in 0..300 {
            let pool = Builder::new().max_threads(2).build().unwrap();
            let live = Arc::new(AtomicUsize::new(0));
            struct Live(Arc<AtomicUsize>);
            impl Drop for Live {
                fn drop(&mut self) {
                    self.0.fetch_sub(1, Ordering::SeqCst);
                }
            }
            thread::scope(|scope| {
                let submitter = scope.spawn(|| {
                    let submit = |_| {
                        live.fetch_add(1, Ordering::SeqCst);
                        let guard = Live(live.clone());
                        pool.spawn(move || drop(guard))
                    };
                    (0..20).map(submit).collect::<Vec<_>>()
                });
                for _ in 0..round % 30 {
                    thread::yield_now();
                }
                assert!(pool.shutdown(None));
                for task in submitter.join().unwrap() {
                    if let Err(error) = block_on(task) {
                        assert!(error.is_cancelled());
                    }
                }
            });
            assert_eq!(live.load(Ordering::SeqCst), 0);
        }
    });
}
