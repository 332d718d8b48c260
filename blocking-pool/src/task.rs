//! The cell shared by a queued job and its [`BlockingTask`].
//!
//! # Protocol
//!
//! Every field is a [`AtomicBox`], changed by swaps alone, so no party waits for another.
//!
//! - *The closure* belongs to whoever takes it out of `job`: the pool thread runs it;
//!   [`BlockingTask::cancel`], or the queue that drops its entry unrun, cancels it. That party, and
//!   only that party, completes the task.
//! - *Completing*: (1) put the result into `result`; (2) take `waker`, and wake it if there is one.
//! - *Polling*: (1) take `result`; (2) if there is none, put the waker into `waker`; (3) take
//!   `result` once more.
//!
//! A result is never missed: the swaps of `waker` at completing (2) and polling (2) have an order.
//! If polling's comes first, completing finds the waker and wakes it. If completing's comes first,
//! polling's swap reads from it or from a later one and so acquires what completing released, the
//! result among it, and step (3) finds the result.
//!
//! Model: `tests::completion_meets_poll` below.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use evenkeel_sync::AtomicBox;

use crate::error::JobError;
use crate::panics::{contained, drop_contained};

/// Where the result arrives.
struct Output<T: Send> {
    result: AtomicBox<Result<T, JobError>>,
    waker: AtomicBox<Waker>,
}

impl<T: Send> Output<T> {
    fn complete(&self, result: Result<T, JobError>) {
        self.result.swap(Some(Box::new(result)));
        if let Some(waker) = self.waker.take() {
            contained("a waker", || waker.wake());
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, JobError>> {
        if let Some(result) = self.result.take() {
            return Poll::Ready(*result);
        }
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => Box::new(cx.waker().clone()),
        };
        self.waker.swap(Some(waker));
        match self.result.take() {
            Some(result) => {
                self.waker.take();
                Poll::Ready(*result)
            }
            None => Poll::Pending,
        }
    }
}

struct Cell<F: Send, T: Send> {
    job: AtomicBox<F>,
    output: Output<T>,
}

/// What a [`BlockingTask`] needs of its cell, whatever the closure's type.
trait Handle<T: Send>: Send + Sync {
    fn output(&self) -> &Output<T>;
    fn cancel(&self) -> bool;
}

impl<F: Send, T: Send> Handle<T> for Cell<F, T> {
    fn output(&self) -> &Output<T> {
        &self.output
    }

    fn cancel(&self) -> bool {
        let Some(job) = self.job.take() else {
            return false;
        };
        drop_contained(job);
        self.output.complete(Err(JobError::cancelled()));
        true
    }
}

/// The queue's half of a task. Dropping it unrun cancels the task.
pub(crate) struct QueuedTask<F: Send, T: Send>(Arc<Cell<F, T>>);

impl<F, T> QueuedTask<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    pub(crate) fn run(self) {
        if let Some(job) = self.0.job.take() {
            // As a trait object the closure is called where it lies on the heap; a large one would
            // otherwise be moved through this thread's stack, perhaps several times.
            let job: Box<dyn FnOnce() -> T> = job;
            let result = catch_unwind(AssertUnwindSafe(job));
            self.0.output.complete(result.map_err(JobError::panicked));
        }
    }
}

impl<F: Send, T: Send> Drop for QueuedTask<F, T> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The result of a job, as a future; made by [`Pool::spawn`](crate::Pool::spawn).
///
/// Completes under any executor. Dropping it detaches the job, which then runs all the same.
///
/// # Cancel safety
///
/// Nothing is lost by polling it and then not polling it for a while: the result waits until it is
/// taken.
#[must_use = "dropping a `BlockingTask` detaches its job and loses its result; await it, or bind it to `_` to detach"]
pub struct BlockingTask<T: Send> {
    cell: Arc<dyn Handle<T>>,
    finished: bool,
}

/// Both halves of a task that runs `job`.
pub(crate) fn new_task<F, T>(job: Box<F>) -> (QueuedTask<F, T>, BlockingTask<T>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let output = Output {
        result: AtomicBox::new(None),
        waker: AtomicBox::new(None),
    };
    let cell = Arc::new(Cell {
        job: AtomicBox::new(Some(job)),
        output,
    });
    (
        QueuedTask(cell.clone()),
        BlockingTask {
            cell,
            finished: false,
        },
    )
}

impl<T: Send> BlockingTask<T> {
    /// Takes the job back if it has not begun; true if so. Its closure is dropped here, and the
    /// task completes with an error that [`is_cancelled`](JobError::is_cancelled). A job that runs
    /// already is not disturbed.
    pub fn cancel(&self) -> bool {
        self.cell.cancel()
    }

    /// Whether the task has completed, so that awaiting it will not wait.
    pub fn is_finished(&self) -> bool {
        self.finished || !self.cell.output().result.is_empty()
    }

    /// Replaces the result by the reason why the job was refused.
    pub(crate) fn set_refused(&self, error: JobError) {
        self.cell.output().result.swap(Some(Box::new(Err(error))));
    }
}

impl<T: Send> Future for BlockingTask<T> {
    type Output = Result<T, JobError>;

    /// # Panics
    ///
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.finished, "`BlockingTask` polled after it was ready");
        let poll = self.cell.output().poll(cx);
        self.finished = poll.is_ready();
        poll
    }
}

impl<T: Send> Drop for BlockingTask<T> {
    fn drop(&mut self) {
        // Nobody waits any more: neither the waker nor a result that is there already stays until
        // the job's half goes.
        let output = self.cell.output();
        output.waker.take();
        output.result.take();
    }
}

impl<T: Send> fmt::Debug for BlockingTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingTask")
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

#[cfg(all(test, evenkeel_loom))]
mod tests {
    use loom::future::block_on;
    use loom::thread;

    use super::*;

    fn pair() -> (QueuedTask<impl FnOnce() -> u8 + Send, u8>, BlockingTask<u8>) {
        new_task(Box::new(|| 7))
    }

    /// A missed result shows as a deadlock. Tried: without the second `result.take()` of
    /// `Output::poll` it fails.
    #[test]
    fn completion_meets_poll() {
        loom::model(|| {
            let (queued, task) = pair();
            let runner = thread::spawn(move || queued.run());
            assert_eq!(block_on(task).unwrap(), 7);
            runner.join().unwrap();
        });
    }

    /// The result is dropped once, by either side; loom's own check finds a leaked waker.
    #[test]
    fn completion_meets_drop() {
        loom::model(|| {
            let (queued, mut task) = pair();
            let runner = thread::spawn(move || queued.run());
            block_on(std::future::poll_fn(|cx| {
                let _ = Pin::new(&mut task).poll(cx);
                Poll::Ready(())
            }));
            drop(task);
            runner.join().unwrap();
        });
    }

    /// Exactly one of running and cancelling happens.
    #[test]
    fn running_meets_cancelling() {
        loom::model(|| {
            let (queued, task) = pair();
            let runner = thread::spawn(move || queued.run());
            let cancelled = task.cancel();
            match block_on(task) {
                Ok(value) => assert!(value == 7 && !cancelled),
                Err(error) => assert!(error.is_cancelled() && cancelled),
            }
            runner.join().unwrap();
        });
    }
}
