//! rayon's global pool, whose threads inherit what their maker has.

use evenkeel_sync::panics::log;
use evenkeel_topology::parallelism;
use rayon_core::ThreadPoolBuilder;
use std::env;

/// Builds the pool on the calling thread, which is as the program is, if nobody has done so. A task
/// that did it first, on a pinned worker, would make one thread on one CPU, for good.
pub(super) fn build() {
    let mut builder = ThreadPoolBuilder::new();
    // rayon's own variables are for whoever sets them.
    if ["RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS"]
        .iter()
        .all(|name| env::var_os(name).is_none())
    {
        builder = builder.num_threads(parallelism());
    }
    match builder.build_global() {
        Ok(()) => log(|| tracing::debug!("rayon's global pool is built")),
        Err(error) => log(|| tracing::debug!(%error, "rayon's global pool is left as it is")),
    }
}
