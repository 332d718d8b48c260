//! A pool thread, from its start to its end.

use std::cell::Cell;
use std::hint;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_sync::SpinBackoff;
use evenkeel_sync::atomic::{AtomicBool, Ordering};
use evenkeel_sync::thread::{Builder, JoinHandle, Thread, current, park, park_timeout};

use crate::panics::contained;
use crate::shared::Shared;

/// How long an idle thread spins before it sleeps: about what sleeping and being woken costs.
const SPIN: Duration = Duration::from_micros(if cfg!(evenkeel_loom) { 0 } else { 20 });

/// Pauses of the CPU between two looks, so that a hyperthread beside this one is not slowed down.
const PAUSES: u32 = 16;

evenkeel_sync::thread_local! {
    /// The address of the pool that this thread belongs to, or 0.
    #[allow(clippy::missing_const_for_thread_local, reason = "loom's macro takes no const block")]
    static POOL: Cell<usize> = Cell::new(0);
}

/// Whether the calling thread belongs to the pool of `shared`.
pub(crate) fn is_current(shared: &Arc<Shared>) -> bool {
    // A thread whose locals are gone has ended its work.
    POOL.try_with(Cell::get)
        .is_ok_and(|pool| pool == Arc::as_ptr(shared).addr())
}

/// How a pool thread is woken.
pub(crate) struct Worker {
    thread: Thread,
    /// Set before every unpark. A job or hook may have used up the park token that was meant for this, and the token may
    /// come from a job; the flag can do neither.
    signal: AtomicBool,
}

impl Worker {
    fn new() -> Self {
        Self {
            thread: current(),
            signal: AtomicBool::new(false),
        }
    }

    /// Unparks even if the flag was set: who set it may have been preempted before its unpark.
    pub(crate) fn signal(&self) {
        // A swap, because loom does not order a plain store with the swap in `wait`.
        self.signal.swap(true, Ordering::Release);
        self.thread.unpark();
    }

    fn take_signal(&self) -> bool {
        self.signal.swap(false, Ordering::Acquire)
    }

    /// Waits for the signal without sleeping; true if it came.
    fn spin(&self) -> bool {
        let start = Instant::now();
        loop {
            // A load first, so that a submitter finds the line in its cache.
            if self.signal.load(Ordering::Relaxed) && self.take_signal() {
                return true;
            }
            if start.elapsed() >= SPIN {
                return false;
            }
            (0..PAUSES).for_each(|_| hint::spin_loop());
        }
    }

    /// Waits for the signal; true if the deadline passed without one.
    fn wait(&self, backoff: &SpinBackoff, deadline: Option<Instant>) -> bool {
        if backoff.try_with(|| self.spin()) {
            return false;
        }
        loop {
            if self.take_signal() {
                return false;
            }
            let Some(deadline) = deadline else {
                park();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            park_timeout(left);
        }
    }
}

/// Starts a thread that has been counted already.
pub(crate) fn start(shared: &Arc<Shared>, number: u64) -> io::Result<JoinHandle<()>> {
    let config = &shared.config;
    let mut name =
        contained("the thread name function", || (config.thread_name)()).unwrap_or_default();
    // std panics on these.
    name.retain(|c| c != '\0');
    let mut builder = Builder::new().name(name);
    if let Some(size) = config.stack_size {
        builder = builder.stack_size(size);
    }
    let setup = config.thread_setup.as_ref();
    let setup = setup.and_then(|setup| contained("the thread setup hook", &**setup));
    let shared = shared.clone();
    builder.spawn(move || {
        POOL.with(|pool| pool.set(Arc::as_ptr(&shared).addr()));
        setup.and_then(|setup| contained("the thread's setup", setup));
        // The pool itself may go with this thread.
        contained("a pool thread", move || run(&shared, number));
    })
}

fn run(shared: &Arc<Shared>, number: u64) {
    let worker = Arc::new(Worker::new());
    loop {
        if let Some(hook) = &shared.config.on_thread_start {
            contained("the thread start hook", &**hook);
        }
        work(shared, &worker);
        if let Some(hook) = &shared.config.on_thread_stop {
            contained("the thread stop hook", &**hook);
        }
        if shared.leave(number) {
            return;
        }
    }
}

/// Runs jobs until none came for the keep-alive time, or the pool is closed and none is left.
fn work(shared: &Arc<Shared>, me: &Arc<Worker>) {
    let deadline_from_now = || Instant::now().checked_add(shared.config.keep_alive);
    let mut deadline = deadline_from_now();
    let backoff = SpinBackoff::default();
    let mut expired = false;
    let mut core = shared.core.lock();
    core.starting -= 1;
    loop {
        if let Some(job) = shared.next_job(&mut core) {
            let todo = shared.settle(&mut core);
            drop(core);
            shared.carry_out(todo);
            job.run();
            deadline = deadline_from_now();
            expired = false;
            core = shared.core.lock();
            core.ended += 1;
            continue;
        }
        if expired || core.closed {
            break;
        }
        core.idle.push(me.clone());
        let todo = shared.settle(&mut core);
        drop(core);
        shared.carry_out(todo);
        let timed_out = me.wait(&backoff, deadline);
        core = shared.core.lock();
        match core.idle.iter().rposition(|worker| Arc::ptr_eq(worker, me)) {
            // Woken by a submitter as the sentry, or timed out; either way nobody counts on this thread.
            Some(index) => {
                core.idle.remove(index);
                expired = timed_out;
            }
            // Appointed.
            None => core.appointed -= 1,
        }
    }
    let todo = shared.settle(&mut core);
    drop(core);
    shared.carry_out(todo);
}
