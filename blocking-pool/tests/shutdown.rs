//! The end of a pool.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use common::{LIMIT, block_on, blocker, wait_for, within_limit};
use evenkeel_blocking_pool::{Builder, ExecuteError, Pool};

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

/// Queued jobs whose destructor takes a lock, uses the pool, or panics.
#[test]
fn tokio_3869() {
    struct OnDrop<F: FnMut()>(F);
    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    within_limit(|| {
        let (pool, release) = busy_pool();
        let dropped = Arc::new(Mutex::new(0));
        let ran = Arc::new(AtomicBool::new(false));
        for i in 0..20 {
            let (dropped, pool_in_job, ran) = (dropped.clone(), pool.clone(), ran.clone());
            let bomb = OnDrop(move || {
                let refused = pool_in_job.execute(|| ());
                assert!(matches!(refused, Err(ExecuteError::ShutDown)));
                assert!(!pool_in_job.shutdown(Some(Duration::ZERO)));
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
                drop(pool.spawn(job));
            }
        }
        assert!(!pool.shutdown(Some(Duration::ZERO)));
        assert_eq!(pool.queued(), 0);
        // The mutex is poisoned by none of them: each panics after its guard is gone.
        assert_eq!(*dropped.lock().unwrap(), 20);
        assert!(!ran.load(Ordering::SeqCst));
        drop(release);
        assert!(pool.shutdown(None));
    });
}

#[test]
fn shutdown_completes_the_tasks_of_queued_jobs() {
    within_limit(|| {
        let (pool, release) = busy_pool();
        let tasks: Vec<_> = (0..5).map(|i| pool.spawn(move || i)).collect();
        let waiter = thread::spawn(move || {
            tasks
                .into_iter()
                .all(|task| block_on(task).unwrap_err().is_cancelled())
        });
        pool.shutdown_background();
        assert!(waiter.join().unwrap());
        drop(release);
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
