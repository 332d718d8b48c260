//! The runtime's own threads: starting them, and waiting for them to end.

use evenkeel_sync::panics::{Foreign, contain, log};
use evenkeel_sync::{join_all, run_until};
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

thread_local! {
    /// The group that this thread belongs to, by its address, or 0. Without a destructor, so that
    /// it is there to the end.
    static GROUP: Cell<usize> = const { Cell::new(0) };
}

/// The user's callbacks for threads that start and stop.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) start: Option<Hook>,
    pub(super) stop: Option<Hook>,
    pub(super) park: Option<Hook>,
    pub(super) unpark: Option<Hook>,
}

type Hook = Foreign<dyn Fn() + Send + Sync>;

impl Hooks {
    pub(super) fn call_start(&self) {
        call("on_thread_start", self.start.as_deref());
    }

    pub(super) fn call_park(&self) {
        call("on_thread_park", self.park.as_deref());
    }

    pub(super) fn call_unpark(&self) {
        call("on_thread_unpark", self.unpark.as_deref());
    }

    pub(super) fn call_stop(&self) {
        call("on_thread_stop", self.stop.as_deref());
    }
}

/// What the runtime's threads are called.
#[derive(Clone)]
pub(super) enum Names {
    /// This, and what the thread does.
    Prefix(String),
    /// What this says.
    Fn(Foreign<dyn Fn() -> String + Send + Sync>),
}

impl Names {
    /// The name of a new thread, whose work is called `suffix`.
    pub(super) fn name(&self, suffix: &str) -> String {
        match self {
            Names::Prefix(prefix) => format!("{prefix}-{suffix}"),
            Names::Fn(name) => of_user(&**name).unwrap_or_else(|| format!("evenkeel-{suffix}")),
        }
    }
}

/// `None` if it panics, or says what no thread can be called.
fn of_user(name: &(dyn Fn() -> String + Send + Sync)) -> Option<String> {
    let mut said = None;
    if !contain(|| said = Some(name())) {
        log(|| tracing::error!("the thread_name_fn hook panicked"));
    }
    said.filter(|said| !said.contains('\0'))
}

