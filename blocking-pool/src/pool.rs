use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::error::{ExecuteError, JobError};
use crate::shared::Shared;
use crate::task::{BlockingTask, new_task};
use crate::worker;

/// A pool of threads for calls that block.
///
/// Clones are handles to the same pool. Dropping the last one shuts the pool down in the
/// background: the jobs that were accepted run, and nobody waits for them. Call
/// [`shutdown`](Self::shutdown) to wait.
#[derive(Clone)]
pub struct Pool {
    user: Arc<User>,
}

/// Shared by the user's handles, not by the threads.
struct User {
    shared: Arc<Shared>,
}

impl Drop for User {
    fn drop(&mut self) {
        self.shared.shutdown(Some(Duration::ZERO));
    }
}

impl Pool {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            user: Arc::new(User {
                shared: Arc::new(Shared::new(config, worker::run)),
            }),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.user.shared
    }

    /// Runs `job` on a thread of the pool; its result is a future.
    ///
    /// A panic of the job reaches the future as a [`JobError`]. If the pool has been shut down, or
    /// has no thread and cannot start one, the future gives an error that
    /// [`is_cancelled`](JobError::is_cancelled), and the job is dropped. A job that waits when the
    /// pool is shut down still runs.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = evenkeel_blocking_pool::Builder::new().build()?;
    /// let task = pool.spawn(|| std::fs::read_to_string("Cargo.toml"));
    /// let text = futures_lite::future::block_on(task).expect("the job did not panic")?;
    /// assert!(text.contains("[package]"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn<F, T>(&self, job: F) -> BlockingTask<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (queued, task) = new_task(Box::new(job));
        if let Err(error) = self.shared().submit(Box::new(move || queued.run())) {
            task.set_refused(JobError::refused(error));
        }
        task
    }

    /// Runs `job` on a thread of the pool. A panic in it is caught and logged.
    ///
    /// A job that was accepted before the pool is shut down runs, unless the pool then has no
    /// thread and cannot start one. One that comes while it is shut down either runs or is dropped.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::ShutDown`] after a shutdown; [`ExecuteError::NoThread`] if the pool has no
    /// thread and cannot start one (not with a [thread maker](crate::Builder::thread_maker), which
    /// gets that error). The job has been dropped.
    pub fn execute(&self, job: impl FnOnce() + Send + 'static) -> Result<(), ExecuteError> {
        self.shared().submit(Box::new(job))
    }

    /// Makes threads for the jobs that wait, perhaps none. If that is not all that may be needed,
    /// the result is the time after which to call again: until then the hook is not called.
    ///
    /// So a burst of short jobs, which one thread works off before a second has started, does not
    /// make a thread for each of them. The first thread is made at once, then two after a tenth of
    /// a millisecond if the queue is still not going to be empty soon, then four, and so on.
    ///
    /// To be called after the hook of [`Builder::thread_maker`](crate::Builder::thread_maker).
    /// Creating a thread takes the operating system some tens of microseconds.
    ///
    /// # Errors
    ///
    /// That of the operating system, when it refuses a thread. The jobs stay queued. Call again
    /// after a pause: until then the hook may not be called, if no new job comes.
    pub fn make_threads(&self) -> io::Result<Option<Duration>> {
        self.shared().make_threads()
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.shared().threads()
    }

    /// How many threads wait for a job.
    pub fn idle_threads(&self) -> usize {
        self.shared().idle_threads()
    }

    /// How many jobs have not begun, cancelled ones included that still hold their place in the
    /// queue.
    pub fn queued(&self) -> usize {
        self.shared().queued()
    }

    /// Takes no more jobs, and waits until those that were accepted have run and all threads have
    /// ended, the destructors of their thread-locals included: for ever with `None`, else for
    /// `timeout` at most. True if that is so; when time is over, the pool goes on to its end by
    /// itself.
    ///
    /// May be called again, to wait once more. Called on a thread of this pool it does not wait and
    /// returns false. False as well if there is a timeout and the system has no thread to wait
    /// with.
    pub fn shutdown(&self, timeout: Option<Duration>) -> bool {
        self.shared().shutdown(timeout)
    }

    /// As [`shutdown`](Self::shutdown), but waits for nothing.
    pub fn shutdown_background(&self) {
        self.shared().shutdown(Some(Duration::ZERO));
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads())
            .field("idle_threads", &self.idle_threads())
            .field("queued", &self.queued())
            .finish()
    }
}
