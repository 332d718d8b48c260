//! What the harness asks of the kernel: priorities, CPU clocks, a precise timer. All of its unsafe
//! code is here.

#[cfg(not(target_os = "linux"))]
compile_error!("evenkeel-bench reads Linux's scheduler and /proc: build it on Linux");

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, UNIX_EPOCH};

/// A low real-time priority: above every normal thread, below the kernel's own.
const FIFO_PRIORITY: libc::c_int = 10;
/// The fallback where real-time priority is refused.
const RAISED_NICE: libc::c_int = -15;
/// The shortest time slice that Linux gives.
const SLICE_MIN: Duration = Duration::from_micros(100);
/// The lowest normal priority.
const LOWEST_NICE: libc::c_int = 19;

/// The scheduling of a thread that was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    RealTime,
    /// That of other threads, or little more.
    Normal,
}

/// Raises the calling thread above a client's ([`raise_priority`]), or, where that is refused, has
/// it run soon after it wakes up.
pub(crate) fn raise_above_client() -> Priority {
    if set_fifo(FIFO_PRIORITY + 1).is_ok() {
        return Priority::RealTime;
    }
    // Refused as well, or unknown to the kernel, it changes nothing.
    let _ = set_shortest_slice();
    Priority::Normal
}

fn set_fifo(priority: libc::c_int) -> io::Result<()> {
    let fifo = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `fifo` is a valid sched_param for the length of the call; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const fifo) })
}

/// Gives the calling thread, at normal priority, the shortest time slice: one that wakes up goes
/// before those whose slices are longer.
fn set_shortest_slice() -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: SLICE_MIN.as_nanos() as u64,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: `attributes` is a valid sched_attr for the length of the call, and says its size; the
    // first 0 is the calling thread, the second no flags.
    let status = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    check(status as libc::c_int)
}

/// Raises the calling thread as far as the system permits, and says how far that was.
pub(crate) fn raise_priority() -> String {
    if set_fifo(FIFO_PRIORITY).is_ok() {
        return format!("SCHED_FIFO {FIFO_PRIORITY}");
    }
    format!("{} (SCHED_FIFO refused)", raise_nice())
}

/// Raises the calling thread among the normal ones, and says whether the system permitted it.
pub(crate) fn raise_nice() -> String {
    match set_nice(RAISED_NICE) {
        Ok(()) => format!("nice {RAISED_NICE}"),
        Err(_) => "nice 0".to_owned(),
    }
}

/// Gives the calling thread nice 19.
pub(crate) fn lower_priority() -> io::Result<()> {
    set_nice(LOWEST_NICE)
}

