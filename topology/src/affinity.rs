//! Which CPUs the calling thread may run on, and the changing of that.

use std::iter;
use std::sync::OnceLock;

use core_affinity::CoreId;

use crate::{CpuQuota, CpuSet, QuotaGroups, sys};

/// The CPUs that the calling thread may run on.
///
/// This is the affinity mask of the *calling thread*, which new threads inherit: `taskset` and
/// cpuset cgroups show in it, and so does a pinning of this very thread. Ask from a thread that was
/// not pinned.
///
/// Where the mask cannot be read, this is `0..n` for the `n` CPUs that [`num_cpus`] counts.
pub fn allowed_cpus() -> CpuSet {
    if let Some(cpus) = sys::affinity(sys::CALLING_THREAD) {
        return cpus;
    }
    match core_affinity::get_core_ids() {
        Some(cores) if !cores.is_empty() => cores.into_iter().map(|core| core.id).collect(),
        _ => (0..num_cpus::get().max(1)).collect(),
    }
}

/// The CPUs that a thread of this process may run on. `None` if it has ended, or the system
/// (anything but Linux and Android) does not tell.
///
/// `id` is from [`current_thread_id`](crate::current_thread_id) on that thread.
pub fn thread_cpus(id: u32) -> Option<CpuSet> {
    sys::affinity(id)
}

/// How many CPUs' worth of time the process may use: the allowed CPUs, or the CPU quota where that
/// is less. At least 1.
///
/// The quota is the least of those of the process's cgroup and of the groups above that. What it
/// has beyond whole CPUs is left out, since a worker more would use it up and have all of them
/// stand still for the rest of each period. It is read at the first call; [`QuotaGroups`] says what
/// it is now. The remark about pinned callers at [`allowed_cpus`] holds.
pub fn parallelism() -> usize {
    allowed_cpus().len().min((quota_cpus() as usize).max(1))
}

/// The same with a part of a CPU counted as one: for threads that pause before a quota is used up.
pub fn parallelism_rounded_up() -> usize {
    allowed_cpus().len().min(quota_cpus().ceil() as usize)
}

/// Infinite without a quota.
fn quota_cpus() -> f64 {
    static QUOTA: OnceLock<Option<CpuQuota>> = OnceLock::new();
    let quota = QUOTA.get_or_init(|| QuotaGroups::of_process().quota());
    quota.map_or(f64::INFINITY, |quota| quota.cpus)
}

/// Pins the calling thread to `cpu`; says whether the system accepted.
///
/// Threads that it starts afterwards inherit the pinning; [`unpin_current_thread`] is for those.
#[must_use = "a refused pinning leaves the thread where it was"]
pub fn pin_current_thread(cpu: usize) -> bool {
    // core_affinity indexes a mask of fixed size with this number.
    if cpu < MASK_BITS {
        return core_affinity::set_for_current(CoreId { id: cpu });
    }
    sys::set_affinity(sys::CALLING_THREAD, &iter::once(cpu).collect())
}

/// Keeps the calling thread to `cpus`; says whether the system accepted.
///
/// To one CPU wherever there is [`pin_current_thread`], and to several on Linux and Android.
/// Threads that it starts afterwards inherit it.
#[must_use = "a refusal leaves the thread where it was"]
pub fn confine_current_thread(cpus: &CpuSet) -> bool {
    match cpus.as_slice() {
        [cpu] => pin_current_thread(*cpu),
        _ => sys::set_affinity(sys::CALLING_THREAD, cpus),
    }
}

/// CPUs in the affinity masks of the [`core_affinity`] crate.
const MASK_BITS: usize = if cfg!(windows) { 64 } else { 1024 };

/// Lets the calling thread run on every one of `cpus`; says whether the system accepted.
///
/// For a thread that was started by a pinned one and should not stay on its CPU. Does nothing but
/// return `false` where there is no such call (anything but Linux and Android).
#[must_use = "a refusal leaves the thread where it was"]
pub fn unpin_current_thread(cpus: &CpuSet) -> bool {
    sys::set_affinity(sys::CALLING_THREAD, cpus)
}

/// Lets a thread of this process run on every one of `cpus`, and nowhere else; says whether the
/// system accepted.
///
/// `id` is from [`current_thread_id`](crate::current_thread_id) on that thread, which must not have
/// ended: the system may have given its id to another. A thread that sleeps is moved when it wakes
/// up. Does nothing but return `false` where there is no such call (anything but Linux and
/// Android).
///
/// ```
/// use evenkeel_topology::{allowed_cpus, current_thread_id, set_thread_affinity};
///
/// let accepted = set_thread_affinity(current_thread_id(), &allowed_cpus());
/// assert_eq!(accepted, cfg!(any(target_os = "linux", target_os = "android")));
/// ```
#[must_use = "a refusal leaves the thread where it was"]
pub fn set_thread_affinity(id: u32, cpus: &CpuSet) -> bool {
    sys::set_affinity(id, cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallelism_is_within_the_allowed_cpus() {
        assert!((1..=parallelism_rounded_up()).contains(&parallelism()));
        assert!((1..=allowed_cpus().len()).contains(&parallelism_rounded_up()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_status_of_a_thread_says_the_same() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mut lines = status.lines();
        let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        assert_eq!(list.unwrap().trim().parse(), Ok(allowed_cpus()));
        assert_eq!(
            thread_cpus(crate::current_thread_id()),
            Some(allowed_cpus())
        );
        assert_eq!(thread_cpus(u32::MAX >> 4), None);
    }

    // Pins a thread of its own: the harness's threads are inherited from.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_pinned_thread_is_on_that_cpu_until_unpinned() {
        std::thread::spawn(|| {
            let before = allowed_cpus();
            for cpu in before.iter() {
                assert!(pin_current_thread(cpu));
                assert_eq!(allowed_cpus().as_slice(), [cpu]);
                let child = std::thread::spawn(allowed_cpus).join().unwrap();
                assert_eq!(child.as_slice(), [cpu], "children inherit it");
                assert!(unpin_current_thread(&before));
                assert_eq!(allowed_cpus(), before);
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn cpus_that_cannot_exist_are_refused() {
        std::thread::spawn(|| {
            let before = allowed_cpus();
            assert!(!pin_current_thread(MASK_BITS));
            assert!(!pin_current_thread(usize::MAX));
            assert!(!unpin_current_thread(&CpuSet::default()));
            assert!(!unpin_current_thread(&[usize::MAX].into_iter().collect()));
            assert_eq!(allowed_cpus(), before);
        })
        .join()
        .unwrap();
    }
}
