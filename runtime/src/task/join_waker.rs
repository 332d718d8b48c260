//! The waker of a join handle: who puts it into the task, wakes it, and takes it out again.
//!
//! It is kept in one word. Nearly always it is that of another task of a runtime: then the word is the address of
//! that task's header, with one reference to it. Other executors' wakers are boxed, and the lowest bit is set.

use super::cell::{Header, TaskRef};
use super::owners::{task_of, waker_of};
use super::state::{COMPLETE, JOIN_WAKER};
use crate::panics::{contain, drop_quietly};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::Waker;

const BOXED: usize = 1;

pub(super) struct JoinWaker(NonNull<Header>);

const _: () = assert!(align_of::<Header>() > BOXED && align_of::<Waker>() > BOXED);

impl JoinWaker {
    fn new(waker: Waker) -> Self {
        if let Some(task) = task_of(&waker) {
            // Its reference is in the word from now on.
            let _ = ManuallyDrop::new(waker);
            return JoinWaker(task.0);
        }
        let boxed = NonNull::from(Box::leak(Box::new(waker)));
        JoinWaker(boxed.cast().map_addr(|address| address | BOXED))
    }

    fn will_wake(&self, waker: &Waker) -> bool {
        self.with(|own| own.will_wake(waker))
    }

    fn wake_by_ref(&self) {
        self.with(Waker::wake_by_ref);
    }

    fn with<R>(&self, f: impl FnOnce(&Waker) -> R) -> R {
        if let Some(boxed) = self.boxed() {
            // SAFETY: from `Box::leak` in `new`, and freed only by the drop of `self`.
            return f(unsafe { &*boxed });
        }
        // SAFETY: the word has a reference, which is left alone by the waker that is not dropped.
        let waker = ManuallyDrop::new(unsafe { waker_of(TaskRef(self.0)) });
        f(&waker)
    }

    fn boxed(&self) -> Option<*mut Waker> {
        let raw = self.0.as_ptr();
        let is_boxed = raw.addr() & BOXED != 0;
        is_boxed.then(|| raw.map_addr(|address| address & !BOXED).cast())
    }
}

impl Drop for JoinWaker {
    fn drop(&mut self) {
        match self.boxed() {
            // SAFETY: from `Box::leak` in `new`, and nobody uses it any more.
            Some(boxed) => drop(unsafe { Box::from_raw(boxed) }),
            // SAFETY: the word's reference goes to this waker.
            None => drop(unsafe { waker_of(TaskRef(self.0)) }),
        }
    }
}

// SAFETY: it is a waker, which may be sent.
unsafe impl Send for JoinWaker {}
// SAFETY: it is a waker, which may be shared.
unsafe impl Sync for JoinWaker {}

impl Header {
    /// Called once, after COMPLETE was set while JOIN_WAKER was.
    pub(super) fn wake_join_handle(&self) {
        // A waker that panics must not take the worker with it, nor keep the task from being freed.
        contain(|| {
            self.join_waker.with(|waker| {
                // SAFETY: JOIN_WAKER is set, so nobody writes the slot.
                if let Some(waker) = unsafe { &*waker } {
                    waker.wake_by_ref();
                }
            });
        });
        if self.state.join_woken() {
            // The handle went away during the wake and left the waker to us.
            self.take_join_waker();
        }
    }

    /// Called only by the owner of the join waker's slot.
    pub(super) fn take_join_waker(&self) {
        let waker = self.join_waker.with_mut(|slot| {
            // SAFETY: the slot is the caller's alone.
            unsafe { &mut *slot }.take()
        });
        drop_quietly(waker);
    }

    /// True if the output is there to be taken; otherwise `waker` is in place to be woken.
    pub(super) fn poll_join(&self, waker: &Waker) -> bool {
        let seen = self.state.load();
        if seen.has(COMPLETE) {
            return true;
        }
        if seen.has(JOIN_WAKER) {
            let same = self.join_waker.with(|slot| {
                // SAFETY: JOIN_WAKER is set and only this handle clears it before COMPLETE, so nobody
                // writes the slot.
                unsafe { &*slot }
                    .as_ref()
                    .is_some_and(|old| old.will_wake(waker))
            });
            if same {
                return false;
            }
            if !self.state.unset_join_waker() {
                return true;
            }
        }
        let new = waker.clone();
        let old = self.join_waker.with_mut(|slot| {
            // SAFETY: JOIN_WAKER is clear and COMPLETE was not set, so the slot is the handle's alone.
            unsafe { &mut *slot }.replace(JoinWaker::new(new))
        });
        drop_quietly(old);
        if self.state.set_join_waker() {
            return false;
        }
        // Completed between the two: the slot is still ours.
        self.take_join_waker();
        true
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_waker_of_another_executor_is_kept_and_dropped() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let packed = JoinWaker::new(waker.clone());
        assert!(packed.will_wake(&waker));
        assert!(!packed.will_wake(Waker::noop()));
        packed.wake_by_ref();
        packed.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        drop((packed, waker));
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn it_is_one_word() {
        assert_eq!(size_of::<Option<JoinWaker>>(), size_of::<usize>());
    }
}
