//! How others reach the supervisor.

use crate::scheduler::driver_lock::DriverLock;
use crate::scheduler::parker::Parker;
use crate::scheduler::watch::Watching;
use crate::timers::Sleeps;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct Watch {
    pub(super) watching: Watching,
    pub(super) stop: AtomicBool,
    pub(super) parker: Parker,
    pub(super) driver: Arc<DriverLock>,
}

#[cfg(not(feature = "test-util"))]
impl Sleeps for Watch {}

#[cfg(feature = "test-util")]
impl Sleeps for Watch {
    fn is_notified(&self) -> bool {
        self.parker.is_notified()
    }

    fn unpark(&self) {
        Watch::unpark(self);
    }

    fn acknowledge(&self) {
        // All that it is woken for shows elsewhere as well.
    }
}

impl Watch {
    pub(crate) fn new(driver: Arc<DriverLock>) -> Self {
        Watch {
            watching: Watching::new(),
            stop: AtomicBool::new(false),
            parker: Parker::new(),
            driver,
        }
    }

    /// To be called by a worker that wakes up.
    pub(crate) fn worker_awake(&self) {
        if self.watching.worker_awake() {
            self.unpark();
        }
    }

    /// Makes the supervisor see to what there is for it.
    pub(crate) fn unpark(&self) {
        self.parker.unpark(Some(self.driver.handle()));
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.unpark();
    }
}
