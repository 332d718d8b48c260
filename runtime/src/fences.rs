//! The two sides of an asymmetric fence: one that is free, and one that pays for both.

#[cfg(not(evenkeel_loom))]
pub(crate) use evenkeel_topology::{heavy_fence, light_fence};

/// To loom both sides are full fences.
#[cfg(evenkeel_loom)]
pub(crate) fn light_fence() {
    evenkeel_sync::atomic::fence(evenkeel_sync::atomic::Ordering::SeqCst);
}

/// As `light_fence`.
#[cfg(evenkeel_loom)]
pub(crate) fn heavy_fence() -> bool {
    light_fence();
    true
}
