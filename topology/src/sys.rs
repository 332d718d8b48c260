//! The only unsafe code of this crate: system calls about threads of this process.
//!
//! Scheduling calls are made raw, because musl's wrappers of them only return `ENOSYS`: they are
//! per thread in Linux and per process in POSIX. Thread 0 is the calling thread in all of them.

/// In place of a thread's id.
pub(crate) const CALLING_THREAD: u32 = 0;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{
    affinity, clock_ticks_per_second, current_cpu, is_idle, kick, lower_nice, membarrier, nice,
    process_cpu_time, register_kicks, register_membarrier, set_affinity, set_idle, thread_cpu_time,
    thread_id,
};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use other::{
    affinity, clock_ticks_per_second, current_cpu, is_idle, kick, lower_nice, membarrier, nice,
    process_cpu_time, register_kicks, register_membarrier, set_affinity, set_idle, thread_cpu_time,
    thread_id,
};

#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
mod linux {
    use std::ffi::{c_int, c_long, c_ulong};
    use std::mem::MaybeUninit;
    use std::time::Duration;

    use crate::CpuSet;
    use crate::cpu_set::CPU_MAX;

    const WORD_BITS: usize = c_ulong::BITS as usize;
    /// As in `linux/membarrier.h`; libc has no name for it.
    const MEMBARRIER_CMD_FLAG_CPU: c_int = 1;

