//! Publishing the next deadline: `timers::shard`.

use super::explore;
use crate::timers::{NEVER, OwnTimers, TimerShard};
use loom::sync::Notify;
use loom::thread;
use std::sync::Arc;
use std::task::Waker;

/// A remote insert against an owner that goes to sleep: the owner knows the timer before it sleeps
/// for good, or is woken.
///
/// Caught: `prepare_sleep` that does not look at the operations again; its fence left out, alone
/// and with the push's SeqCst weakened; the fence of `sleeps_beyond` left out; `insert_remote` that
/// reads the deadline before it pushes.
#[test]
fn timer_publish() {
    explore(None, || {
        let shard = Arc::new(TimerShard::new());
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
        OwnTimers::assume(&shard).insert(5, Waker::noop().clone());
        let mut now_ns = 10;
        loop {
            match OwnTimers::assume(&shard).prepare_sleep(now_ns, drop) {
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

/// A remote insert that is soon given an earlier deadline: an owner that knows only the later one
/// by then is woken once more.
///
/// Caught: `reset_remote` that never asks for a wake-up; one that reads the deadline before it
/// pushes.
#[test]
fn timer_reset() {
    explore(None, || {
        let shard = Arc::new(TimerShard::new());
        let owner_wakes = Arc::new(Notify::new());
        let remote = thread::spawn({
            let (shard, owner_wakes) = (shard.clone(), owner_wakes.clone());
            move || {
                let (id, wake) = shard.insert_remote(200, Waker::noop().clone());
                if wake {
                    owner_wakes.notify();
                }
                if shard.reset_remote(id, 100) {
                    owner_wakes.notify();
                }
            }
        });
        // Something that is about to be replaced by a later deadline.
        OwnTimers::assume(&shard).insert(5, Waker::noop().clone());
        loop {
            match OwnTimers::assume(&shard).prepare_sleep(10, drop) {
                NEVER | 200 => owner_wakes.wait(),
                deadline_ns => {
                    assert_eq!(deadline_ns, 100);
                    break;
                }
            }
        }
        remote.join().unwrap();
    });
}
