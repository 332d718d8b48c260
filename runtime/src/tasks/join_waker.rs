//! The waker of a join handle: how it is put into the task, woken, and taken out again.
//!
//! Both sides' steps are in [`state`](super::state).

use super::header::{Header, JoinWaker};
use super::state::{COMPLETE, JOIN_WAKER};
use crate::panics::{contain, drop_quietly};
use std::task::Waker;

impl Header {
    /// # Safety
    /// The caller has set COMPLETE while JOIN_WAKER was set, and calls this once.
    pub(super) unsafe fn wake_join_handle(&self) {
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
            // SAFETY: the handle went away during the wake and left the slot to us.
            unsafe { self.drop_join_waker() };
        }
    }

    /// # Safety
    /// The join waker's slot is the caller's alone.
    pub(super) unsafe fn drop_join_waker(&self) {
        let waker = self.join_waker.with_mut(|slot| {
            // SAFETY: the slot is the caller's alone.
            unsafe { &mut *slot }.take()
        });
        drop_quietly(waker);
    }

    /// True if the output is there to be taken; otherwise `waker` is in place to be woken.
    ///
    /// # Safety
    /// The caller has JOIN_INTEREST, and is in no other call of this.
    pub(super) unsafe fn poll_join(&self, waker: &Waker) -> bool {
        let seen = self.state.load();
        if seen.has(COMPLETE) {
            return true;
        }
        if seen.has(JOIN_WAKER) {
            let same = self.join_waker.with(|slot| {
                // SAFETY: JOIN_WAKER is set and only this handle clears it before COMPLETE, so
                // nobody writes the slot.
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
            // SAFETY: JOIN_WAKER is clear and COMPLETE was not set, so the slot is the handle's
            // alone.
            unsafe { &mut *slot }.replace(JoinWaker::new(new))
        });
        drop_quietly(old);
        if self.state.set_join_waker() {
            return false;
        }
        // SAFETY: completed between the two, so the slot is still ours.
        unsafe { self.drop_join_waker() };
        true
    }
}
