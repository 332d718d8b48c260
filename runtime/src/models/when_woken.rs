//! A future that is polled only when it was woken: `when_woken`.
//!
//! Caught: the task is woken before `has_rung` is set; `has_rung` is cleared after the poll.

use super::explore;
use crate::scheduler::parker::Parker;
use crate::when_woken::WhenWoken;
use loom::sync::Mutex;
use loom::thread;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Wakes the thread that polls.
struct Task(Parker);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.unpark(None);
    }
}

/// Something that the future waits for, once. Its lock is loom's: by it the waker is handed over.
struct Event(Mutex<(bool, Option<Waker>)>);

impl Event {
    fn new() -> Self {
        Event(Mutex::new((false, None)))
    }

    fn happen(&self) {
        let mut event = self.0.lock().unwrap();
        event.0 = true;
        let waker = event.1.take();
        drop(event);
        waker.into_iter().for_each(Waker::wake);
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            let mut event = self.0.lock().unwrap();
            event.1 = Some(cx.waker().clone());
            match event.0 {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

/// What the future waits for happens, one thing after another, and the task is woken for something
/// else before.
#[test]
fn no_wake_up_is_lost() {
    explore(None, || {
        let task = Arc::new(Task(Parker::new()));
        let events = Arc::new([Event::new(), Event::new()]);
        let waits = events.clone();
        let mut future = WhenWoken::new(Box::pin(async move {
            waits[0].wait().await;
            waits[1].wait().await;
        }));
        let waker = Waker::from(task.clone());
        let mut cx = Context::from_waker(&waker);
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
