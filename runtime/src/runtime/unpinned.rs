//! Running code as the program itself would: for what it starts.

use super::context;
use super::shared::Shared;
use crate::scheduler::worker::{Workplace, workplace};
use crate::timers::clock::{set_timer_slack, timer_slack};
use evenkeel_topology::{
    ComputePriority, CpuSet, allowed_cpus, confine_current_thread, current_priority,
    thread_priority, unpin_current_thread,
};
use parking_lot::Mutex;
use std::mem;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, mpsc};

/// Runs `f` with the CPUs, the priority and the timer slack that the program has, which the threads
/// and the processes that it starts inherit.
///
/// A worker is kept to a CPU, or to a few ([`pinning`](super::pinning)); one of the compute lane
/// has the lowest priority; and one of the IO lane wakes from sleep without the 50 us of slack that
/// Linux gives to others. What a task or a closure starts inherits all of that, for good. In here
/// it is what the thread that built the runtime had; or the CPUs that the process may use by now,
/// if those were changed from outside.
///
/// A process of [`process::Command`](crate::process::Command) needs none of this, nor does anything
/// that [`spawn_blocking`](crate::spawn_blocking) runs.
///
/// `f` runs on this thread where its priority is the program's. A thread of the compute lane cannot
/// raise its own again, so there `f` runs on a thread of a pool, and this one waits for it:
/// thread-locals are other ones then. On threads that are not the runtime's, and outside a
/// runtime, this only calls `f`.
///
/// It takes some microseconds, in which the thread may move to another CPU: once around what is
/// started, not in each request.
///
/// # Panics
///
/// If `f` does.
///
/// # Examples
///
/// ```
/// use evenkeel::runtime::unpinned;
/// use std::thread::available_parallelism;
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let cpus = available_parallelism()?;
/// let seen = evenkeel::spawn(async move {
///     // A pool of threads that a library would keep to one CPU.
///     let pool = || std::thread::spawn(available_parallelism);
///     unpinned(pool).join().unwrap()
/// });
/// # #[cfg(target_os = "linux")]
/// assert_eq!(seen.await.unwrap()?, cpus);
///
/// let files = unpinned(|| std::process::Command::new("ls").output())?;
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub fn unpinned<F, R>(f: F) -> R
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    let is_ours = |shared: &Arc<Shared>| shared.threads.is_current() && !shared.is_of_parent();
    let of_runtime = context::try_own().filter(is_ours);
    match of_runtime {
        None => f(),
        Some(shared) if shared.is_lowered() => on_pool(&shared, f),
        Some(shared) => shared.unpinned_here(f),
    }
}

/// What the thread that built the runtime had. Where the system can tell what the supervisor has by
/// now, that counts; but a task may run before the supervisor does.
pub(crate) struct Program {
    cpus: CpuSet,
    priority: ComputePriority,
    slack: Option<NonZeroU64>,
}

impl Program {
    /// That of the calling thread.
    pub(super) fn of_caller() -> Self {
        Program {
            cpus: allowed_cpus(),
            priority: current_priority(),
            slack: timer_slack(),
        }
    }

    /// For a thread that the supervisor has made, and that needs not wake on time.
    pub(super) fn restore_slack(&self) {
        if let Some(slack) = self.slack {
            set_timer_slack(slack);
        }
    }
}

impl Shared {
    /// The calling thread has a lower priority than the program.
    fn is_lowered(&self) -> bool {
        let of_program = self.cpus.supervisor().map(thread_priority);
        current_priority() != of_program.unwrap_or(self.program.priority)
    }

    fn unpinned_here<R>(&self, f: impl FnOnce() -> R) -> R {
        let _unpinned = Unpinned::begin(self);
        f()
    }

    /// The calling thread, made by a pinned one, runs where the program may.
    pub(super) fn unpin(&self) {
        if self.cpus.are_pinned() {
            let allowed = self.cpus.allowed();
            // Refused, it stays where it is.
            let _ = unpin_current_thread(allowed.as_ref().unwrap_or(&self.program.cpus));
        }
    }
}

/// Until it is dropped the calling thread has what the program has.
struct Unpinned<'a> {
    shared: &'a Shared,
    workplace: Option<Workplace>,
    slack: Option<NonZeroU64>,
}

impl<'a> Unpinned<'a> {
    fn begin(shared: &'a Shared) -> Self {
        // Not if it is inside of another already.
        let goes = |workplace: &Workplace| workplace.thread.set_elsewhere(true, || shared.unpin());
        let workplace = workplace([&shared.io, &shared.compute]).filter(goes);
        let slack = timer_slack().filter(|_| shared.program.slack.is_some());
        shared.program.restore_slack();
        Unpinned {
            shared,
            workplace,
            slack,
        }
    }
}

impl Drop for Unpinned<'_> {
    fn drop(&mut self) {
        if let Some(slack) = self.slack {
            set_timer_slack(slack);
        }
        let Some(Workplace {
            lane,
            worker,
            thread,
        }) = &self.workplace
        else {
            return;
        };
        thread.set_elsewhere(false, || {
            // Without a seat any core will do.
            if !thread.has_lost_seat()
                && let Some(cpus) = self.shared.cpus.of_worker(*lane, *worker)
            {
                // Refused, it goes on without.
                let _ = confine_current_thread(&cpus);
            }
        });
    }
}

/// Runs `f` on a thread of the pool for look-ups, which is as the program is, and waits.
fn on_pool<F, R>(shared: &Shared, f: F) -> R
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    let slot = Arc::new(Mutex::new(Some(f)));
    let (tell, told) = mpsc::channel();
    let job: Box<dyn FnOnce() + Send + '_> = Box::new({
        let slot = slot.clone();
        move || {
            let f = slot.lock().take().expect("taken once");
            // Somebody waits for it.
            let _ = tell.send(catch_unwind(AssertUnwindSafe(f)));
        }
    });
    // SAFETY: only the lifetime changes. All in it whose types may borrow is `f` and its result.
    // This function returns, and it does not unwind before, when the result has been sent, so that
    // there is neither in the job any more; or when the job was dropped before it has begun, and
    // what is left of it is `f`, which then is taken out of the slot here.
    let job = unsafe { mem::transmute::<Box<dyn FnOnce() + Send + '_>, AnyTime>(job) };
    // Not on the blocking pool: its closures may all be waiting for this very thread. Refused, it
    // is dropped.
    let _ = shared.look_ups.execute(job);
    match told.recv() {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => {
            let f = slot.lock().take().expect("nobody has begun it");
            shared.unpinned_here(f)
        }
    }
}

/// A job that borrows nothing, as far as the pool knows.
type AnyTime = Box<dyn FnOnce() + Send + 'static>;
