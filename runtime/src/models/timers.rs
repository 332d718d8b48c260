//! Publishing the next deadline: `time::shard`.

use super::explore;
use crate::time::shard::{NEVER, Shard};
use loom::sync::{Arc, Notify};
use loom::thread;
use std::task::Waker;

/// A remote insert against an owner that goes to sleep: the owner knows the timer before it sleeps
/// for good, or is woken.
///
/// Caught: `prepare_sleep` that does not look at the operations again; its fence left out with the
/// push's SeqCst weakened; `insert_remote` that reads the deadline before it pushes.
#[test]
fn timer_publish() {
    explore(None, || {
        let shard = Arc::new(Shard::new());
        let owner_wakes = Arc::new(Notify::new());
        let remote = thread::spawn({
            let (shard, owner_wakes) = (shard.clone(), owner_wakes.clone());
            move || {
                let (_, wake) = shard.insert_remote(100, Waker::noop().clone());
                if wake {
                    owner_wakes.notify();
                }
            }
        });
        // Something that is about to be replaced by "never".
        shard.insert(5, Waker::noop().clone());
        let mut now_ns = 10;
        loop {
            match shard.prepare_sleep(now_ns, drop) {
                // Sleeps until somebody wakes it: a deadlock if nobody does.
                NEVER => owner_wakes.wait(),
                deadline_ns => {
                    assert_eq!(deadline_ns, 100);
                    break;
                }
            }
            now_ns += 1;
        }
        remote.join().unwrap();
    });
}
