//! tokio#4129 and #5578: wakers were cloned, woken or dropped under a lock of the runtime. A waker
//! is foreign code: one that uses the runtime again waited for the lock that its own thread held.

use crate::support::{Gate, assert_all_workers_work, foreign_block_on, on_runtime};
use evenkeel::net::UnixStream;
use evenkeel::runtime::Handle;
use evenkeel::time::{Duration, Instant, Sleep, sleep};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

/// What the waker does whenever it is cloned, woken or dropped.
struct Reenters {
    runtime: Handle,
    inner: Waker,
    calls: AtomicUsize,
}

impl Reenters {
    fn reenter(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        // It takes every lock there is: of the registries, the timers, the pool and the driver.
        assert!(!self.runtime.dump().to_string().is_empty());
        drop(self.runtime.spawn(async {}));
        let _entered = self.runtime.enter();
        let mut sleep = sleep(Duration::from_secs(3600));
        // It panics once the runtime is shut down.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _ = Pin::new(&mut sleep).poll(&mut Context::from_waker(Waker::noop()));
        }));
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

fn raw(data: Arc<Reenters>) -> RawWaker {
    RawWaker::new(Arc::into_raw(data).cast(), &VTABLE)
}

fn borrow(data: *const ()) -> Arc<Reenters> {
    let data: *const Reenters = data.cast();
    // SAFETY: from `into_raw`, and the waker, which has a count of it, is alive.
    unsafe { Arc::increment_strong_count(data) };
    // SAFETY: takes the count that was just added.
    unsafe { Arc::from_raw(data) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    let reenters = borrow(data);
    reenters.reenter();
    raw(reenters)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: as the caller's.
    unsafe { wake_by_ref(data) };
    // SAFETY: the waker ends here.
    unsafe { drop_waker(data) };
}

unsafe fn wake_by_ref(data: *const ()) {
    let reenters = borrow(data);
    reenters.reenter();
    reenters.inner.wake_by_ref();
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the count of the waker that ends here.
    let reenters = unsafe { Arc::from_raw(data.cast::<Reenters>()) };
    reenters.reenter();
}

/// Polls `future` with wakers that re-enter.
async fn with_reentrant_wakers<F: Future>(runtime: Handle, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let calls = AtomicUsize::new(0);
        let data = Arc::new(Reenters {
            runtime: runtime.clone(),
            inner: cx.waker().clone(),
            calls,
        });
        // SAFETY: the table keeps the contract: each waker has one count of the `Arc`.
        let waker = unsafe { Waker::from_raw(raw(data)) };
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

/// Everything that stores a waker: handles, timers, sockets; polled twice, so that it is replaced
/// too.
async fn use_wakers() {
    for _ in 0..5 {
        let gate = Gate::new();
        let inside = gate.clone();
        let mut task = evenkeel::spawn(async move { inside.wait().await });
        let mut waiting: Sleep = sleep(Duration::from_millis(3));
        let (a, b) = UnixStream::pair().unwrap();
        a.writable().await.unwrap();
        {
            let mut readable = Box::pin(b.readable());
            for _ in 0..3 {
                assert!(crate::support::poll_once(&mut task).await.is_pending());
                let _ = crate::support::poll_once(&mut waiting).await;
                assert!(crate::support::poll_once(&mut readable).await.is_pending());
                evenkeel::task::yield_now().await;
            }
            Pin::new(&mut waiting).reset(Instant::now() + Duration::from_millis(1));
            gate.open();
            assert_eq!(a.try_write(&[1]).unwrap(), 1);
            readable.await.unwrap();
        }
        task.await.unwrap();
        waiting.await;
        // Cancelled while their wakers are stored.
        let mut task = evenkeel::spawn(std::future::pending::<()>());
        let mut waiting = sleep(Duration::from_secs(3600));
        assert!(crate::support::poll_once(&mut task).await.is_pending());
        assert!(crate::support::poll_once(&mut waiting).await.is_pending());
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

#[test]
fn wakers_that_use_the_runtime() {
    on_runtime(2, |runtime| {
        let handle = runtime.handle().clone();
        let future = || with_reentrant_wakers(handle.clone(), use_wakers());
        runtime.block_on(async {
            future().await;
            evenkeel::spawn(future()).await.unwrap();
            evenkeel::compute::spawn(future()).await.unwrap();
        });
        let entered = runtime.enter();
        foreign_block_on(future());
        drop(entered);
        assert_all_workers_work(runtime.handle());
    });
}

/// The shutdown wakes and drops what is stored.
#[test]
fn wakers_that_use_the_runtime_while_it_is_dropped() {
    crate::support::watchdog(|| {
        let runtime = crate::support::runtime();
        let handle = runtime.handle().clone();
        let begun = Gate::new();
        let gate = begun.clone();
        let thread = std::thread::spawn(move || {
            let _entered = handle.enter();
            let mut task = evenkeel::spawn(std::future::pending::<()>());
            let waits = poll_fn(|cx| {
                let polled = Pin::new(&mut task).poll(cx);
                gate.open();
                polled
            });
            foreign_block_on(with_reentrant_wakers(handle.clone(), waits))
        });
        begun.block();
        drop(runtime);
        assert!(thread.join().unwrap().unwrap_err().is_cancelled());
    });
}
