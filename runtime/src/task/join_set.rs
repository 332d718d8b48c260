use crate::join::{AbortHandle, JoinError, JoinHandle};
use crate::runtime::Handle;
use crate::runtime::handle::Size;
use crate::task::{LocalSet, spawn_local};
use crate::tasks::{Id, budget};
use evenkeel_sync::Stack;
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// A set of tasks, joined in the order in which they complete. Dropping it aborts the tasks that
/// are left.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let mut set = evenkeel::task::JoinSet::new();
/// for i in 0..10 {
///     set.spawn(async move { i });
/// }
/// let mut sum = 0;
/// while let Some(result) = set.join_next().await {
///     sum += result.unwrap();
/// }
/// assert_eq!(sum, 45);
/// # });
/// ```
pub struct JoinSet<T> {
    members: HashMap<u64, JoinHandle<T>>,
    next_key: u64,
    /// The members that have not been polled with a waker of `ready` yet.
    fresh: Vec<u64>,
    ready: Arc<Ready>,
}

/// The members that have completed, and the task that waits for them.
///
/// A member that completes on the compute lane does so on a thread that may be preempted at any
/// point. So it claims or takes nothing here: a push is complete or has not happened, and the waker
/// stays in place. (`FuturesUnordered` has a queue whose pushes take two steps.) Another waker
/// needs another `Ready`.
struct Ready {
    keys: Stack<u64>,
    parent: Waker,
}

struct MemberWaker {
    key: u64,
    ready: Arc<Ready>,
}

impl Wake for MemberWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.keys.push(self.key);
        self.ready.parent.wake_by_ref();
    }
}

impl<T> JoinSet<T> {
    /// An empty set.
    pub fn new() -> Self {
        JoinSet {
            members: HashMap::new(),
            next_key: 0,
            fresh: Vec::new(),
            ready: Arc::new(Ready {
                keys: Stack::new(),
                parent: Waker::noop().clone(),
            }),
        }
    }

    /// The number of tasks whose results have not been taken yet.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True if no task is left in the set.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Aborts all tasks. They stay in the set until they are joined.
    pub fn abort_all(&self) {
        self.members.values().for_each(JoinHandle::abort);
    }

    /// Lets all tasks go on without the set, which is empty afterwards.
    pub fn detach_all(&mut self) {
        self.members.clear();
        self.fresh.clear();
    }

    /// Polls for the next result. `Ready(None)` if the set is empty.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.poll_join_next_with_id(cx).map_ok(|(_, value)| value)
    }

    /// Polls for the next result with the id of its task. `Ready(None)` if the set is empty.
    pub fn poll_join_next_with_id(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(Id, T), JoinError>>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        budget::poll_operation(cx, |cx| {
            self.listen(cx.waker());
            // Members take nothing from the budget. If one that has completed were put off, its
            // key would be in the stack again at once, and the search would never end.
            self.next_completed()
                .map_or(Poll::Pending, |completed| Poll::Ready(Some(completed)))
        })
    }

    /// Makes `waker` the one that is woken when members complete.
    fn listen(&mut self, waker: &Waker) {
        if !self.ready.parent.will_wake(waker) {
            let parent = waker.clone();
            self.ready = Arc::new(Ready {
                keys: Stack::new(),
                parent,
            });
            self.fresh = self.members.keys().copied().collect();
        }
    }

    /// The result of a member that has completed. Members that are not ready are left with a waker.
    fn next_completed(&mut self) -> Option<Result<(Id, T), JoinError>> {
        loop {
            if self.fresh.is_empty() {
                self.fresh = self.ready.keys.take_all().collect();
                // The next key is taken from the end.
                self.fresh.reverse();
            }
            let key = self.fresh.pop()?;
            // The member may have been joined already: a waker may be called more than once.
            let Some(member) = self.members.get_mut(&key) else {
                continue;
            };
            let id = member.id();
            let waker = Waker::from(Arc::new(MemberWaker {
                key,
                ready: self.ready.clone(),
            }));
            if let Poll::Ready(result) = member.poll_result(&waker) {
                self.members.remove(&key);
                return Some(result.map(|value| (id, value)));
            }
        }
    }

    /// Waits for one of the tasks to complete, and returns its result; `None` if the set is empty.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no result is lost.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// As [`join_next`](JoinSet::join_next), with the id of the task.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no result is lost.
    pub async fn join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        poll_fn(|cx| self.poll_join_next_with_id(cx)).await
    }

    /// The result of a task that has completed already; `None` if no task has.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.next_completed()
            .map(|result| result.map(|(_, value)| value))
    }

    /// As [`try_join_next`](JoinSet::try_join_next), with the id of the task.
    pub fn try_join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        self.next_completed()
    }

    /// Aborts all tasks and waits until all of them are gone. Results and panics are dropped.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the tasks stay aborted, and another call waits for those that are left.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Waits for all tasks, and returns their results in the order in which they completed.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the results so far are lost, and the other tasks are aborted.
    ///
    /// # Panics
    ///
    /// If a task panicked, with its panic; or if one was aborted.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut results = Vec::with_capacity(self.len());
        while let Some(result) = self.join_next().await {
            match result.map_err(JoinError::try_into_panic) {
                Ok(value) => results.push(value),
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                Err(Err(error)) => panic!("{error}"),
            }
        }
        results
    }

    fn insert(&mut self, handle: JoinHandle<T>) -> AbortHandle {
        let abort = handle.abort_handle();
        let key = self.next_key;
        self.next_key += 1;
        self.members.insert(key, handle);
        self.fresh.push(key);
        abort
    }
}

