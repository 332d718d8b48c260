//! What users hold of a task: the handle of its result, the handle that aborts it, and the error
//! that stands for a result.

use crate::tasks::{AbortRef, Failure, Id, JoinRef, budget};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// The right to await the result of a task. Dropping it detaches the task, which goes on.
///
/// It is a future of `Result<T, JoinError>` and completes under any executor. The error says
/// whether the task panicked or was cancelled: by [`abort`](JoinHandle::abort), or because its
/// runtime was shut down. (A closure that was given to [`spawn_blocking`](crate::spawn_blocking)
/// before the shutdown still runs.)
///
/// # Cancel safety
///
/// Awaiting `&mut handle` is cancel safe: the result stays until the handle is polled again.
///
/// # Panics
///
/// If polled again after it has given its result.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let handle = evenkeel::spawn(async { 6 * 7 });
/// assert_eq!(handle.await.unwrap(), 42);
///
/// let failed = evenkeel::spawn(async { panic!("oh") });
/// assert!(failed.await.unwrap_err().is_panic());
/// # });
/// ```
pub struct JoinHandle<T> {
    task: JoinRef<T>,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(task: JoinRef<T>) -> Self {
        JoinHandle { task }
    }

    /// Asks for the task to be cancelled.
    ///
    /// A future is dropped at an await point: as soon as its poll returns, or a worker gets to it.
    /// The handle then gives an error with [`JoinError::is_cancelled`]. A closure given to
    /// [`spawn_blocking`](crate::spawn_blocking) or [`spawn_compute`](crate::spawn_compute) is
    /// cancelled only if it has not started: running code cannot be stopped from outside. A task
    /// that has completed keeps its result.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// A handle that can abort the task, and does not give its result.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle {
            task: self.task.abort_ref(),
        }
    }

    /// True once the task has completed, panicked or been cancelled. After an
    /// [`abort`](JoinHandle::abort) this may take a moment.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.task.id()
    }

    /// Polls without a budget.
    pub(crate) fn poll_result(&mut self, waker: &Waker) -> Poll<Result<T, JoinError>> {
        let id = self.id();
        self.task
            .poll_result(waker)
            .map_err(|failure| JoinError::new(id, failure))
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        budget::poll_operation(cx, |cx| self.poll_result(cx.waker()))
    }
}

impl<T> Unpin for JoinHandle<T> {}
impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// A handle that can abort a task. Made by [`JoinHandle::abort_handle`]; cloning it is cheap.
///
/// Dropping it does nothing to the task.
#[derive(Clone)]
pub struct AbortHandle {
    task: AbortRef,
}

impl AbortHandle {
    /// Asks for the task to be cancelled, as [`JoinHandle::abort`] does.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// True once the task has completed, panicked or been cancelled.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.task.id()
    }
}

impl UnwindSafe for AbortHandle {}
impl RefUnwindSafe for AbortHandle {}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("id", &self.id())
            .finish()
    }
}

/// Why a task gave no result: it panicked, or it was cancelled.
///
/// A task is cancelled by [`abort`](JoinHandle::abort), or because its runtime was shut down
/// before it completed; for closures that block see [`Runtime`](crate::runtime::Runtime#shutdown).
pub struct JoinError {
    id: Id,
    repr: Repr,
}

enum Repr {
    Cancelled,
    // The mutex makes the payload `Sync`, which by itself is only `Send`.
    Panicked(Mutex<Box<dyn Any + Send>>),
}

impl JoinError {
    fn new(id: Id, failure: Failure) -> Self {
        let repr = match failure {
            Failure::Cancelled => Repr::Cancelled,
            Failure::Panicked(payload) => Repr::Panicked(Mutex::new(payload)),
        };
        JoinError { id, repr }
    }

    /// True if the task was cancelled, by an abort or by the shutdown of its runtime.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.repr, Repr::Cancelled)
    }

    /// True if the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.repr, Repr::Panicked(_))
    }

    /// The value that the task panicked with, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// If the task did not panic; see [`try_into_panic`](Self::try_into_panic).
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("`JoinError::into_panic` on an error that is no panic: {error}"),
        }
    }

    /// The value that the task panicked with, or the error itself if it did not panic.
    ///
    /// # Errors
    ///
    /// Returns `self` if the task was cancelled.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, JoinError> {
        match self.repr {
            Repr::Panicked(payload) => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            Repr::Cancelled => Err(self),
        }
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The message of the panic if it is text, as nearly all are.
    fn message(&self) -> Option<String> {
        let Repr::Panicked(payload) = &self.repr else {
            return None;
        };
        let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
        payload
            .downcast_ref::<&'static str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.repr, self.message()) {
            (Repr::Cancelled, _) => write!(f, "task {} was cancelled", self.id),
            (Repr::Panicked(_), Some(message)) => {
                write!(f, "task {} panicked with message {message:?}", self.id)
            }
            (Repr::Panicked(_), None) => write!(f, "task {} panicked", self.id),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.repr, self.message()) {
            (Repr::Cancelled, _) => write!(f, "JoinError::Cancelled({:?})", self.id),
            (Repr::Panicked(_), Some(message)) => {
                write!(f, "JoinError::Panic({:?}, {message:?}, ...)", self.id)
            }
            (Repr::Panicked(_), None) => write!(f, "JoinError::Panic({:?}, ...)", self.id),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> Self {
        std::io::Error::other(error)
    }
}