    /// Whether the thread is now SCHED_IDLE.
    pub(crate) fn set_idle(thread: u32) -> bool {
        // The kernel's `sched_param` has this one field; libc's has more on some targets.
        let priority: c_int = 0;
        // SAFETY: the kernel reads one `c_int` from the pointer, and `priority` is one and outlives
        // the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_sched_setscheduler,
                c_long::from(thread),
                c_long::from(libc::SCHED_IDLE),
                &raw const priority,
            )
        };
        result == 0
    }

    /// Whether the thread is SCHED_IDLE.
    pub(crate) fn is_idle(thread: u32) -> bool {
        // SAFETY: no pointers; the call only reads the policy of a thread.
        let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, c_long::from(thread)) };
        policy == c_long::from(libc::SCHED_IDLE)
    }

    /// Sets the nice value of the thread; says whether the system accepted.
    pub(crate) fn lower_nice(thread: u32, nice: i32) -> bool {
        // SAFETY: no pointers; the call only changes the nice value of a thread.
        let result = unsafe {
            libc::syscall(
                libc::SYS_setpriority,
                c_long::from(libc::PRIO_PROCESS),
                c_long::from(thread),
                c_long::from(nice),
            )
        };
        result == 0
    }

    /// The nice value of the thread, `None` where it cannot be read.
    pub(crate) fn nice(thread: u32) -> Option<i32> {
        // SAFETY: no pointers; the call only reads the nice value of a thread.
        let biased = unsafe {
            libc::syscall(
                libc::SYS_getpriority,
                c_long::from(libc::PRIO_PROCESS),
                c_long::from(thread),
            )
        };
        // The raw call returns 20 - nice, which is 1..=40, so that -1 can mean an error.
        let biased = i32::try_from(biased).ok()?;
        (biased > 0).then(|| 20 - biased)
    }

    /// The id of the thread; never 0.
    pub(crate) fn thread_id() -> u32 {
        // SAFETY: no pointers; the call always succeeds.
        let id = unsafe { libc::syscall(libc::SYS_gettid) };
        id as u32
    }

    /// The CPU time that a thread of this process has used, `None` if there is no such thread.
    pub(crate) fn thread_cpu_time(id: u32) -> Option<Duration> {
        // As `pthread_getcpuclockid` makes it: the inverted id, and the bits for "of a thread" and
        // "scheduled".
        cpu_clock((!(id as libc::clockid_t) << 3) | 0b110)
    }

    /// The CPU time that this process has used.
    pub(crate) fn process_cpu_time() -> Option<Duration> {
        cpu_clock(libc::CLOCK_PROCESS_CPUTIME_ID)
    }

    fn cpu_clock(clock: libc::clockid_t) -> Option<Duration> {
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: `time` has room for a timespec.
        let failed = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
        if failed != 0 {
            return None;
        }
        // SAFETY: the call succeeded, so it has written `time`.
        let time = unsafe { time.assume_init() };
        Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// The unit of the times in `/proc/stat`.
    pub(crate) fn clock_ticks_per_second() -> Option<u64> {
        // SAFETY: no pointers.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        u64::try_from(ticks).ok().filter(|ticks| *ticks > 0)
    }

    /// What the thread may run on. `None` where that cannot be read.
    pub(crate) fn affinity(thread: u32) -> Option<CpuSet> {
        let mut mask = [0 as c_ulong; (CPU_MAX + 1) / WORD_BITS];
        // SAFETY: the kernel writes at most `size_of_val(&mask)` bytes to the pointer, all of them
        // in `mask`, which outlives the call.
        let result = unsafe {
            libc::sched_getaffinity(
                thread as libc::pid_t,
                size_of_val(&mask),
                mask.as_mut_ptr().cast::<libc::cpu_set_t>(),
            )
        };
        let words = mask.iter().enumerate().filter(|(_, word)| **word != 0);
        let cpus = words.flat_map(|(index, word)| {
            let bits = (0..WORD_BITS).filter(move |bit| word >> bit & 1 != 0);
            bits.map(move |bit| index * WORD_BITS + bit)
        });
        (result == 0)
            .then(|| cpus.collect::<CpuSet>())
            .filter(|cpus| !cpus.is_empty())
    }

    /// Lets the thread run on `cpus`; says whether the system accepted.
    pub(crate) fn set_affinity(thread: u32, cpus: &CpuSet) -> bool {
        let mut mask = [0 as c_ulong; (CPU_MAX + 1) / WORD_BITS];
        for cpu in cpus.iter() {
            let Some(word) = mask.get_mut(cpu / WORD_BITS) else {
                return false;
            };
            *word |= 1 << (cpu % WORD_BITS);
        }
        // SAFETY: the kernel reads `size_of_val(&mask)` bytes from the pointer, all of them in
        // `mask`, which outlives the call.
        let result = unsafe {
            libc::sched_setaffinity(
                thread as libc::pid_t,
                size_of_val(&mask),
                mask.as_ptr().cast::<libc::cpu_set_t>(),
            )
        };
        result == 0
    }

    /// Whether [`membarrier`] may be used from now on.
    pub(crate) fn register_membarrier() -> bool {
        call_membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, None)
    }

    /// Every running thread of the process makes a full fence; says whether they have.
    pub(crate) fn membarrier() -> bool {
        call_membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED, None)
    }

    /// Whether [`kick`] may be used from now on.
    pub(crate) fn register_kicks() -> bool {
        call_membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, None)
    }

    /// Interrupts the CPU if a thread of this process runs there; says whether that is possible.
    pub(crate) fn kick(cpu: usize) -> bool {
        let Ok(cpu) = c_int::try_from(cpu) else {
            return false;
        };
        call_membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, Some(cpu))
    }

    fn call_membarrier(command: c_int, cpu: Option<c_int>) -> bool {
        let flags = match cpu {
            None => 0,
            Some(_) => MEMBARRIER_CMD_FLAG_CPU,
        };
        // SAFETY: no pointers; no command changes anything but the order of memory accesses, and
        // sequences that may be restarted at any time.
        let result = unsafe {
            libc::syscall(
                libc::SYS_membarrier,
                c_long::from(command),
                c_long::from(flags),
                c_long::from(cpu.unwrap_or_default()),
            )
        };
        result == 0
    }

    /// The CPU that the calling thread runs on.
    pub(crate) fn current_cpu() -> Option<usize> {
        // SAFETY: no pointers; the call only reads where the thread runs.
        let cpu = unsafe { libc::sched_getcpu() };
        usize::try_from(cpu).ok()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod other {
    use std::time::Duration;

    use crate::CpuSet;

    pub(crate) fn thread_id() -> u32 {
        1
    }

    pub(crate) fn thread_cpu_time(_id: u32) -> Option<Duration> {
        None
    }

    pub(crate) fn process_cpu_time() -> Option<Duration> {
        None
    }

    pub(crate) fn clock_ticks_per_second() -> Option<u64> {
        None
    }

    pub(crate) fn set_idle(_thread: u32) -> bool {
        false
    }

    pub(crate) fn is_idle(_thread: u32) -> bool {
        false
    }

    pub(crate) fn lower_nice(_thread: u32, _nice: i32) -> bool {
        false
    }

    pub(crate) fn nice(_thread: u32) -> Option<i32> {
        None
    }

    pub(crate) fn affinity(_thread: u32) -> Option<CpuSet> {
        None
    }

    pub(crate) fn set_affinity(_thread: u32, _cpus: &CpuSet) -> bool {
        false
    }

    pub(crate) fn register_membarrier() -> bool {
        false
    }

    pub(crate) fn membarrier() -> bool {
        false
    }

    pub(crate) fn register_kicks() -> bool {
        false
    }

    pub(crate) fn kick(_cpu: usize) -> bool {
        false
    }

    pub(crate) fn current_cpu() -> Option<usize> {
        None
    }
}
