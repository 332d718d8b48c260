//! The runtime's own threads: starting them, and waiting for them to end.

use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The user's callbacks for threads that start and stop.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) start: Option<Arc<dyn Fn() + Send + Sync>>,
    pub(super) stop: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Hooks {
    pub(super) fn call_start(&self) {
        call("on_thread_start", self.start.as_deref());
    }

    pub(super) fn call_stop(&self) {
        call("on_thread_stop", self.stop.as_deref());
    }
}

/// A hook that panics must not cost the runtime its thread.
fn call(name: &str, hook: Option<&(dyn Fn() + Send + Sync)>) {
    if let Some(hook) = hook
        && catch_unwind(AssertUnwindSafe(hook)).is_err()
    {
        tracing::error!("the {name} hook panicked");
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// A group of threads that can be waited for with a limit, which `std`'s join cannot.
pub(super) struct Threads {
    name: String,
    stack_size: Option<usize>,
    hooks: Hooks,
    running: Arc<Running>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

struct Running {
    count: Mutex<usize>,
    changed: Condvar,
}

/// Counts a thread as running until it is dropped, by a panic too.
struct CountedIn(Arc<Running>);

impl Drop for CountedIn {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.changed.notify_all();
    }
}

impl Threads {
    pub(super) fn new(name: &str, stack_size: Option<usize>, hooks: Hooks) -> Self {
        Threads {
            name: name.to_owned(),
            stack_size,
            hooks,
            running: Arc::new(Running {
                count: Mutex::new(0),
                changed: Condvar::new(),
            }),
            handles: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn hooks(&self) -> Hooks {
        self.hooks.clone()
    }

    /// Starts a thread whose name ends in `suffix`.
    pub(super) fn start(
        &self,
        suffix: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let mut builder = thread::Builder::new().name(format!("{}-{suffix}", self.name));
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        *self.running.count.lock() += 1;
        let counted = CountedIn(self.running.clone());
        let handle = builder.spawn(move || {
            let _counted = counted;
            body();
        })?;
        self.handles.lock().push(handle);
        Ok(())
    }

    /// Waits until no more than `left` threads run; false if `deadline` came first.
    pub(super) fn wait(&self, left: usize, deadline: Option<Instant>) -> bool {
        let mut count = self.running.count.lock();
        while *count > left {
            match deadline {
                None => self.running.changed.wait(&mut count),
                Some(deadline) => {
                    if self
                        .running
                        .changed
                        .wait_until(&mut count, deadline)
                        .timed_out()
                    {
                        return *count <= left;
                    }
                }
            }
        }
        true
    }

    /// Joins threads that are known to end; those that are still stuck are left to themselves.
    pub(super) fn join_finished(&self) {
        let all_ended = *self.running.count.lock() == 0;
        for handle in self.handles.lock().drain(..) {
            if all_ended {
                // Its panic has been printed, and there is nobody to give it to.
                let _ = handle.join();
            }
        }
    }
}
