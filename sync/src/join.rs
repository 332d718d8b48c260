//! Joining threads, also with a deadline, which std's join does not have.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::panics::{contain, drop_quietly};
use crate::thread::{Builder, JoinHandle};
use crate::{Condvar, Mutex, wait_until};

/// Joins `threads`, one after the other. Their panics have been printed by the panic hook.
pub fn join_all(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    threads
        .into_iter()
        .for_each(|thread| drop_quietly(thread.join()));
}

/// Runs `work` on a thread of its own, and waits for its end until `deadline`. True if it has ended
/// by then; otherwise it goes on by itself.
///
/// # Errors
///
/// That of the operating system, when it refuses the thread. `work` has been dropped.
pub fn run_until(deadline: Instant, work: impl FnOnce() + Send + 'static) -> io::Result<bool> {
    let ended = Arc::new((Mutex::new(false), Condvar::new()));
    let joiner = Builder::new().name("joiner".to_owned()).spawn({
        let ended = ended.clone();
        move || {
            contain(work);
            let (has_ended, notify) = &*ended;
            *has_ended.lock() = true;
            notify.notify_all();
        }
    })?;
    let (has_ended, notified) = &*ended;
    let mut has_ended = has_ended.lock();
    while !*has_ended {
        if wait_until(notified, &mut has_ended, Some(deadline)) {
            return Ok(*has_ended);
        }
    }
    drop(has_ended);
    // It has nothing more to do.
    join_all([joiner]);
    Ok(true)
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn work_that_ends_is_waited_for() {
        let far = Instant::now() + Duration::from_secs(600);
        let (send, receive) = mpsc::channel();
        assert!(run_until(far, move || send.send(7).unwrap()).unwrap());
        assert_eq!(receive.try_recv(), Ok(7));
        assert!(run_until(far, || panic!("from the work")).unwrap());
    }

    #[test]
    fn work_that_does_not_end_is_left_to_itself() {
        let (hold, held) = mpsc::channel::<()>();
        let (end, ended) = mpsc::channel();
        let work = move || {
            let _ = held.recv();
            end.send(()).unwrap();
        };
        assert!(!run_until(Instant::now(), work).unwrap());
        drop(hold);
        ended.recv().unwrap();
    }
}
