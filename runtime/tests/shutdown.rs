//! What a shutdown waits for: blocking closures that were queued before it, and the destructors of
//! thread-locals.

mod support;
mod takeover_support;

use evenkeel::JoinHandle;
use evenkeel::runtime::{Handle, Runtime};
use evenkeel::task::block_in_place;
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use support::{
    Gate, builder, foreign_block_on, runtime, runtime_with, thread_name, until, watchdog,
};
use takeover_support::burn;

/// Longer than anything takes on a machine that is merely busy.
const LONG: Duration = Duration::from_secs(50);

fn drop_it(runtime: Runtime) {
    drop(runtime);
}

fn shut_down_in_time(runtime: Runtime) {
    runtime.shutdown_timeout(LONG);
}

// ---- closures in the queue ----

/// "Write the last line of the log": there is not even a thread for it yet.
#[test]
fn a_closure_that_was_spawned_just_before_runs() {
    watchdog(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        for round in 0..100 {
            for (how, shut_down) in [drop_it, shut_down_in_time, Runtime::shutdown_background]
                .into_iter()
                .enumerate()
            {
                let runtime = runtime_with(1);
                let counted = ran.clone();
                let task = runtime.spawn_blocking(move || {
                    counted.fetch_add(1, Ordering::SeqCst);
                    // It is in the runtime still, which takes nothing any more.
                    let late = Handle::current().spawn_blocking(|| ());
                    foreign_block_on(late).is_err_and(|error| error.is_cancelled())
                });
                shut_down(runtime);
                assert!(how == 2 || task.is_finished());
                let _ = foreign_block_on(task).unwrap();
                assert_eq!(ran.load(Ordering::SeqCst), 3 * round + how + 1);
            }
        }
    });
}

/// The one thread of its blocking pool is in a closure until the gate opens.
fn with_a_full_pool() -> (Runtime, JoinHandle<()>, Gate) {
    let runtime = builder(1).max_blocking_threads(1).build().unwrap();
    let (begun, release) = (Gate::new(), Gate::new());
    let (opens, stays) = (begun.clone(), release.clone());
    let first = runtime.spawn_blocking(move || {
        opens.open();
        stays.block();
    });
    begun.block();
    (runtime, first, release)
}

#[test]
fn closures_that_wait_for_a_thread_run_when_it_is_free() {
    watchdog(|| {
        for shut_down in [drop_it, shut_down_in_time, Runtime::shutdown_background] {
            let (runtime, first, release) = with_a_full_pool();
            let queued: Vec<_> = (0..5).map(|i| runtime.spawn_blocking(move || i)).collect();
            let (handle, refused) = (runtime.handle().clone(), Gate::new());
            let opener = thread::spawn(move || {
                until(|| foreign_block_on(handle.spawn(async {})).is_err());
                refused.open();
                release.open();
            });
            shut_down(runtime);
            foreign_block_on(first).unwrap();
            for (i, task) in queued.into_iter().enumerate() {
                assert_eq!(foreign_block_on(task).unwrap(), i);
            }
            opener.join().unwrap();
        }
    });
}

/// The time of the shutdown is over; the thread goes on.
#[test]
fn a_closure_that_comes_to_its_turn_too_late_for_a_bounded_shutdown_runs() {
    watchdog(|| {
        let (runtime, first, release) = with_a_full_pool();
        let queued = runtime.spawn_blocking(|| 7);
        let limit = Duration::from_millis(5);
        let before = Instant::now();
        runtime.shutdown_timeout(limit);
        assert!(before.elapsed() >= limit);
        assert!(!first.is_finished() && !queued.is_finished());
        release.open();
        assert_eq!(foreign_block_on(queued).unwrap(), 7);
    });
}

/// They do not end but together, so each needs a thread of its own, which nobody has made yet.
#[test]
fn closures_that_wait_for_each_other_get_threads_during_the_shutdown() {
    watchdog(|| {
        for shut_down in [drop_it, shut_down_in_time, Runtime::shutdown_background] {
            let runtime = runtime_with(1);
            let meeting = Arc::new(std::sync::Barrier::new(16));
            let tasks = [(); 16].map(|()| {
                let meeting = meeting.clone();
                runtime.spawn_blocking(move || {
                    meeting.wait();
                })
            });
            shut_down(runtime);
            tasks
                .into_iter()
                .for_each(|task| foreign_block_on(task).unwrap());
        }
    });
}

