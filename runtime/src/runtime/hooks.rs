//! What the lanes ask of their runtime.

use super::context;
use super::shared::Shared;
use super::supervisor::watch::Watch;
use super::threads::Hooks;
use crate::scheduler::hooks::LaneHooks;
use crate::scheduler::offload;
use crate::scheduler::seat::{FreeSeat, WorkerThread};
use crate::scheduler::worker::Caller;
use crate::tasks::{Place, Task};
use crate::timers::InFlight;
use std::sync::{Arc, OnceLock, Weak};

/// The runtime, once it is built.
pub(super) type Runtime = Arc<OnceLock<Weak<Shared>>>;

pub(super) fn upgrade(runtime: &Runtime) -> Option<Arc<Shared>> {
    runtime.get().and_then(Weak::upgrade)
}

/// The same for both lanes: what is of the IO lane, only that one asks for.
pub(super) struct RuntimeHooks {
    pub(super) watch: Arc<Watch>,
    pub(super) runtime: Runtime,
    /// The user's.
    pub(super) of_threads: Hooks,
}

impl LaneHooks for RuntimeHooks {
    fn parks(&self) {
        self.of_threads.call_park();
    }

    fn unparks(&self) {
        self.of_threads.call_unpark();
    }

    fn worker_awake(&self) {
        self.watch.worker_awake();
    }

    fn worker_stuck(&self) {
        if upgrade(&self.runtime).is_some_and(|shared| shared.takeover.raise_alarm()) {
            self.watch.unpark();
        }
    }

    fn wake_supervisor(&self) {
        self.watch.unpark();
    }

    fn has_room(&self, place: Place) -> bool {
        upgrade(&self.runtime).is_none_or(|shared| shared.has_room(place))
    }

    fn send(&self, task: Task, place: Place) {
        // Without a runtime the task is dropped, which cancels it.
        if let Some(shared) = upgrade(&self.runtime) {
            shared.send(task, place);
        }
    }

    fn replace(
        &self,
        worker: usize,
        thread: &Arc<WorkerThread>,
        surrender: &mut dyn FnMut() -> FreeSeat,
    ) -> bool {
        upgrade(&self.runtime).is_some_and(|shared| shared.replace(worker, thread, surrender))
    }

    fn task_moved(&self, to: Place) {
        if let Some(shared) = upgrade(&self.runtime) {
            shared.takeover.count_move(to);
        }
    }
}

impl Shared {
    fn send(&self, task: Task, place: Place) {
        match place {
            Place::Io => Caller::with(|caller| self.io.submit(caller, task)),
            Place::Compute => {
                Caller::with(|caller| self.compute.submit_offloaded(caller, task));
                self.want_compute();
                // Somebody has to see whether it gets its turn.
                self.watch.worker_awake();
            }
            Place::Blocking => {
                let (io, tokio) = (self.io.clone(), self.tokio.clone());
                let long = self.takeover.policy.after;
                let in_flight = InFlight::new(&self.clock);
                // Refused, the job is dropped, and with it the task. While it waits in that queue
                // the task is in its registry as well, where a shutdown finds it.
                let _ = self.blocking.execute(move || {
                    let _in_flight = in_flight;
                    // It sees a worker here as elsewhere.
                    let _playing = context::play_worker();
                    let again = tokio.inside(|| offload::run(task, Place::Blocking, long));
                    if let Some(task) = again {
                        Caller::with(|caller| io.submit(caller, task));
                    }
                });
            }
        }
    }
}
