//! What the lanes ask of their runtime.

use super::driver::Watch;
use super::{Shared, context};
use crate::lane::worker::Local;
use crate::lane::{Host, elsewhere};
use crate::task::{Place, Task};
use std::sync::{Arc, OnceLock, Weak};

/// The runtime, once it is built.
pub(super) type Runtime = Arc<OnceLock<Weak<Shared>>>;

pub(super) fn upgrade(runtime: &Runtime) -> Option<Arc<Shared>> {
    runtime.get().and_then(Weak::upgrade)
}

pub(super) struct IoHost {
    pub(super) watch: Arc<Watch>,
    pub(super) runtime: Runtime,
}

impl Host for IoHost {
    fn worker_awake(&self) {
        self.watch.worker_awake();
    }

    fn worker_stuck(&self) {
        if upgrade(&self.runtime).is_some_and(|shared| shared.takeover.raise_alarm()) {
            self.watch.unpark();
        }
    }

    fn has_room(&self, place: Place) -> bool {
        upgrade(&self.runtime).is_none_or(|shared| shared.has_room(place))
    }

    fn send(&self, task: Task, place: Place) {
        send(&self.runtime, task, place);
    }

    fn replace(&self, worker: &Local) -> bool {
        upgrade(&self.runtime).is_some_and(|shared| shared.replace(worker))
    }

    fn task_moved(&self, to: Place) {
        if let Some(shared) = upgrade(&self.runtime) {
            shared.takeover.count_move(to);
        }
    }
}

pub(super) struct ComputeHost {
    pub(super) runtime: Runtime,
}

impl Host for ComputeHost {
    fn worker_awake(&self) {}

    fn worker_stuck(&self) {}

    fn has_room(&self, _: Place) -> bool {
        true
    }

    fn send(&self, task: Task, place: Place) {
        send(&self.runtime, task, place);
    }

    fn replace(&self, _: &Local) -> bool {
        false
    }

    fn task_moved(&self, _: Place) {}
}

/// Without a runtime the task is dropped, which cancels it.
fn send(runtime: &Runtime, task: Task, place: Place) {
    let Some(shared) = upgrade(runtime) else {
        return;
    };
    match place {
        Place::Io => shared.io.submit(task),
        Place::Compute => {
            shared.compute.submit_guest(task);
            shared.want_compute();
            // Somebody has to see whether it gets its turn.
            shared.watch.worker_awake();
        }
        Place::Blocking => {
            let (io, long) = (shared.io.clone(), shared.takeover.policy.after);
            // Refused, the job is dropped, and with it the task.
            let _ = shared.blocking.execute(move || {
                // It sees a worker here as elsewhere.
                let _playing = context::play_worker();
                let again = elsewhere::run(task, Place::Blocking, long);
                again.into_iter().for_each(|task| io.submit(task));
            });
        }
    }
}
