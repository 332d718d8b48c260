//! Polls of IO tasks that are not made by IO workers.
//!
//! A task that hogs its worker is polled on the compute lane, one that blocks on a thread of the
//! blocking pool ([`TaskClass`]). It stays a task of the IO lane: it is woken there, and the worker
//! that takes it out of the queue sends it on. There each poll is measured, so that it can come
//! back.

use super::hooks::LaneHooks;
use super::kind::Kind;
use super::lane::Lane;
use super::worker::{Caller, Worker};
use crate::tasks::{Id, Place, Task, TaskClass};
use crate::timers::clock;
use evenkeel_sync::const_thread_local;
use evenkeel_topology::{current_thread_id, thread_cpu_time};
use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A poll that is being measured.
#[derive(Clone, Copy)]
struct Measured {
    place: Place,
    start: Duration,
    /// Anything less is a short poll.
    long: Duration,
    task: Id,
    /// The task was woken in it by the thread itself: it has more to do.
    woken: bool,
}

const_thread_local! {
    static MEASURED: Cell<Option<Measured>> = Cell::new(None);
    static JUDGED: Cell<u32> = Cell::new(0);
}

/// Polls a task that is not to be polled on the IO lane, as [`Task::run`] does. A poll is short if
/// it takes less than `long`.
pub(crate) fn run(task: Task, place: Place, long: Duration) -> Option<Task> {
    let start = time_of(place);
    let measured = Measured {
        place,
        start,
        long,
        task: task.id(),
        woken: false,
    };
    // Not left in place by a panic: there is none that a task's run lets out.
    let before = MEASURED.with(|poll| poll.replace(Some(measured)));
    let again = task.run();
    MEASURED.with(|poll| poll.set(before));
    again
}

/// The calling thread has woken the task, or has left that to others.
pub(super) fn woken_in_poll(task: Id) {
    if let Some(measured) = MEASURED.with(Cell::get)
        && measured.task == task
    {
        let woken = true;
        MEASURED.with(|poll| poll.set(Some(Measured { woken, ..measured })));
    }
}

/// What counts on the compute lane is the CPU time, because its threads are preempted; on a
/// blocking thread any.
fn time_of(place: Place) -> Duration {
    let cpu_time = || thread_cpu_time(current_thread_id());
    let cpu_time = (place == Place::Compute).then(cpu_time).flatten();
    cpu_time.unwrap_or_else(|| Duration::from_nanos(clock::now_ns()))
}

impl<'a> Worker<'a> {
    /// Not if there is nothing left to poll.
    #[cold]
    pub(super) fn is_to_offload(&self, task: &Task, place: Place) -> bool {
        let lane = self.lane();
        let is_there = lane.kind == Kind::Compute;
        if is_there {
            lane.offloaded_leaves();
        }
        !task.is_handed() && !task.is_cancelled() && (is_there || lane.hooks.has_room(place))
    }

    /// Has an IO task polled where it does not get stuck; or polls it, if that is here.
    #[cold]
    pub(super) fn offload(self, task: Task, place: Place) -> Option<Worker<'a>> {
        let lane = self.lane();
        if lane.kind == Kind::Io {
            lane.hooks.send(task, place);
            return Some(self);
        }
        let (worker, again) = self.run_task(task, |task| run(task, place, lane.limits.after));
        if let Some(task) = again {
            let place = task.class().place();
            lane.hooks.send(task, place);
        }
        worker
    }
}

impl Lane {
    /// Queues a task of the IO lane in this one, the compute lane.
    pub(crate) fn submit_offloaded(&self, caller: &Caller<'_>, task: Task) {
        // Before anybody can take it out; and sequentially consistent, for the supervisor that is
        // about to rest.
        self.offloaded.fetch_add(1, Ordering::SeqCst);
        self.submit(caller, task);
    }

    pub(crate) fn has_offloaded(&self) -> bool {
        self.offloaded.load(Ordering::SeqCst) > 0
    }

    /// A task of the IO lane was taken out of the queues of this one.
    fn offloaded_leaves(&self) {
        self.offloaded.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes the tasks of the IO lane out of this one, the compute lane, where they wait, to be
    /// polled at `home`. Returns how many.
    pub(crate) fn send_home(&self, caller: &Caller<'_>, home: &Lane) -> u64 {
        let waiting = self.inbox.take_all();
        let queued = self.seats().flat_map(|seat| {
            // No more than there are now: what is not to go home comes back.
            let stealer = &seat.stealer;
            (0..stealer.len()).map_while(|_| stealer.steal().success())
        });
        let mut sent = 0;
        for mut task in waiting.chain(queued) {
            if task.class().place() == Place::Compute {
                self.offloaded_leaves();
                task.forgive();
                home.submit(caller, task);
                sent += 1;
            } else {
                self.submit(caller, task);
            }
        }
        sent
    }
}

/// What a task of the IO lane is like, which the calling thread has just polled where it is
/// measured.
#[cold]
pub(super) fn judge(class: TaskClass, hooks: &dyn LaneHooks) -> TaskClass {
    match MEASURED.with(Cell::get) {
        Some(measured) if measured.place == class.place() => {
            let took = time_of(measured.place).saturating_sub(measured.start);
            // What waits for something is no hog, however long it computes.
            let waits = measured.place == Place::Compute && !measured.woken;
            let calm = took < measured.long || waits;
            let counts = counts(TaskClass::counted_in());
            tell(class, class.polled_elsewhere(calm, counts), hooks)
        }
        _ => class,
    }
}

/// True for one in so many polls of this thread that ask.
pub(super) fn counts(one_in: u32) -> bool {
    JUDGED.with(|judged| {
        judged.set(judged.get().wrapping_add(1));
        judged.get().is_multiple_of(one_in)
    })
}

#[cold]
pub(super) fn tell(before: TaskClass, now: TaskClass, hooks: &dyn LaneHooks) -> TaskClass {
    if now.place() != before.place() {
        hooks.task_moved(now.place());
    }
    now
}