impl<T: 'static> JoinSet<T> {
    /// Spawns a future that need not be `Send` into the [`LocalSet`] that the calling code runs in,
    /// and into this set. See [`spawn_local`](crate::task::spawn_local()).
    ///
    /// # Panics
    ///
    /// Outside a `LocalSet`.
    #[track_caller]
    pub fn spawn_local<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.insert(spawn_local(future))
    }

    /// Spawns a future that need not be `Send` into `local_set`, and into this set.
    #[track_caller]
    pub fn spawn_local_on<F>(&mut self, future: F, local_set: &LocalSet) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.insert(local_set.spawn_local(future))
    }
}

impl<T: Send + 'static> JoinSet<T> {
    /// Spawns a future on the IO lane of the current runtime, into the set.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
    {
        if F::IS_LARGE {
            return self.insert(crate::spawn(Box::pin(future)));
        }
        self.insert(crate::spawn(future))
    }

    /// Spawns a future on the IO lane of the runtime of `handle`, into the set.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, future: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
    {
        if F::IS_LARGE {
            return self.insert(handle.spawn(Box::pin(future)));
        }
        self.insert(handle.spawn(future))
    }

    /// Runs a blocking closure on the blocking pool of the current runtime, into the set.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
    {
        if F::IS_LARGE {
            return self.insert(crate::spawn_blocking(Box::new(f)));
        }
        self.insert(crate::spawn_blocking(f))
    }

    /// Runs a blocking closure on the blocking pool of the runtime of `handle`, into the set.
    #[track_caller]
    pub fn spawn_blocking_on<F>(&mut self, f: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
    {
        if F::IS_LARGE {
            return self.insert(handle.spawn_blocking(Box::new(f)));
        }
        self.insert(handle.spawn_blocking(f))
    }

    /// Runs a closure on the compute lane of the current runtime, into the set.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn_compute<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
    {
        if F::IS_LARGE {
            return self.insert(crate::spawn_compute(Box::new(f)));
        }
        self.insert(crate::spawn_compute(f))
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}

impl<T: Send + 'static, F: Future<Output = T> + Send + 'static> FromIterator<F> for JoinSet<T> {
    /// Spawns every future of the iterator, as [`JoinSet::spawn`] does.
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> Self {
        let mut set = Self::new();
        set.extend(futures);
        set
    }
}

impl<T: Send + 'static, F: Future<Output = T> + Send + 'static> Extend<F> for JoinSet<T> {
    /// Spawns every future of the iterator, as [`JoinSet::spawn`] does.
    fn extend<I: IntoIterator<Item = F>>(&mut self, futures: I) {
        futures.into_iter().for_each(|future| {
            self.spawn(future);
        });
    }
}
