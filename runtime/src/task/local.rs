use crate::join::JoinHandle;
use crate::runtime::handle::Size;
use crate::runtime::{Handle, Id, Runtime};
use crate::scheduler::local::LocalTasks;
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

thread_local! {
    /// The set of this thread in which `spawn_local` spawns.
    static CURRENT: RefCell<Option<LocalTasks>> = const { RefCell::new(None) };
    /// The sets of the local runtimes of this thread.
    static OF_RUNTIMES: RefCell<Vec<(Id, LocalTasks)>> = const { RefCell::new(Vec::new()) };
}

/// In a local runtime `spawn_local` spawns in this set, for as long as this lives.
pub(crate) struct OfRuntime(Id);

impl OfRuntime {
    pub(crate) fn set(runtime: Id, set: &LocalSet) -> OfRuntime {
        OF_RUNTIMES.with_borrow_mut(|sets| sets.push((runtime, set.tasks.clone())));
        OfRuntime(runtime)
    }
}

impl Drop for OfRuntime {
    fn drop(&mut self) {
        // What is taken out is dropped afterwards: it may be the last of the set.
        let taken = OF_RUNTIMES.try_with(|sets| {
            let mut sets = sets.borrow_mut();
            let place = sets.iter().position(|(runtime, _)| *runtime == self.0)?;
            Some(sets.swap_remove(place))
        });
        drop(taken);
    }
}

/// The set of this thread in which `spawn_local` spawns.
fn current() -> Option<LocalTasks> {
    let current = CURRENT.try_with(|current| current.borrow().clone());
    current.ok().flatten().or_else(of_current_runtime)
}

fn of_current_runtime() -> Option<LocalTasks> {
    let of_runtime = |sets: &RefCell<Vec<(Id, LocalTasks)>>| {
        let sets = sets.borrow();
        if sets.is_empty() {
            return None;
        }
        let current = Handle::try_current().ok()?.id();
        let (_, tasks) = sets.iter().find(|(runtime, _)| *runtime == current)?;
        Some(tasks.clone())
    };
    OF_RUNTIMES.try_with(of_runtime).ok().flatten()
}

/// A set of tasks that stay on one thread, so that their futures need not be [`Send`].
///
/// It is a future itself, and its tasks run when it is polled: in
/// [`run_until`](LocalSet::run_until), [`block_on`](LocalSet::block_on), or when the set is
/// awaited, which takes until all of them have completed. It may be polled in [`Runtime::block_on`]
/// of any flavour, and in another set; not in a spawned task, since it cannot be sent there. What
/// holds it up holds up all of its tasks: they are polled on the thread of the set and nowhere
/// else, whatever they compute.
///
/// Tasks run in the order in which they were spawned and woken; what other threads wake comes after
/// what this thread has queued, or before every 31st task. A poll of the set runs at most 61 of
/// them. Each poll of a task has a [budget](crate::task::coop) of its own.
///
/// Dropping the set drops its tasks. Handles of them may be sent to other threads if the output may
/// be: an abort from there is carried out by the set, on its own thread.
///
/// # Examples
///
/// ```
/// use evenkeel::task::{LocalSet, spawn_local};
/// use std::rc::Rc;
///
/// let runtime = evenkeel::runtime::Runtime::new()?;
/// let local = LocalSet::new();
/// let sum = local.block_on(&runtime, async {
///     let shared = Rc::new(20);
///     let task = spawn_local({
///         let shared = shared.clone();
///         async move { *shared + 1 }
///     });
///     task.await.unwrap() + *shared + 1
/// });
/// assert_eq!(sum, 42);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A handle of what must not leave the thread stays there:
///
/// ```compile_fail
/// let set = evenkeel::task::LocalSet::new();
/// let task = set.spawn_local(async { std::rc::Rc::new(1) });
/// std::thread::spawn(move || drop(task));
/// ```
pub struct LocalSet {
    tasks: LocalTasks,
}