/// Puts the calling thread under `SCHED_IDLE`, below every nice value.
pub(crate) fn schedule_as_idle() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` is a valid sched_param for the length of the call; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const param) })
}

/// Gives the calling thread this nice value.
pub(crate) fn set_nice(nice: libc::c_int) -> io::Result<()> {
    // SAFETY: takes three integers; on Linux `PRIO_PROCESS` with 0 is the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })
}

/// Has the kernel kill this process when the thread that started it ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes one integer, a signal.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

/// Begins a session of this process's own. Where the kernel groups by sessions (autogroup), it has
/// from then on a scheduling group of its own as well.
pub(crate) fn leave_session() -> io::Result<()> {
    // SAFETY: takes nothing.
    check(unsafe { libc::setsid() })
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu_time() -> Duration {
    cpu_clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of this process.
pub(crate) fn process_cpu_time() -> Duration {
    cpu_clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time of a process.
///
/// # Errors
///
/// There is no such process.
pub(crate) fn cpu_time_of(process: u32) -> io::Result<Duration> {
    let process = libc::pid_t::try_from(process).map_err(io::Error::other)?;
    let mut clock = MaybeUninit::uninit();
    // SAFETY: `clock` has room for a clockid_t.
    let error = unsafe { libc::clock_getcpuclockid(process, clock.as_mut_ptr()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: the call succeeded, so it has written `clock`.
    let clock = unsafe { clock.assume_init() };
    // It may have ended meanwhile.
    read_clock(clock)
}

/// CPU time of the thread of this process with this id.
///
/// # Errors
///
/// There is no such thread.
pub(crate) fn cpu_time_of_thread(id: libc::pid_t) -> io::Result<Duration> {
    // A thread's own clock, as the kernel numbers them: all bits of the id inverted, then "of a
    // thread" (4) and "what it has run" (2).
    read_clock((!id << 3) | 4 | 2)
}

fn cpu_clock(clock: libc::clockid_t) -> Duration {
    read_clock(clock).expect("Linux always has the CPU clocks")
}

fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `time` has room for a timespec.
    check(unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has written `time`.
    let time = unsafe { time.assume_init() };
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// CPU time of the child processes that have been waited for.
pub(crate) fn children_cpu_time() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `usage` has room for a rusage.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    assert_eq!(failed, 0, "RUSAGE_CHILDREN is always valid");
    // SAFETY: the call succeeded, so it has written `usage`.
    let usage = unsafe { usage.assume_init() };
    timeval(usage.ru_utime) + timeval(usage.ru_stime)
}

fn timeval(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
}

/// The time of a clock that never goes back, from some moment on.
pub(crate) fn monotonic_time() -> Duration {
    read_clock(libc::CLOCK_MONOTONIC).expect("Linux always has this clock")
}

/// Sleeps until that clock says this.
pub(crate) fn sleep_until(due: Duration) {
    let due = libc::timespec {
        tv_sec: due.as_secs() as libc::time_t,
        tv_nsec: due.subsec_nanos() as libc::c_long,
    };
    let (clock, flags) = (libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME);
    loop {
        // SAFETY: `due` is a valid timespec for the length of the call, and an absolute sleep
        // leaves no rest to be written.
        let error =
            unsafe { libc::clock_nanosleep(clock, flags, &raw const due, std::ptr::null_mut()) };
        if error != libc::EINTR {
            return;
        }
    }
}

/// A timer with a descriptor: epoll's own timeout is in milliseconds, which is longer than most
/// answers take.
pub(crate) struct Timer(OwnedFd);

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: takes two integers.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        check(fd.min(0))?;
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Becomes readable once, `delay` from now, and forgets what was armed before.
    pub(crate) fn arm(&self, delay: Duration) -> io::Result<()> {
        // A zero would disarm it.
        let delay = delay.max(Duration::from_nanos(1));
        let once = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: delay.as_secs() as libc::time_t,
                tv_nsec: delay.subsec_nanos() as libc::c_long,
            },
        };
        let fd = self.0.as_raw_fd();
        // SAFETY: `once` is a valid itimerspec for the length of the call, and a null old value is
        // allowed.
        check(unsafe { libc::timerfd_settime(fd, 0, &raw const once, std::ptr::null_mut()) })
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Has the kernel note when something comes in on this socket, for [`read_with_age`].
pub(crate) fn note_arrivals(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: `on` is a valid int for the length of the call, and its size is told.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
}

/// What the kernel writes beside the data of a message: the time of its arrival.
#[repr(C)]
struct Arrival {
    header: libc::cmsghdr,
    /// By the clock that can be set.
    at: libc::timespec,
}

/// Reads from a socket without waiting, and says how long ago the last of what it has read came in,
/// if the kernel was told to note that.
pub(crate) fn read_with_age(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<Duration>)> {
    let mut data = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut arrival = MaybeUninit::<Arrival>::zeroed();
    // SAFETY: null pointers and zeros are a valid msghdr, of a message without any part.
    let mut message = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
    message.msg_iov = &raw mut data;
    message.msg_iovlen = 1;
    message.msg_control = arrival.as_mut_ptr().cast();
    // Its type is another one with some C libraries.
    let arrival_bytes = size_of::<Arrival>() as _;
    message.msg_controllen = arrival_bytes;
    let fd = socket.as_raw_fd();
    // SAFETY: `message` points to `buffer` and `arrival`, with their sizes, and both are borrowed
    // for nothing else during the call.
    let count = unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_DONTWAIT) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: it was made of zeros, which are valid for all of its integers, and the kernel writes
    // integers.
    let Arrival { header, at } = unsafe { arrival.assume_init() };
    let is_noted = message.msg_controllen >= arrival_bytes
        && (header.cmsg_level, header.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS);
    let at = UNIX_EPOCH + Duration::new(at.tv_sec as u64, at.tv_nsec as u32);
    // The clock may have been set back meanwhile.
    let age = is_noted.then(|| at.elapsed().unwrap_or_default());
    Ok((count, age))
}

/// Lets this process open as many files as it may, and says how many that are.
pub(crate) fn raise_file_limit() -> io::Result<usize> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `limit` has room for an rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has written `limit`.
    let mut limit = unsafe { limit.assume_init() };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid rlimit for the length of the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

/// Sends what this process writes to its standard error to nowhere.
pub(crate) fn discard_stderr() -> io::Result<()> {
    let nowhere = File::options().write(true).open("/dev/null")?;
    // SAFETY: takes two integers; `nowhere` is open, and 2 is standard error, which this process
    // gives up.
    check(unsafe { libc::dup2(nowhere.as_raw_fd(), libc::STDERR_FILENO) })
}

/// Has the allocator ask the kernel for each large buffer and give it back, as most do: that of
/// glibc would keep them after the first. For a process that has one thread.
pub(crate) fn keep_no_large_buffers() {
    #[cfg(target_env = "gnu")]
    {
        /// What is large for glibc at first.
        const LARGE_BYTES: libc::c_int = 128 * 1024;
        // SAFETY: takes two integers; what it sets is read by whoever allocates, and no thread does
        // that beside this one yet.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
    }
}

fn check(status: libc::c_int) -> io::Result<()> {
    if status == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_sleep_lasts_until_its_time() {
        let due = monotonic_time() + Duration::from_millis(3);
        sleep_until(due);
        assert!(monotonic_time() >= due);
        // What is past is no sleep.
        sleep_until(due);
    }

    #[test]
    fn what_is_read_has_an_age_once_arrivals_are_noted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (here, _) = listener.accept().unwrap();
        let mut buffer = [0; 8];
        let none = read_with_age(&here, &mut buffer).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::WouldBlock);

        note_arrivals(&here).unwrap();
        // The kernel begins to note arrivals at once or a little later.
        let age = loop {
            there.write_all(b"answer").unwrap();
            let mut peeked = [0];
            here.peek(&mut peeked).unwrap();
            let since = std::time::Instant::now();
            while since.elapsed() < Duration::from_millis(5) {}
            let (count, age) = read_with_age(&here, &mut buffer).unwrap();
            assert_eq!(&buffer[..count], b"answer");
            if let Some(age) = age {
                break age;
            }
        };
        assert!(age >= Duration::from_millis(5), "{age:?}");
        assert!(age < Duration::from_secs(60), "{age:?}");

        drop(there);
        assert_eq!(read_with_age(&here, &mut buffer).unwrap(), (0, None));
    }
}
