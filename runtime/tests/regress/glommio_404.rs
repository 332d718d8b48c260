//! glommio#404: a task that was woken and whose executor was then dropped kept a reference to
//! itself, and was never freed. Both the futures and the memory of the tasks are counted.

use crate::support::{Gate, Live, foreign_block_on, runtime, watchdog};
use std::alloc::{GlobalAlloc, Layout, System};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Tasks whose future asks for this alignment are told by it from all other allocations of the
/// tests.
const ALIGN: usize = 256;

#[repr(align(256))]
struct Aligned;

static TASKS: AtomicIsize = AtomicIsize::new(0);

struct Counting;

fn is_task(layout: Layout) -> bool {
    layout.align() == ALIGN
}

// SAFETY: all of it is the system's allocator; the counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_task(layout) {
            TASKS.fetch_add(1, Ordering::SeqCst);
        }
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if is_task(layout) {
            TASKS.fetch_sub(1, Ordering::SeqCst);
        }
        // SAFETY: as the caller's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Pending for as long as it lives; gives its wakers away.
struct Waits {
    wakers: Arc<Mutex<Vec<Waker>>>,
    polled: Gate,
    _live: Live,
    _aligned: Aligned,
}

impl Future for Waits {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.wakers.lock().unwrap().push(cx.waker().clone());
        self.polled.open();
        Poll::Pending
    }
}

#[test]
fn a_task_that_is_woken_and_whose_runtime_is_dropped_is_freed() {
    watchdog(|| {
        for round in 0..60 {
            let runtime = runtime();
            let (live, wakers) = (Live::new(), Arc::new(Mutex::new(Vec::new())));
            let mut handles = Vec::new();
            for i in 0..20 {
                let polled = Gate::new();
                let (wakers, gate) = (wakers.clone(), polled.clone());
                let task = Waits {
                    wakers,
                    polled: gate,
                    _live: live.clone(),
                    _aligned: Aligned,
                };
                let _entered = runtime.enter();
                let task = match i % 2 {
                    0 => evenkeel::spawn(task),
                    _ => evenkeel::compute::spawn(task),
                };
                polled.block();
                match i % 3 {
                    0 => handles.push(task),
                    1 => drop(task),
                    _ => drop(task.abort_handle()),
                }
            }
            assert!(TASKS.load(Ordering::SeqCst) >= 20, "the tasks are counted");
            let taken = std::mem::take(&mut *wakers.lock().unwrap());
            match round % 3 {
                0 => taken.into_iter().for_each(Waker::wake),
                1 => taken.iter().for_each(Waker::wake_by_ref),
                _ => drop(taken),
            }
            drop(runtime);
            assert_eq!(live.others(), 0);
            let late = std::mem::take(&mut *wakers.lock().unwrap());
            late.into_iter().for_each(Waker::wake);
            for handle in handles {
                assert!(foreign_block_on(handle).unwrap_err().is_cancelled());
            }
        }
        // The last thread to let go of one may be a moment late.
        crate::support::until(|| TASKS.load(Ordering::SeqCst) == 0);
    });
}

#[test]
fn a_task_that_owns_its_own_waker_is_freed_at_shutdown() {
    watchdog(|| {
        let runtime = runtime();
        let (live, polled) = (Live::new(), Gate::new());
        let (held, gate) = (live.clone(), polled.clone());
        let mut own = None;
        drop(runtime.spawn(poll_fn(move |cx| {
            let _ = &held;
            drop(own.replace(cx.waker().clone()));
            gate.open();
            Poll::<()>::Pending
        })));
        polled.block();
        drop(runtime);
        assert_eq!(live.others(), 0);
    });
}
