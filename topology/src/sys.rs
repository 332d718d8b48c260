//! The only unsafe code of this crate: system calls about the calling thread.
//!
//! Scheduling calls are made raw, because musl's wrappers of them only return `ENOSYS`: they are per thread
//! in Linux and per process in POSIX. Thread 0 is the calling thread in all of them.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{is_idle, lower_nice, nice, set_affinity, set_idle};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use other::{is_idle, lower_nice, nice, set_affinity, set_idle};

#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
mod linux {
    use std::ffi::{c_int, c_long, c_ulong};

    use crate::CpuSet;
    use crate::cpu_set::CPU_MAX;

    const CALLING_THREAD: c_long = 0;
    const WORD_BITS: usize = c_ulong::BITS as usize;

    /// Whether the thread is now SCHED_IDLE.
    pub(crate) fn set_idle() -> bool {
        // The kernel's `sched_param` has this one field; libc's has more on some targets.
        let priority: c_int = 0;
        // SAFETY: the kernel reads one `c_int` from the pointer, and `priority` is one and outlives the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_sched_setscheduler,
                CALLING_THREAD,
                c_long::from(libc::SCHED_IDLE),
                &raw const priority,
            )
        };
        result == 0
    }

    /// Whether the thread is SCHED_IDLE.
    pub(crate) fn is_idle() -> bool {
        // SAFETY: no pointers; the call only reads the policy of the calling thread.
        let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, CALLING_THREAD) };
        policy == c_long::from(libc::SCHED_IDLE)
    }

    /// Sets the nice value of the thread; says whether the system accepted.
    pub(crate) fn lower_nice(nice: i32) -> bool {
        // SAFETY: no pointers; the call only changes the nice value of the calling thread.
        let result = unsafe {
            libc::syscall(
                libc::SYS_setpriority,
                c_long::from(libc::PRIO_PROCESS),
                CALLING_THREAD,
                c_long::from(nice),
            )
        };
        result == 0
    }

    /// The nice value of the thread, `None` where it cannot be read.
    pub(crate) fn nice() -> Option<i32> {
        // SAFETY: no pointers; the call only reads the nice value of the calling thread.
        let biased = unsafe {
            libc::syscall(
                libc::SYS_getpriority,
                c_long::from(libc::PRIO_PROCESS),
                CALLING_THREAD,
            )
        };
        // The raw call returns 20 - nice, which is 1..=40, so that -1 can mean an error.
        let biased = i32::try_from(biased).ok()?;
        (biased > 0).then(|| 20 - biased)
    }

    /// Lets the thread run on `cpus`; says whether the system accepted.
    pub(crate) fn set_affinity(cpus: &CpuSet) -> bool {
        let mut mask = [0 as c_ulong; (CPU_MAX + 1) / WORD_BITS];
        for cpu in cpus.iter() {
            let Some(word) = mask.get_mut(cpu / WORD_BITS) else {
                return false;
            };
            *word |= 1 << (cpu % WORD_BITS);
        }
        // SAFETY: the kernel reads `size_of_val(&mask)` bytes from the pointer, all of them in `mask`, which
        // outlives the call.
        let result = unsafe {
            libc::sched_setaffinity(
                0,
                size_of_val(&mask),
                mask.as_ptr().cast::<libc::cpu_set_t>(),
            )
        };
        result == 0
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod other {
    use crate::CpuSet;

    pub(crate) fn set_idle() -> bool {
        false
    }

    pub(crate) fn is_idle() -> bool {
        false
    }

    pub(crate) fn lower_nice(_nice: i32) -> bool {
        false
    }

    pub(crate) fn nice() -> Option<i32> {
        None
    }

    pub(crate) fn set_affinity(_cpus: &CpuSet) -> bool {
        false
    }
}
