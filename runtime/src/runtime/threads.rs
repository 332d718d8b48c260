//! The runtime's own threads: starting them, and waiting for them to end.

use super::driver::Watch;
use super::{Handle, Shared, context};
use crate::lane::worker::Local;
use crate::lane::{Kind, Lane};
use crate::tokio_context::{Driven, TokioContext};
use evenkeel_topology::pin_current_thread;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Held by the runtime until it shuts down, and by each worker. When the last of them goes, the driver thread
/// and tokio's have nobody left, and go as well.
pub(super) struct Crew {
    watch: Arc<Watch>,
    tokio: Arc<TokioContext>,
}

impl Crew {
    pub(super) fn new(watch: Arc<Watch>, tokio: Arc<TokioContext>) -> Arc<Crew> {
        Arc::new(Crew { watch, tokio })
    }
}

/// No code of others runs while anything in here is half done.
impl UnwindSafe for Crew {}
impl RefUnwindSafe for Crew {}

impl Drop for Crew {
    fn drop(&mut self) {
        self.tokio.stop();
        self.watch.stop();
    }
}

impl Shared {
    pub(super) fn start_io(self: &Arc<Self>, crew: &Arc<Crew>) -> io::Result<()> {
        for index in 0..self.io.workers() {
            let cpu = self.plan.cpu(index);
            let worker = Worker::new(self, &self.io, index, crew);
            worker.start(&format!("io-{index}"), move |worker| worker.run(cpu))?;
        }
        Ok(())
    }

    /// What runs on it finds this runtime as well.
    pub(super) fn start_tokio(self: &Arc<Self>, tokio: Driven) -> io::Result<()> {
        let handle = Handle::new(self.clone());
        self.threads.start("tokio", move || {
            context::enter_for_good(handle);
            context::become_worker();
            tokio.run();
        })
    }
}

/// A worker on its way to its thread.
pub(super) struct Worker {
    runtime: Handle,
    lane: Arc<Lane>,
    index: usize,
    crew: Arc<Crew>,
}

impl Worker {
    pub(super) fn new(
        runtime: &Arc<Shared>,
        lane: &Arc<Lane>,
        index: usize,
        crew: &Arc<Crew>,
    ) -> Self {
        Worker {
            runtime: Handle::new(runtime.clone()),
            lane: lane.clone(),
            index,
            crew: crew.clone(),
        }
    }

    /// Makes its thread, which calls `body`. Those of a lane are started in order.
    pub(super) fn start(
        self,
        name: &str,
        body: impl FnOnce(Worker) + Send + 'static,
    ) -> io::Result<()> {
        let (shared, lane, index) = (self.runtime.shared.clone(), self.lane.clone(), self.index);
        lane.set_started(index + 1);
        let started = shared.threads.start(name, move || body(self));
        if started.is_err() {
            lane.set_started(index);
        }
        started
    }

    /// Works until the lane is shut down, on `cpu` if there is one.
    ///
    /// To pin a thread makes the kernel move it. That takes about as long as making the thread did, so it is put off until
    /// there is a task, or a hook that shall find it done.
    pub(super) fn run(self, mut cpu: Option<usize>) {
        let shared = self.runtime.shared.clone();
        let hooks = shared.threads.hooks();
        context::enter_for_good(self.runtime);
        context::become_worker();
        let local = Local::new(self.lane, self.index);
        if hooks.start.is_some() {
            pin(cpu.take());
            hooks.call_start();
        }
        match local.kind() {
            Kind::Io => shared.work_then_serve(local, cpu, self.crew),
            Kind::Compute => {
                shared.tokio.inside(|| local.run(|| pin(cpu)));
                drop(self.crew);
            }
        }
        hooks.call_stop();
    }
}

pub(super) fn pin(cpu: Option<usize>) {
    if let Some(cpu) = cpu
        && !pin_current_thread(cpu)
    {
        tracing::warn!(cpu, "a worker could not be pinned and goes on without");
    }
}

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
    handles: Mutex<Handles>,
}

/// A thread of low priority takes the lock only if it is the last that ends.
#[derive(Default)]
struct Running {
    count: AtomicUsize,
    lock: Mutex<()>,
    none_left: Condvar,
}

#[derive(Default)]
struct Handles {
    list: Vec<JoinHandle<()>>,
    /// With more than so many, those of threads that have ended are thrown away.
    prune_at: usize,
}

impl Handles {
    const PRUNE_MIN: usize = 16;

    fn push(&mut self, handle: JoinHandle<()>) {
        if self.list.len() >= self.prune_at.max(Handles::PRUNE_MIN) {
            self.list.retain(|handle| !handle.is_finished());
            self.prune_at = 2 * self.list.len();
        }
        self.list.push(handle);
    }
}

/// Counts a thread as running until it is dropped, by a panic too.
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
    pub(super) fn new(name: &str, stack_size: Option<usize>, hooks: Hooks) -> Self {
        Threads {
            name: name.to_owned(),
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
        let mut builder = thread::Builder::new().name(format!("{}-{suffix}", self.name));
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        self.running.count.fetch_add(1, Ordering::Relaxed);
        let counted = CountedIn(self.running.clone());
        let handle = builder.spawn(move || {
            let _counted = counted;
            body();
        })?;
        self.handles.lock().push(handle);
        Ok(())
    }

    /// Waits until no thread runs; not after `deadline`. True if none does.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        let Running {
            count,
            lock,
            none_left,
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

    /// Joins threads that are known to end; those that are still stuck are left to themselves.
    pub(super) fn join_finished(&self) {
        let all_ended = self.running.count.load(Ordering::Acquire) == 0;
        for handle in self.handles.lock().list.drain(..) {
            if all_ended {
                // Its panic has been printed, and there is nobody to give it to.
                let _ = handle.join();
            }
        }
    }
}
