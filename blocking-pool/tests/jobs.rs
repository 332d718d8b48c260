//! Jobs, their results and their errors, driven from another executor.

mod common;

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use common::{LIMIT, block_on, blocker, wait_for, within_limit};
use evenkeel_blocking_pool::{Builder, ExecuteError, Pool};
use futures_lite::future::poll_once;

fn pool_of(threads: usize) -> Pool {
    Builder::new().max_threads(threads).build().unwrap()
}

#[test]
fn a_result_reaches_another_executor() {
    within_limit(|| {
        let pool = pool_of(4);
        let tasks: Vec<_> = (0..100).map(|i| pool.spawn(move || i * 2)).collect();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(block_on(task).unwrap(), i * 2);
        }
    });
}

#[test]
fn a_panic_reaches_the_task_and_kills_no_thread() {
    within_limit(|| {
        let pool = pool_of(1);
        let first = block_on(pool.spawn(|| thread::current().id())).unwrap();
        let number = pool.queued() + 7;
        let error = block_on(pool.spawn(move || panic!("broken {number}"))).unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert!(error.to_string().contains("broken 7"), "{error}");
        assert_eq!(
            *error.into_panic().downcast::<String>().unwrap(),
            "broken 7"
        );
        pool.execute(|| panic!("logged, not lost")).unwrap();
        assert_eq!(
            block_on(pool.spawn(|| thread::current().id())).unwrap(),
            first
        );
    });
}

#[test]
fn one_thread_runs_jobs_in_order() {
    within_limit(|| {
        let pool = pool_of(1);
        let (block, release, begun) = blocker();
        pool.execute(block).unwrap();
        begun.recv().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..200)
            .map(|i| {
                let order = order.clone();
                pool.spawn(move || order.lock().unwrap().push(i))
            })
            .collect();
        assert_eq!(pool.queued(), 200);
        drop(release);
        for task in tasks {
            block_on(task).unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..200).collect::<Vec<_>>());
        assert_eq!((pool.threads(), pool.queued()), (1, 0));
    });
}

#[test]
fn four_threads_run_four_jobs_at_a_time() {
    within_limit(|| {
        let pool = pool_of(4);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Only four at a time pass the barrier.
        let barrier = Arc::new(Barrier::new(4));
        let tasks: Vec<_> = (0..40)
            .map(|_| {
                let (running, most, barrier) = (running.clone(), most.clone(), barrier.clone());
                pool.spawn(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    barrier.wait();
                    running.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for task in tasks {
            block_on(task).unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 4);
        assert_eq!(pool.threads(), 4);
    });
}

#[test]
fn a_queued_job_can_be_cancelled_and_a_running_one_not() {
    within_limit(|| {
        let pool = pool_of(1);
        let (block, release, begun) = blocker();
        let running = pool.spawn(block);
        begun.recv().unwrap();
        let captured = Arc::new(());
        let held = captured.clone();
        let queued = pool.spawn(move || drop(held));
        assert!(!running.cancel());
        assert!(queued.cancel());
        assert!(!queued.cancel());
        assert_eq!(
            Arc::strong_count(&captured),
            1,
            "the closure is dropped at once"
        );
        assert!(queued.is_finished());
        assert!(block_on(queued).unwrap_err().is_cancelled());
        drop(release);
        block_on(running).unwrap();
    });
}

#[test]
fn a_dropped_task_detaches_its_job() {
    within_limit(|| {
        let pool = pool_of(1);
        let (sender, receiver) = mpsc::channel();
        drop(pool.spawn(move || sender.send(5)));
        assert_eq!(receiver.recv_timeout(LIMIT), Ok(5));
    });
}

#[test]
fn a_result_nobody_waits_for_is_dropped() {
    within_limit(|| {
        let pool = pool_of(1);
        let (value, (block, release, begun)) = (Arc::new(()), blocker());
        let (early, late) = (value.clone(), value.clone());
        let task = pool.spawn(move || early);
        wait_for("the job has ended", || task.is_finished());
        drop(task);
        drop(pool.spawn(move || {
            block();
            late
        }));
        begun.recv().unwrap();
        drop(release);
        wait_for("both results are dropped", || {
            Arc::strong_count(&value) == 1
        });
    });
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    within_limit(|| {
        let pool = pool_of(1);
        let (block, release, _begun) = blocker();
        let mut task = pool.spawn(block);
        let [first, second] = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
        for count in [&first, &second] {
            let waker = Waker::from(count.clone());
            let poll = std::pin::pin!(&mut task).poll(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
        }
        drop(release);
        wait_for("the second waker is woken", || {
            second.0.load(Ordering::SeqCst) == 1
        });
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        assert!(matches!(block_on(poll_once(task)), Some(Ok(()))));
        assert_eq!(Arc::strong_count(&second), 1, "no waker is kept");
    });
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn a_task_polled_after_it_was_ready_panics() {
    let pool = pool_of(1);
    let mut task = pool.spawn(|| ());
    block_on(&mut task).unwrap();
    let _ = std::pin::pin!(task).poll(&mut Context::from_waker(Waker::noop()));
}

/// A closure that does not fit the stacks it would be moved through.
#[test]
fn crossbeam_1146() {
    within_limit(|| {
        let pool = pool_of(1);
        let handle = pool.clone();
        let submit = move || {
            let large = [7u8; 1 << 20];
            handle.spawn(move || large.iter().map(|&byte| u64::from(byte)).sum::<u64>())
        };
        // Unoptimised, the submitter's own stack holds several copies.
        let submitter = thread::Builder::new()
            .stack_size(32 << 20)
            .spawn(submit)
            .unwrap();
        assert_eq!(block_on(submitter.join().unwrap()).unwrap(), 7 << 20);
    });
}

#[test]
fn zero_threads_are_refused() {
    let error = Builder::new().max_threads(0).build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("max_threads"), "{error}");
}

/// No operating system gives a thread a stack as large as the address space.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod no_thread {
    use super::*;

    const STACK: usize = 1 << 47;

    #[test]
    fn the_error_reaches_the_submitter() {
        let pool = Builder::new().stack_size(STACK).build().unwrap();
        let captured = Arc::new(());
        let held = captured.clone();
        let error = pool.execute(move || drop(held)).unwrap_err();
        assert!(matches!(error, ExecuteError::NoThread(_)), "{error}");
        assert_eq!(Arc::strong_count(&captured), 1);
        let error = block_on(pool.spawn(|| ())).unwrap_err();
        assert!(error.is_cancelled());
        let source = error.source().unwrap().downcast_ref().unwrap();
        assert!(matches!(source, ExecuteError::NoThread(_)), "{source}");
        assert_eq!((pool.threads(), pool.queued()), (0, 0));
        assert!(pool.shutdown(None));
    }

    #[test]
    fn the_error_reaches_the_thread_maker_and_the_jobs_stay() {
        let pool = Builder::new()
            .stack_size(STACK)
            .thread_maker(|| ())
            .build()
            .unwrap();
        let task = pool.spawn(|| ());
        assert!(pool.make_threads().is_err());
        assert!(pool.make_threads().is_err());
        assert!(!task.is_finished());
        assert_eq!((pool.threads(), pool.queued()), (0, 1));
        // It would run still, if there were a thread.
        assert!(!pool.shutdown(Some(Duration::ZERO)));
        assert!(!task.is_finished());
        assert!(pool.make_threads().is_err());
        assert!(block_on(task).unwrap_err().is_cancelled());
        assert!(pool.shutdown(None));
    }
}
