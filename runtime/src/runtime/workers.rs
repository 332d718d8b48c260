//! Starting the workers' threads.

use super::compute_start::Left;
use super::context;
use super::shared::Shared;
use super::workers_alive::WorkersAlive;
use crate::scheduler::kind::Kind;
use crate::scheduler::lane::Lane;
use crate::scheduler::run::run;
use crate::scheduler::seat::FreeSeat;
use crate::tokio_context::outside;
use evenkeel_sync::panics::log;
use evenkeel_topology::{ComputePriority, confine_current_thread, lower_current_thread};
use std::io;
use std::sync::Arc;

impl Shared {
    pub(super) fn start_io(self: &Arc<Self>, alive: &Arc<WorkersAlive>) -> io::Result<()> {
        for index in 0..self.io.workers() {
            let worker = NewWorker::new(self, &self.io, index, alive);
            let name = format!("io-{index}");
            worker.start(&name, move |worker| worker.run(work_on_io))?;
        }
        Ok(())
    }

    /// Starts the compute workers that have no thread yet. To be called by supervisors only.
    ///
    /// # Errors
    ///
    /// Those of the operating system, when it refuses a thread. To be called again after a pause.
    pub(super) fn start_compute(self: &Arc<Self>) -> io::Result<()> {
        let start = &self.compute_start;
        let mut left = start.left.lock();
        let Some(Left { wanted, alive }) = &*left else {
            return Ok(());
        };
        for index in self.compute.started()..self.compute.workers() {
            let (wanted, shared) = (*wanted, self.clone());
            let worker = NewWorker::new(self, &self.compute, index, alive);
            let body = move |worker: NewWorker| {
                shared.program.restore_slack();
                // First, for tokio takes a lock in it.
                shared.tokio.inside(|| {
                    let in_force = lower_current_thread(wanted);
                    if shared.compute_start.set_priority(in_force) {
                        log_priority(wanted, in_force);
                    }
                    worker.run(work_on_compute);
                });
            };
            if let Err(error) = worker.start(&format!("cpu-{index}"), body) {
                if index == 0 {
                    start.set_refused();
                }
                return Err(error);
            }
        }
        *left = None;
        start.first_use.set_over();
        Ok(())
    }

    /// What a worker puts off until it has its first task.
    pub(super) fn settle(&self, lane: Kind, worker: usize) {
        self.pin(lane, worker);
        self.want_tokio();
    }

    /// Pins the calling thread, a worker, to where it may be by now.
    fn pin(&self, lane: Kind, worker: usize) {
        if let Some(cpus) = self.cpus.of_worker(lane, worker)
            && !confine_current_thread(&cpus)
        {
            log(|| tracing::warn!(%cpus, "a worker could not be pinned and goes on without"));
        }
    }
}

/// A worker on its way to its thread.
pub(super) struct NewWorker {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    index: usize,
    alive: Arc<WorkersAlive>,
}

impl NewWorker {
    pub(super) fn new(
        shared: &Arc<Shared>,
        lane: &Arc<Lane>,
        index: usize,
        alive: &Arc<WorkersAlive>,
    ) -> Self {
        NewWorker {
            shared: shared.clone(),
            lane: lane.clone(),
            index,
            alive: alive.clone(),
        }
    }

    /// Makes its thread, which calls `body`. Those of a lane are started in order.
    pub(super) fn start(
        self,
        name: &str,
        body: impl FnOnce(NewWorker) + Send + 'static,
    ) -> io::Result<()> {
        let (shared, lane, index) = (self.shared.clone(), self.lane.clone(), self.index);
        lane.set_started(index + 1);
        let started = shared.threads.start(name, move || body(self));
        if started.is_err() {
            lane.set_started(index);
        }
        started
    }

    /// Has `work` run tasks until the lane is shut down.
    ///
    /// To pin a thread makes the kernel move it. That takes about as long as making the thread did,
    /// so it is put off until there is a task, or a hook that shall find it done.
    pub(super) fn run(self, work: Work) {
        let shared = self.shared.clone();
        let hooks = shared.threads.hooks();
        context::enter_for_good(self.shared);
        context::become_worker();
        if hooks.start.is_some() {
            shared.pin(self.lane.kind, self.index);
            // A compute worker is inside of tokio's context by now.
            outside(|| hooks.call_start());
        }
        if let Some(seat) = self.lane.first_seat(self.index) {
            work(&shared, seat, self.alive);
        }
        outside(|| hooks.call_stop());
    }
}

/// What the first thread of a worker does in its seat.
pub(super) type Work = fn(&Shared, FreeSeat, Arc<WorkersAlive>);

fn work_on_io(shared: &Shared, seat: FreeSeat, alive: Arc<WorkersAlive>) {
    shared.work_then_serve(seat, alive);
}

pub(super) fn work_on_compute(shared: &Shared, seat: FreeSeat, alive: Arc<WorkersAlive>) {
    let worker = seat.index();
    run(shared.compute.clone(), seat, || {
        shared.settle(Kind::Compute, worker)
    });
    drop(alive);
}

fn log_priority(wanted: ComputePriority, in_force: ComputePriority) {
    log(|| {
        if in_force == wanted {
            tracing::debug!(%in_force, "priority of the compute lane");
        } else {
            tracing::warn!(%wanted, %in_force, "the system refused the priority of the compute lane");
        }
    });
}
