//! How a future in `block_on` of a current-thread runtime is woken. The protocol is in
//! `runtime::current_thread`.

use super::lane::Lane;
use super::parker::Parker;
use super::worker::Caller;
use crate::timers::Sleeps;
use evenkeel_sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::Arc;
use std::task::Wake;
use std::time::Duration;

pub(crate) struct RootWaker {
    /// It is to be polled.
    woken: AtomicBool,
    /// Its thread has the seat of the lane's worker, and sleeps there.
    drives: AtomicBool,
    /// Where it sleeps otherwise.
    parker: Parker,
    lane: Arc<Lane>,
}

impl RootWaker {
    /// Of a future that has not been polled yet.
    pub(crate) fn new(lane: Arc<Lane>) -> Self {
        RootWaker {
            woken: AtomicBool::new(true),
            drives: AtomicBool::new(false),
            parker: Parker::new(),
            lane,
        }
    }

    /// True if it was woken since the last time that this was asked.
    pub(crate) fn take_woken(&self) -> bool {
        self.is_woken() && self.woken.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// The thread has got the seat, and asks [`is_woken`](RootWaker::is_woken) before it sleeps.
    pub(crate) fn set_drives(&self) {
        self.drives.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn park(&self, timeout: Option<Duration>) {
        self.parker.park(timeout);
    }

    /// Wakes the thread where it sleeps while it does not drive.
    pub(crate) fn unpark(&self) {
        self.parker.unpark(None);
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.drives.load(Ordering::Relaxed) {
            Caller::with(|caller| self.lane.unpark_driving(caller));
        } else {
            self.unpark();
        }
    }
}

#[cfg(any(evenkeel_loom, not(feature = "test-util")))]
impl Sleeps for RootWaker {}

#[cfg(all(feature = "test-util", not(evenkeel_loom)))]
impl Sleeps for RootWaker {
    fn is_notified(&self) -> bool {
        self.is_woken() || self.parker.is_notified()
    }

    fn unpark(&self) {
        RootWaker::unpark(self);
    }

    fn acknowledge(&self) {
        // It is, when the future is polled.
    }
}

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        RootWaker::wake(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        RootWaker::wake(self);
    }
}
