//! The atomics, cells and locks of the modelled protocols: the real ones, or loom's.

pub(crate) use evenkeel_sync::{Mutex, UnsafeCell, atomic};

#[cfg(not(evenkeel_loom))]
pub(crate) use evenkeel_topology::{heavy_fence, light_fence};

/// To loom both sides of an asymmetric fence are full fences.
#[cfg(evenkeel_loom)]
pub(crate) fn light_fence() {
    atomic::fence(atomic::Ordering::SeqCst);
}

/// As `light_fence`.
#[cfg(evenkeel_loom)]
pub(crate) fn heavy_fence() -> bool {
    light_fence();
    true
}