/// A hook that panics must not cost the runtime its thread.
fn call(name: &str, hook: Option<&(dyn Fn() + Send + Sync)>) {
    if let Some(hook) = hook
        && !contain(hook)
    {
        log(|| tracing::error!("the {name} hook panicked"));
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// A group of threads that can be waited for with a limit, which `std`'s join cannot.
///
/// A thread is counted until it has nothing more to do here; then the destructors of its
/// thread-locals run, which are foreign code, and only a join waits for those. A shutdown first
/// waits until none is counted, then joins them all, with a thread of its own if it has a deadline.
/// Handles of threads that have ended before are handed to those that end next.
pub(super) struct Threads {
    names: Names,
    stack_size: Option<usize>,
    hooks: Hooks,
    running: Arc<Running>,
    handles: Mutex<Handles>,
}

#[derive(Default)]
struct Running {
    count: AtomicUsize,
    /// A thread of low priority takes it only if it is the last that ends.
    lock: Mutex<()>,
    none_left: Condvar,
    /// Threads that have ended, for those that end next to join. Others only try to lock this,
    /// since they may be of low priority.
    ended: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Handles {
    list: Vec<JoinHandle<()>>,
    /// With more than so many, those of threads that have ended are handed on.
    prune_at: usize,
}

impl Handles {
    const PRUNE_MIN: usize = 16;

    fn push(&mut self, handle: JoinHandle<()>, running: &Running) {
        if self.list.len() >= self.prune_at.max(Handles::PRUNE_MIN)
            && let Some(mut ended) = running.ended.try_lock()
        {
            let has_ended = |handle: &mut JoinHandle<()>| handle.is_finished();
            ended.extend(self.list.extract_if(.., has_ended));
            self.prune_at = 2 * self.list.len();
        }
        self.list.push(handle);
    }
}

impl Running {
    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    fn join_ended(&self) {
        join_all(mem::take(&mut *self.ended.lock()));
    }
}

/// Counts a thread as running until it is dropped.
struct CountedIn(Arc<Running>);

impl Drop for CountedIn {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Who is about to wait has the lock, and so hears of it.
            drop(self.0.lock.lock());
            self.0.none_left.notify_all();
        }
    }
}

impl Threads {
    pub(super) fn new(names: Names, stack_size: Option<usize>, hooks: Hooks) -> Self {
        Threads {
            names,
            stack_size,
            hooks,
            running: Arc::default(),
            handles: Mutex::default(),
        }
    }

    pub(super) fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// Starts a thread whose name ends in `suffix`.
    pub(super) fn start(
        &self,
        suffix: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let mut builder = thread::Builder::new().name(self.names.name(suffix));
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        self.running.count.fetch_add(1, Ordering::Relaxed);
        let counted = CountedIn(self.running.clone());
        let handle = builder.spawn(move || {
            GROUP.set(counted.0.address());
            contain(body);
            counted.0.join_ended();
        })?;
        self.handles.lock().push(handle, &self.running);
        Ok(())
    }

    /// This thread, which others make and join, is one of the group as far as `is_current` goes.
    pub(super) fn adopt_current(&self) {
        GROUP.set(self.running.address());
    }

    /// True on a thread of this group, to its very end.
    pub(super) fn is_current(&self) -> bool {
        GROUP.get() == self.running.address()
    }

    /// Waits until no thread is counted; not after `deadline`. True if none is.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        let Running {
            count,
            lock,
            none_left,
            ..
        } = &*self.running;
        let mut locked = lock.lock();
        while count.load(Ordering::Acquire) > 0 {
            match deadline {
                None => none_left.wait(&mut locked),
                Some(deadline) if none_left.wait_until(&mut locked, deadline).timed_out() => {
                    return count.load(Ordering::Acquire) == 0;
                }
                Some(_) => {}
            }
        }
        true
    }

    /// Waits until all threads have ended; not after `deadline`, nor if the system has no thread to
    /// wait with. Those that are still busy then are left to themselves.
    pub(super) fn join(&self, deadline: Option<Instant>) {
        let mut threads = mem::take(&mut self.handles.lock().list);
        if !self.wait(deadline) {
            return;
        }
        threads.append(&mut self.running.ended.lock());
        match deadline {
            None => join_all(threads),
            Some(deadline) => {
                if !threads.is_empty() && Instant::now() < deadline {
                    let _ = run_until(deadline, || join_all(threads));
                }
            }
        }
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::time::Duration;

    /// Counted by the destructor of a thread-local that takes its time.
    struct Slow(Duration, Arc<AtomicUsize>);

    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(self.0);
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    thread_local!(static SLOW: RefCell<Option<Slow>> = const { RefCell::new(None) });

    #[test]
    fn threads_that_ended_long_before_are_waited_for() {
        for deadline in [None, Instant::now().checked_add(Duration::from_secs(60))] {
            let threads = Threads::new(Names::Prefix("test".to_owned()), None, Hooks::default());
            let ended = Arc::new(AtomicUsize::new(0));
            const THREADS: usize = 5 * Handles::PRUNE_MIN;
            for index in 0..THREADS {
                // The first are so slow that whoever does not wait for them is caught.
                let is_slow = index < Handles::PRUNE_MIN;
                let time = Duration::from_millis(if is_slow { 200 } else { 0 });
                let slow = Slow(time, ended.clone());
                let body = move || SLOW.set(Some(slow));
                threads.start(&index.to_string(), body).unwrap();
                if !is_slow {
                    threads.wait(None);
                }
            }
            assert!(threads.handles.lock().list.len() <= 2 * Handles::PRUNE_MIN);
            assert!(threads.running.ended.lock().len() <= Handles::PRUNE_MIN);
            threads.join(deadline);
            assert_eq!(ended.load(Ordering::SeqCst), THREADS);
        }
    }
}
