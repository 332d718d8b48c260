//! Work that is counted while it is done.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::spin::Spin;

/// What tasks beside the requests get done, in the unit of the case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedWork {
    spin: Spin,
    done: &'static AtomicU64,
}

impl CountedWork {
    /// None yet. For processes that end with their measurement: it is never freed.
    pub(crate) fn none(spin: Spin) -> Self {
        Self {
            spin,
            done: Box::leak(Box::default()),
        }
    }

    pub(crate) fn count(self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn done(self) -> f64 {
        self.done.load(Ordering::Relaxed) as f64
    }

    /// Computes, and counts each millisecond of it, so that a long computation which straddles the
    /// edge of the window counts with its part.
    pub(crate) fn compute(self, ms: u64) {
        for _ in 0..ms {
            self.compute_uncounted(1000);
            self.count();
        }
    }

    pub(crate) fn compute_uncounted(self, us: u64) {
        self.spin.run(us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computing_counts_its_milliseconds() {
        let work = CountedWork::none(Spin::none());
        work.compute(200);
        work.count();
        assert_eq!(work.done(), 201.0);
    }
}
