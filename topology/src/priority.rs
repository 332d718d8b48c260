//! How urgent compute threads are for the kernel.

use std::fmt;

use crate::sys;

/// How urgent compute threads are, next to the other threads of the process.
///
/// And next to those of other processes in the same scheduling group: on Linux that is a cgroup
/// with the `cpu` controller, or a session where the kernel makes groups of them
/// (`sched_autogroup_enabled`). Between groups the kernel shares the CPU by the groups' own
/// weights, whatever their threads are: a program in another group gets half of a core beside a
/// compute thread of this process, not all of it. Where that matters, give the groups weights
/// (`cpu.weight`, `systemctl set-property`).
///
/// # The end of a process
///
/// A thread has to run once more before it ends. While other programs leave no CPU idle, one at
/// [`Idle`](ComputePriority::Idle) waits for that for about a second, as long as its share of a CPU
/// takes to come round: so long a process is still there that was killed or has called `exit`, and
/// so long a runtime takes to shut down. `setuid` and its like, which the C library has each thread
/// do, take as long if compute threads compute meanwhile. With [`Low`](ComputePriority::Low) it is
/// about a tenth of a second. Nothing that a process may do without privileges makes it shorter:
/// choose `Low` where processes have to end at once on machines that others use up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ComputePriority {
    /// `SCHED_IDLE`: runs when no normal thread of the group wants the CPU, and gives way to one as
    /// soon as it wakes.
    #[default]
    Idle,
    /// Nice 19: the smallest share of the CPU that a normal thread can have.
    Low,
    /// As any other thread of the process.
    Normal,
}

impl fmt::Display for ComputePriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "idle",
            Self::Low => "low",
            Self::Normal => "normal",
        })
    }
}

const NICE_LOWEST: i32 = 19;

/// Lowers the calling thread to `wanted`, or as near as the system allows, and returns the priority
/// that is then in force.
///
/// Refused [`Idle`] becomes [`Low`], refused [`Low`] leaves the thread as it was. Anything but
/// Linux and Android refuses both. [`Normal`] asks for nothing.
///
/// This is a one-way door: without `CAP_SYS_NICE` (or an `RLIMIT_NICE` that few systems grant) a
/// thread cannot be raised again, and threads that it starts are as low as itself. So lower a
/// thread that was made for the purpose, from a thread that keeps its priority.
///
/// [`Idle`]: ComputePriority::Idle
/// [`Low`]: ComputePriority::Low
/// [`Normal`]: ComputePriority::Normal
pub fn lower_current_thread(wanted: ComputePriority) -> ComputePriority {
    lower(sys::CALLING_THREAD, wanted)
}

/// As [`lower_current_thread`], for another thread of this process, whatever it is doing.
///
/// `id` is from [`current_thread_id`](crate::current_thread_id) on that thread, which must not have
/// ended: the system may have given its id to another.
pub fn lower_thread(id: u32, wanted: ComputePriority) -> ComputePriority {
    lower(id, wanted)
}

fn lower(thread: u32, wanted: ComputePriority) -> ComputePriority {
    let idle = wanted == ComputePriority::Idle && sys::set_idle(thread);
    if !idle && wanted != ComputePriority::Normal {
        // Refused as well: what is in force is read back below.
        let _ = sys::lower_nice(thread, NICE_LOWEST);
    }
    priority(thread)
}

/// The priority of the calling thread: [`ComputePriority::Normal`] is anything that is neither
/// `SCHED_IDLE` nor nice 19.
pub fn current_priority() -> ComputePriority {
    priority(sys::CALLING_THREAD)
}

/// As [`current_priority`], of another thread of this process.
///
/// `id` is from [`current_thread_id`](crate::current_thread_id) on that thread.
pub fn thread_priority(id: u32) -> ComputePriority {
    priority(id)
}

fn priority(thread: u32) -> ComputePriority {
    if sys::is_idle(thread) {
        ComputePriority::Idle
    } else if sys::nice(thread) == Some(NICE_LOWEST) {
        ComputePriority::Low
    } else {
        ComputePriority::Normal
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn in_a_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| scope.spawn(f).join().unwrap())
    }

    /// What the kernel itself says of the calling thread.
    #[cfg(target_os = "linux")]
    fn in_force() -> ComputePriority {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The third field is the first after the name, which may contain anything. See
        // proc_pid_stat(5).
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let (nice, policy) = (fields[19 - 3], fields[41 - 3]);
        match (policy, nice) {
            ("5", _) => ComputePriority::Idle,
            (_, "19") => ComputePriority::Low,
            _ => ComputePriority::Normal,
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_reported_is_in_force() {
        for wanted in [
            ComputePriority::Idle,
            ComputePriority::Low,
            ComputePriority::Normal,
        ] {
            in_a_thread(|| {
                let reported = lower_current_thread(wanted);
                assert_eq!((in_force(), current_priority()), (reported, reported));
            });
        }
    }

    #[test]
    fn normal_asks_for_nothing() {
        let before = current_priority();
        assert_eq!(
            in_a_thread(|| lower_current_thread(ComputePriority::Normal)),
            before
        );
    }

    // Lowering needs no privilege on Linux; only a sandbox can refuse, and then it refuses the
    // probe as well.
    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_calling_thread_is_lowered() {
        let before = current_priority();
        let (idle, low) = in_a_thread(|| {
            let low = in_a_thread(|| lower_current_thread(ComputePriority::Low));
            let idle = lower_current_thread(ComputePriority::Idle);
            assert_eq!(in_a_thread(current_priority), idle, "children inherit it");
            (idle, low)
        });
        assert_eq!(current_priority(), before);
        if sys_allows_lowering() {
            assert_ne!(idle, ComputePriority::Normal);
            assert_ne!(low, ComputePriority::Normal);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_thread_is_lowered_from_outside() {
        let before = current_priority();
        let (tell, told) = std::sync::mpsc::channel();
        let (go, went) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            tell.send(crate::current_thread_id()).unwrap();
            let _ = went.recv();
            current_priority()
        });
        let in_force = lower_thread(told.recv().unwrap(), ComputePriority::Idle);
        drop(go);
        assert_eq!(thread.join().unwrap(), in_force);
        assert_eq!(current_priority(), before);
        if sys_allows_lowering() {
            assert_ne!(in_force, ComputePriority::Normal);
        }
    }

    #[cfg(target_os = "linux")]
    fn sys_allows_lowering() -> bool {
        in_a_thread(|| sys::lower_nice(sys::CALLING_THREAD, NICE_LOWEST))
    }

    #[test]
    fn a_lowered_thread_stays_lowered() {
        in_a_thread(|| {
            let idle = lower_current_thread(ComputePriority::Idle);
            assert_eq!(lower_current_thread(ComputePriority::Low), idle);
            assert_eq!(lower_current_thread(ComputePriority::Normal), idle);
        });
    }
}