#[test]
fn a_closure_of_its_own_pool_may_drop_the_runtime() {
    watchdog(|| {
        let runtime = runtime();
        let handle = runtime.handle().clone();
        let (drop_now, now) = std::sync::mpsc::channel::<Runtime>();
        let first = handle.spawn_blocking(move || drop(now.recv().unwrap()));
        let last = handle.spawn_blocking(|| 7);
        drop_now.send(runtime).unwrap();
        foreign_block_on(first).unwrap();
        assert_eq!(foreign_block_on(last).unwrap(), 7);
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

/// Runs `mark` on an IO worker, a compute worker and a blocking thread.
fn on_each_kind(runtime: &Runtime, mark: impl Fn() + Clone + Send + 'static) {
    let [io, compute, blocking] = [(); 3].map(|()| mark.clone());
    foreign_block_on(runtime.spawn(async move { io() })).unwrap();
    foreign_block_on(runtime.spawn_compute(compute)).unwrap();
    foreign_block_on(runtime.spawn_blocking(blocking)).unwrap();
}

#[test]
fn a_shutdown_waits_for_the_destructors_of_thread_locals() {
    watchdog(|| {
        for shut_down in [drop_it, shut_down_in_time] {
            let runtime = runtime_with(1);
            let ended = Arc::new(Mutex::new(Vec::new()));
            let marked = ended.clone();
            on_each_kind(&runtime, move || {
                let (ended, name) = (marked.clone(), thread_name());
                at_end(move || {
                    // So long that whoever does not wait for it is caught.
                    thread::sleep(Duration::from_millis(100));
                    ended.lock().unwrap().push(name);
                });
            });
            shut_down(runtime);
            let ended = ended.lock().unwrap();
            for kind in ["-io-", "-cpu-", "-blk-"] {
                let found = ended.iter().any(|name| name.contains(kind));
                assert!(found, "{kind} in {ended:?}");
            }
        }
    });
}

/// The seat of the thread was given up, so that it ends earlier.
#[test]
fn a_shutdown_waits_for_spares_that_ended_earlier() {
    watchdog(|| {
        let runtime = builder(1)
            .thread_keep_alive(Duration::from_millis(1))
            .build()
            .unwrap();
        let (ending, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut left = 0;
        for _ in 0..40 {
            let (ending, ended) = (ending.clone(), ended.clone());
            left += foreign_block_on(runtime.spawn(async move {
                block_in_place(|| ());
                let is_new = AT_END.with_borrow(Option::is_none);
                if is_new {
                    at_end(move || {
                        ending.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(5));
                        ended.fetch_add(1, Ordering::SeqCst);
                    });
                }
                usize::from(is_new)
            }))
            .unwrap();
        }
        until(|| ending.load(Ordering::SeqCst) > 0 || left <= 2);
        drop(runtime);
        assert_eq!(ended.load(Ordering::SeqCst), left);
    });
}

/// A destructor that never ends keeps neither of the shutdowns that have a limit.
#[test]
fn a_bounded_shutdown_does_not_wait_for_a_thread_local_that_blocks() {
    watchdog(|| {
        for limit in [Duration::ZERO, Duration::from_millis(20)] {
            let (runtime, release) = (runtime_with(1), Gate::new());
            let ended = Arc::new(AtomicUsize::new(0));
            let (stays, counted) = (release.clone(), ended.clone());
            on_each_kind(&runtime, move || {
                let (stays, counted) = (stays.clone(), counted.clone());
                at_end(move || {
                    stays.block();
                    counted.fetch_add(1, Ordering::SeqCst);
                });
            });
            runtime.shutdown_timeout(limit);
            assert_eq!(ended.load(Ordering::SeqCst), 0);
            release.open();
            until(|| ended.load(Ordering::SeqCst) == 3);
        }
    });
}

/// It would wait for itself.
#[test]
fn a_thread_local_of_its_own_may_own_the_runtime() {
    watchdog(|| {
        for blocking in [true, false] {
            let runtime = builder(1)
                .thread_keep_alive(Duration::ZERO)
                .build()
                .unwrap();
            let handle = runtime.handle().clone();
            let ended = Gate::new();
            let opens = ended.clone();
            let own = move || {
                at_end(move || {
                    drop(runtime);
                    opens.open();
                });
            };
            if blocking {
                foreign_block_on(handle.spawn_blocking(own)).unwrap();
                ended.block();
                continue;
            }
            let task = handle.spawn(async move { block_in_place(own) });
            foreign_block_on(task).unwrap();
            // It may be the one spare that is kept ready; with some more it is another.
            while !ended.is_open() {
                let (gate, begun) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
                for _ in 0..3 {
                    let (gate, begun) = (gate.clone(), begun.clone());
                    handle.spawn(async move {
                        begun.fetch_add(1, Ordering::SeqCst);
                        block_in_place(|| gate.block());
                    });
                }
                until(|| begun.load(Ordering::SeqCst) == 3 || ended.is_open());
                gate.open();
            }
        }
    });
}

// ---- never ----

/// Threads that are kept for ever, lowered ones among them, end with the runtime, and their stop
/// hooks run.
#[test]
fn a_keep_alive_of_duration_max_means_for_ever() {
    watchdog(|| {
        let (begins, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (starts, stops) = (begins.clone(), ends.clone());
        let runtime = builder(1)
            .thread_keep_alive(Duration::MAX)
            .on_thread_start(move || {
                starts.fetch_add(1, Ordering::SeqCst);
            })
            .on_thread_stop(move || {
                stops.fetch_add(1, Ordering::SeqCst);
            })
            .build()
            .unwrap();
        let metrics = runtime.metrics();
        // Long enough to be lowered, while somebody waits.
        let hog = runtime.spawn(async {
            evenkeel::spawn(async {
                for _ in 0..200 {
                    evenkeel::time::sleep(Duration::from_millis(1)).await;
                }
            });
            burn(Duration::from_millis(250));
        });
        foreign_block_on(hog).unwrap();
        foreign_block_on(runtime.spawn_blocking(|| ())).unwrap();
        until(|| metrics.num_displaced_threads() == 0);
        drop(runtime);
        assert!(metrics.takeovers() > 0);
        assert_eq!(begins.load(Ordering::SeqCst), ends.load(Ordering::SeqCst));
    });
}
