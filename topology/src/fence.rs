//! Asymmetric fences: one side nearly free, the other a system call.
//!
//! Two threads that each write one place and then read the other's need a full fence between the
//! two, or both may miss the other's write. Where one side does so all the time and the other
//! hardly ever, the frequent side can make do with a fence for the compiler, if the rare one makes
//! all CPUs that run the process fence (Linux's `membarrier`). The pair is that of folly's
//! `asymmetric_thread_fence` and of C++ P1202.

use std::sync::atomic::{AtomicU8, Ordering, compiler_fence, fence};

use crate::sys;

const UNKNOWN: u8 = 0;
const ASYMMETRIC: u8 = 1;
const SYMMETRIC: u8 = 2;

static KIND: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Makes [`light_fence`] cheap from now on, where the system can do that. To be called once, before
/// the fences are used much; without it they are two full fences.
pub fn prepare_fences() {
    if KIND.load(Ordering::Relaxed) == UNKNOWN {
        let kind = if sys::register_membarrier() {
            ASYMMETRIC
        } else {
            SYMMETRIC
        };
        // The first answer stays: with two of them a light side could be cheap and a heavy one not
        // know of it.
        let _ = KIND.compare_exchange(UNKNOWN, kind, Ordering::SeqCst, Ordering::SeqCst);
    }
}

/// The frequent side: together with a [`heavy_fence`] of another thread, a full fence.
#[inline]
pub fn light_fence() {
    // A stale answer makes a full fence, which is right with either kind of the other side.
    if KIND.load(Ordering::Relaxed) == ASYMMETRIC {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The rare side: a full fence for this thread, and for every other thread of the process at some
/// point between the begin and the end of the call. Takes some microseconds, and interrupts the
/// CPUs that run the process.
///
/// False if the system has taken back what it granted to [`prepare_fences`] (a filter of system
/// calls can do that): then it was a fence for this thread only.
#[must_use = "after a refusal the other side may not have made its fence"]
pub fn heavy_fence() -> bool {
    fence(Ordering::SeqCst);
    let made = KIND.load(Ordering::SeqCst) != ASYMMETRIC || sys::membarrier();
    fence(Ordering::SeqCst);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Arc, Barrier};

    /// Store, fence, load on both sides: at least one has to see the other. (Which on one CPU is no
    /// wonder; with two this fails within a few thousand turns once the fence is taken out.)
    #[test]
    fn one_side_sees_the_other() {
        prepare_fences();
        let places: Arc<[AtomicUsize; 2]> = Arc::default();
        let start = Arc::new(Barrier::new(2));
        let side = |mine: usize, fence: fn() -> bool| {
            let (places, start) = (places.clone(), start.clone());
            move || -> Vec<bool> {
                let turn = |turn| {
                    start.wait();
                    places[mine].store(turn, Ordering::Relaxed);
                    assert!(fence());
                    places[1 - mine].load(Ordering::Relaxed) >= turn
                };
                (1..=5_000).map(turn).collect()
            }
        };
        let light = std::thread::spawn(side(0, || {
            light_fence();
            true
        }));
        let heavy = side(1, heavy_fence)();
        let light = light.join().unwrap();
        assert!(
            light
                .iter()
                .zip(&heavy)
                .all(|(light, heavy)| *light || *heavy)
        );
    }
}
