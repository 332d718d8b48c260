//! Keeping the panics of wakers from the runtime's own threads. What is promised of each kind of
//! foreign code is in ARCHITECTURE.md.

use evenkeel_sync::panics::{contain, log};
use std::task::Waker;

/// Calls a waker, which may be any executor's, and contains its panic.
pub(crate) fn wake(waker: Waker) {
    if !contain(|| waker.wake()) {
        log(|| tracing::error!("a waker panicked"));
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::wake;
    use std::sync::Arc;
    use std::task::{Wake, Waker};

    #[test]
    fn a_waker_that_panics_is_kept_from_the_owner() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("from a waker");
            }
        }
        wake(Waker::from(Arc::new(Panics)));
    }
}
