//! tokio#593: `block_on` in the destructor of a thread-local found its own thread-locals gone, and
//! the panic ended the process.

use crate::support::{runtime, watchdog};
use evenkeel::runtime::Handle;
use evenkeel::time::{Duration, sleep, timeout};
use std::cell::RefCell;
use std::sync::mpsc;
use std::thread;

/// Runs `f` when the thread ends.
struct AtTheEnd(RefCell<Option<Box<dyn FnOnce()>>>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

thread_local!(static AT_THE_END: AtTheEnd = const { AtTheEnd(RefCell::new(None)) });

async fn work() -> u32 {
    sleep(Duration::from_millis(1)).await;
    let never = std::future::pending::<()>();
    assert!(timeout(Duration::from_millis(1), never).await.is_err());
    evenkeel::spawn_blocking(|| 5).await.unwrap() + 2
}

/// Blocks on `work` as the thread ends, whose thread-locals were made in one order or the other.
fn block_on_at_the_end(runtime: &Handle, ours_first: bool) -> Option<u32> {
    let (answer, answered) = mpsc::channel();
    let runtime = runtime.clone();
    let thread = thread::spawn(move || {
        let use_ours = || runtime.block_on(async {});
        if ours_first {
            use_ours();
            AT_THE_END.with(|_| ());
        } else {
            AT_THE_END.with(|_| ());
            use_ours();
        }
        let at_the_end = move || {
            let handle = runtime.clone();
            // No current runtime is known by now.
            let work = async move { handle.spawn(work()).await.unwrap() };
            answer.send(runtime.block_on(work)).unwrap();
        };
        AT_THE_END.with(|it| *it.0.borrow_mut() = Some(Box::new(at_the_end)));
    });
    thread.join().unwrap();
    answered.recv().ok()
}

#[test]
fn block_on_works_in_the_destructor_of_a_thread_local() {
    watchdog(|| {
        let runtime = runtime();
        assert_eq!(block_on_at_the_end(runtime.handle(), true), Some(7));
        assert_eq!(block_on_at_the_end(runtime.handle(), false), Some(7));
    });
}

#[test]
fn a_timer_works_in_a_block_on_in_the_destructor_of_a_thread_local() {
    watchdog(|| {
        let runtime = runtime();
        let (answer, answered) = mpsc::channel();
        let handle = runtime.handle().clone();
        let thread = thread::spawn(move || {
            AT_THE_END.with(|_| ());
            handle.block_on(async {});
            // Made where the runtime is known.
            let sleep = handle.block_on(async { sleep(Duration::from_millis(1)) });
            let at_the_end = move || {
                handle.block_on(sleep);
                answer.send(()).unwrap();
            };
            AT_THE_END.with(|it| *it.0.borrow_mut() = Some(Box::new(at_the_end)));
        });
        thread.join().unwrap();
        answered.recv().unwrap();
    });
}
