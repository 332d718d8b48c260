//! The tasks of a `LocalSet`: `scheduler::local`.
//!
//! Caught: `defer` that wakes before it pushes. The place of the set's waker is not loom's, so
//! every thread sees what was written there last, and the fences are not put to the test. (They are
//! as those of `scheduler::idle`.)

use super::lane::Event;
use crate::scheduler::local::LocalTasks;
use crate::tasks::JoinRef;
use loom::sync::Notify;
use loom::thread;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Wake, Waker};

/// The thread of the set, as the set's waker finds it.
struct Owner(Notify);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    super::lane::explore(3, model);
}

/// A task that waits for the event.
fn spawn_waiting(tasks: &LocalTasks) -> (JoinRef<()>, Arc<Event>) {
    let event = Arc::new(Event::default());
    let waits = event.clone();
    let future = async move { waits.wait().await };
    (tasks.spawn(future, Location::caller()), event)
}

/// Another thread wakes a task, while the owner polls it, or ends its poll of the set.
#[test]
fn a_wake_up_from_another_thread() {
    explore(|| {
        let tasks = LocalTasks::new();
        let (handle, event) = spawn_waiting(&tasks);
        let waker_thread = thread::spawn(move || event.happen());
        let owner = Arc::new(Owner(Notify::new()));
        let waker = Waker::from(owner.clone());
        loop {
            tasks.listen(&waker);
            if !tasks.run() && tasks.is_empty() {
                break;
            }
            // A deadlock if nobody wakes it.
            owner.0.wait();
        }
        waker_thread.join().unwrap();
        assert!(handle.is_finished());
        tasks.close();
    });
}

/// Another thread aborts a task while the set is closed: its future is dropped here.
#[test]
fn an_abort_while_the_set_is_closed() {
    explore(|| {
        let tasks = LocalTasks::new();
        let (handle, event) = spawn_waiting(&tasks);
        assert!(!tasks.run());
        let abort = handle.abort_ref();
        let aborts = thread::spawn(move || abort.abort());
        tasks.close();
        assert!(handle.is_finished());
        assert_eq!(Arc::strong_count(&event), 1);
        aborts.join().unwrap();
    });
}
