//! Whatever foreign code panics, no thread is lost, no count is wrong, and nothing hangs. In all
//! tests here the receiver of the log panics as well, as `println!` does when the output is closed,
//! with a payload whose destructor panics in turn.

mod common;

use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use common::{block_on, blocker, wait_for, within_limit};
use evenkeel_blocking_pool::{Builder, Pool};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static LINES: AtomicUsize = AtomicUsize::new(0);

/// A payload whose destructor panics, and that payload's too.
struct Bomb(usize);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Bomb(self.0 - 1));
        }
    }
}

fn explode() {
    panic_any(Bomb(2));
}

struct Log;

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("evenkeel")
    }

    fn event(&self, _: &Event<'_>) {
        LINES.fetch_add(1, Ordering::SeqCst);
        explode();
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[track_caller]
fn with_panicking_log(test: impl FnOnce() + Send + 'static) {
    static SET: Once = Once::new();
    SET.call_once(|| tracing::subscriber::set_global_default(Log).unwrap());
    let before = LINES.load(Ordering::SeqCst);
    within_limit(test);
    assert!(LINES.load(Ordering::SeqCst) > before, "nothing was logged");
}

/// One thread, which is still there at the end.
fn assert_works(pool: &Pool) {
    let id = || thread::current().id();
    let first = block_on(pool.spawn(id)).unwrap();
    assert_eq!(block_on(pool.spawn(id)).unwrap(), first);
    assert_eq!(pool.threads(), 1);
    assert!(pool.shutdown(None));
    assert_eq!((pool.threads(), pool.queued()), (0, 0));
}

#[test]
fn of_a_job() {
    with_panicking_log(|| {
        let pool = Builder::new().max_threads(1).build().unwrap();
        let first = block_on(pool.spawn(|| thread::current().id())).unwrap();
        for _ in 0..3 {
            pool.execute(explode).unwrap();
        }
        assert!(block_on(pool.spawn(|| thread::current().id())).unwrap() == first);
        assert_works(&pool);
    });
}

#[test]
fn of_the_hooks() {
    with_panicking_log(|| {
        let mut builder = Builder::new();
        builder
            .max_threads(1)
            .thread_name_fn(|| {
                explode();
                String::new()
            })
            .thread_setup(|| explode)
            .on_thread_start(explode)
            .on_thread_stop(explode);
        assert_works(&builder.build().unwrap());
        builder.thread_setup(|| {
            explode();
            || ()
        });
        builder.thread_maker(explode);
        let pool = builder.build().unwrap();
        let task = pool.spawn(|| 5);
        pool.make_threads().unwrap();
        assert_eq!(block_on(task).unwrap(), 5);
        assert_works(&pool);
    });
}

/// The last owner of what they have captured is a thread of the pool, or whoever has the last
/// handle.
#[test]
fn of_the_destructors_of_hooks() {
    with_panicking_log(|| {
        let bomb = Bomb(2);
        let mut builder = Builder::new();
        builder.on_thread_stop(move || {
            let _ = &bomb;
        });
        let pool = builder.build().unwrap();
        drop(builder);
        let (block, release, begun) = blocker();
        let task = pool.spawn(block);
        begun.recv().unwrap();
        drop(pool);
        drop(release);
        block_on(task).unwrap();
        let lines = LINES.load(Ordering::SeqCst);
        wait_for("the hook is dropped", || {
            LINES.load(Ordering::SeqCst) > lines
        });
    });
}

#[test]
fn of_a_waker() {
    struct Explode;
    impl Wake for Explode {
        fn wake(self: Arc<Self>) {
            explode();
        }
    }
    with_panicking_log(|| {
        let pool = Builder::new().max_threads(1).build().unwrap();
        let (block, release, begun) = blocker();
        let mut task = pool.spawn(block);
        begun.recv().unwrap();
        let waker = Waker::from(Arc::new(Explode));
        let poll = std::pin::pin!(&mut task).poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending());
        let lines = LINES.load(Ordering::SeqCst);
        drop(release);
        wait_for("it is woken", || LINES.load(Ordering::SeqCst) > lines);
        block_on(task).unwrap();
        assert_works(&pool);
    });
}

#[test]
fn of_destructors_of_jobs_and_results() {
    with_panicking_log(|| {
        let pool = Builder::new().max_threads(1).build().unwrap();
        let (block, release, begun) = blocker();
        pool.execute(block).unwrap();
        begun.recv().unwrap();
        let cancelled = pool.spawn({
            let bomb = Bomb(2);
            move || drop(bomb)
        });
        assert!(cancelled.cancel());
        drop(pool.spawn(|| Bomb(2)));
        let task = pool.spawn(|| 5);
        pool.shutdown_background();
        drop(release);
        assert_eq!(block_on(task).unwrap(), 5);
        assert!(pool.shutdown(None));
    });
}

/// Found by AddressSanitizer: what a destructor panicked with was never dropped.
#[test]
fn what_a_destructor_panicked_with_is_dropped() {
    struct PanicWith(Option<Arc<()>>);
    impl Drop for PanicWith {
        fn drop(&mut self) {
            panic_any(self.0.take().unwrap());
        }
    }
    with_panicking_log(|| {
        let pool = Builder::new().max_threads(1).build().unwrap();
        let (block, release, begun) = blocker();
        pool.execute(block).unwrap();
        begun.recv().unwrap();
        let payload = Arc::new(());
        let captured = PanicWith(Some(payload.clone()));
        assert!(pool.spawn(move || drop(captured)).cancel());
        assert_eq!(Arc::strong_count(&payload), 1);
        drop(release);
    });
}

#[test]
fn of_the_destructors_of_jobs_for_which_no_thread_is_ever_made() {
    with_panicking_log(|| {
        let pool = Builder::new().thread_maker(|| ()).build().unwrap();
        let held = Arc::new(());
        for _ in 0..2 {
            let captured = (Bomb(2), held.clone());
            pool.execute(move || drop(captured)).unwrap();
        }
        drop(pool);
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

/// No operating system gives a thread a stack as large as the address space.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn of_the_log_when_a_thread_is_refused() {
    with_panicking_log(|| {
        for has_maker in [true, false] {
            let mut builder = Builder::new();
            builder.stack_size(1 << 47);
            if has_maker {
                builder.thread_maker(|| ());
            }
            let pool = builder.build().unwrap();
            let bombs = [Bomb(2), Bomb(0)];
            let outcome = pool.execute(move || drop(bombs));
            assert_eq!(outcome.is_ok(), has_maker);
            assert_eq!(pool.make_threads().is_err(), has_maker);
            assert_eq!(pool.shutdown(Some(Duration::ZERO)), !has_maker);
            assert_eq!(pool.make_threads().is_err(), has_maker);
            assert!(pool.shutdown(None));
        }
    });
}
