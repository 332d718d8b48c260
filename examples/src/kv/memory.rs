use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in use, within a limit.
#[derive(Debug)]
pub(super) struct Memory {
    used_bytes: AtomicUsize,
    bytes_max: usize,
}

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            used_bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Exchanges `old` bytes for `new` ones. False, and nothing is changed, if that would be more
    /// than the limit; less than before is always allowed.
    #[must_use = "nothing has been taken if it is false"]
    pub(super) fn exchange(&self, old: usize, new: usize) -> bool {
        if new <= old {
            self.used_bytes.fetch_sub(old - new, Ordering::Relaxed);
            return true;
        }
        let more = new - old;
        let add = |used: usize| {
            used.checked_add(more)
                .filter(|&bytes| bytes <= self.bytes_max)
        };
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok()
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes of a [`Memory`] that are given back when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Taken {
    pub(super) fn none(memory: Arc<Memory>) -> Self {
        Self { memory, bytes: 0 }
    }

    /// False, and nothing is changed, if it does not fit.
    #[must_use = "nothing has been taken if it is false"]
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let fits = bytes == self.bytes || self.memory.exchange(self.bytes, bytes);
        if fits {
            self.bytes = bytes;
        }
        fits
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}
