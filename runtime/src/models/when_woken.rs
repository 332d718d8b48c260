//! A future that is polled only when it was woken: `when_woken`.
//!
//! Caught: the task is woken before `has_rung` is set; `has_rung` is cleared after the poll.

use super::explore;
use super::lane::Event;
use crate::scheduler::parker::Parker;
use crate::when_woken::WhenWoken;
use loom::thread;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

/// Wakes the thread that polls.
struct Task(Parker);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.unpark(None);
    }
}

/// What the future waits for happens, one thing after another, and the task is woken for something
/// else before.
#[test]
fn no_wake_up_is_lost() {
    explore(None, || {
        let task = Arc::new(Task(Parker::new()));
        let events = Arc::new([Event::default(), Event::default()]);
        let waits = events.clone();
        let mut future = WhenWoken::new(Box::pin(async move {
            waits[0].wait().await;
            waits[1].wait().await;
        }));
        let waker = Waker::from(task.clone());
        let mut cx = Context::from_waker(&waker);
        // Before the others begin: the events' locks, by which they get the waker, are not loom's.
        assert!(Pin::new(&mut future).poll(&mut cx).is_pending());
        let others = thread::spawn({
            let task = task.clone();
            move || {
                task.0.unpark(None);
                events.iter().for_each(Event::happen);
            }
        });
        while Pin::new(&mut future).poll(&mut cx).is_pending() {
            task.0.park(None);
        }
        others.join().unwrap();
    });
}
