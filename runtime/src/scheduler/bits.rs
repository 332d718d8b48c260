//! A bit for each worker. Nothing is ordered by these: what depends on an order has fences around
//! them.

use crossbeam_utils::CachePadded;
use evenkeel_sync::atomic::{AtomicU64, Ordering};

pub(super) const PER_WORD: usize = u64::BITS as usize;

pub(super) struct Bits(Box<[CachePadded<AtomicU64>]>);

impl Bits {
    pub(super) fn new(workers: usize) -> Self {
        let word = |_| CachePadded::new(AtomicU64::new(0));
        Bits((0..workers.div_ceil(PER_WORD)).map(word).collect())
    }

    pub(super) fn set(&self, worker: usize) {
        self.0[worker / PER_WORD].fetch_or(mask(worker), Ordering::Relaxed);
    }

    pub(super) fn clear(&self, worker: usize) {
        self.0[worker / PER_WORD].fetch_and(!mask(worker), Ordering::Relaxed);
    }

    /// The bits of workers from `index * PER_WORD` on.
    pub(super) fn word(&self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) -> u32 {
        let words = 0..self.0.len();
        words.map(|index| self.word(index).count_ones()).sum()
    }
}

fn mask(worker: usize) -> u64 {
    1 << (worker % PER_WORD)
}