/// Spawns a future that need not be [`Send`] into the [`LocalSet`] that the calling code runs in:
/// in a task of it, in the future of [`run_until`](LocalSet::run_until), or while a guard of
/// [`enter`](LocalSet::enter) lives; or else in the
/// [`LocalRuntime`](crate::runtime::LocalRuntime) whose thread this is.
///
/// # Panics
///
/// Outside both.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    // No closure, so that the message names the caller's place.
    match current() {
        Some(tasks) => spawn(&tasks, future),
        None => panic!(
            "`spawn_local` was called outside of a `LocalSet`: call it in a future that `LocalSet::run_until` \
             drives, or in a task of the set; or in a `LocalRuntime`, on its thread"
        ),
    }
}

#[track_caller]
fn spawn<F>(tasks: &LocalTasks, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let spawned_at = Location::caller();
    if F::IS_LARGE {
        return JoinHandle::new(tasks.spawn(Box::pin(future), spawned_at));
    }
    JoinHandle::new(tasks.spawn(future, spawned_at))
}

impl LocalSet {
    /// An empty set on the calling thread.
    pub fn new() -> LocalSet {
        LocalSet {
            tasks: LocalTasks::new(),
        }
    }

    /// Spawns a future into the set. It runs when the set is polled.
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        spawn(&self.tasks, future)
    }

    /// Drives `future` and the tasks of the set on the calling thread, inside `runtime`, until
    /// `future` completes. Tasks that are left stand still until the set is polled again.
    ///
    /// # Panics
    ///
    /// As [`Runtime::block_on`].
    #[track_caller]
    pub fn block_on<F: Future>(&self, runtime: &Runtime, future: F) -> F::Output {
        runtime.block_on(self.run_until(future))
    }

    /// Drives `future`, and the tasks of the set beside it, until `future` completes. Tasks that
    /// are left stand still until the set is polled again.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`; the tasks stay in the set.
    pub async fn run_until<F: Future>(&self, future: F) -> F::Output {
        RunUntil { set: self, future }.await
    }

    /// Tells this set from others that are there at the same time, and from runtimes.
    pub fn id(&self) -> Id {
        Id::from_address(self.tasks.address())
    }

    /// Drops all tasks.
    pub(crate) fn close(&self) {
        // What the tasks spawn as they are dropped is cancelled.
        let _entered = self.enter();
        self.tasks.close();
    }

    /// Makes this the set of [`spawn_local`] on the calling thread until the guard is dropped. It
    /// does not run tasks.
    pub fn enter(&self) -> LocalEnterGuard {
        let before = CURRENT.try_with(|current| current.replace(Some(self.tasks.clone())));
        LocalEnterGuard {
            before: before.ok().flatten(),
        }
    }

    /// Runs `f` as the code of a task or of the future beside them.
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        self.tasks.while_running(f)
    }
}

/// Ends [`LocalSet::enter`]: the set that was current before is so again.
#[must_use = "the set is entered only for as long as the guard lives"]
pub struct LocalEnterGuard {
    before: Option<LocalTasks>,
}

impl Drop for LocalEnterGuard {
    fn drop(&mut self) {
        let before = self.before.take();
        // What was entered may be the last of a set, whose tasks are gone by then.
        let _ = CURRENT.try_with(|current| current.replace(before));
    }
}

impl fmt::Debug for LocalEnterGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEnterGuard").finish_non_exhaustive()
    }
}

impl Future for LocalSet {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.tasks.listen(cx.waker());
        if self.with(|| self.tasks.run()) {
            cx.waker().wake_by_ref();
        } else if self.tasks.is_empty() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

pin_project! {
    struct RunUntil<'a, F> {
        set: &'a LocalSet,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for RunUntil<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (set, future) = (*this.set, this.future);
        set.tasks.listen(cx.waker());
        set.with(|| {
            let polled = future.poll(cx);
            if polled.is_ready() {
                // Whoever polls the set next runs what is left, and may not know of it.
                if set.tasks.has_work() {
                    cx.waker().wake_by_ref();
                }
                return polled;
            }
            if set.tasks.run() {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
    }
}

impl Drop for LocalSet {
    fn drop(&mut self) {
        self.close();
    }
}

impl Default for LocalSet {
    fn default() -> Self {
        LocalSet::new()
    }
}

impl fmt::Debug for LocalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSet").finish_non_exhaustive()
    }
}
