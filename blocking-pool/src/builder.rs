use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::pool::Pool;

/// Configures and builds a [`Pool`].
///
/// ```
/// use std::time::Duration;
/// use evenkeel_blocking_pool::Builder;
///
/// # fn main() -> std::io::Result<()> {
/// let pool = Builder::new().max_threads(16).keep_alive(Duration::from_secs(2)).build()?;
/// # pool.shutdown(None);
/// # Ok(())
/// # }
/// ```
#[must_use = "a `Builder` does nothing until `build()` is called"]
pub struct Builder {
    config: Config,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The defaults: at most 512 threads, which end after 10 s without a job, named "blocking".
    pub fn new() -> Self {
        Self {
            config: Config::default(),
        }
    }

    /// The most threads that exist at a time; further jobs wait in a queue, first in, first out. At
    /// least 1.
    pub fn max_threads(&mut self, threads: usize) -> &mut Self {
        self.config.max_threads = threads;
        self
    }

    /// How long a thread waits for a job before it ends; for ever with [`Duration::MAX`].
    pub fn keep_alive(&mut self, time: Duration) -> &mut Self {
        self.config.keep_alive = time;
        self
    }

    /// The name of every thread. Linux shows the first 15 bytes.
    pub fn thread_name(&mut self, name: impl Into<String>) -> &mut Self {
        let name = name.into();
        self.thread_name_fn(move || name.clone())
    }

    /// Called for the name of each new thread. A panic in it is logged; the thread has no name
    /// then.
    pub fn thread_name_fn(
        &mut self,
        name: impl Fn() -> String + Send + Sync + 'static,
    ) -> &mut Self {
        self.config.thread_name = Arc::new(name);
        self
    }

    /// The stack size of the threads, in bytes; std's default if not set.
    pub fn stack_size(&mut self, bytes: usize) -> &mut Self {
        self.config.stack_size = Some(bytes);
        self
    }

    /// Called by whoever makes a thread, for what the thread is to do first of all: to take over
    /// what its maker knows.
    ///
    /// A panic in either is logged; the thread goes on.
    pub fn thread_setup<F>(&mut self, hook: impl Fn() -> F + Send + Sync + 'static) -> &mut Self
    where
        F: FnOnce() + Send + 'static,
    {
        let hook = move || Box::new(hook()) as Box<dyn FnOnce() + Send>;
        self.config.thread_setup = Some(Arc::new(hook));
        self
    }

    /// Called on each thread before its first job.
    ///
    /// A panic in it is logged; the thread goes on.
    pub fn on_thread_start(&mut self, hook: impl Fn() + Send + Sync + 'static) -> &mut Self {
        self.config.on_thread_start = Some(Arc::new(hook));
        self
    }

    /// Called on each thread after its last job.
    ///
    /// If a job comes just then, the thread may stay after all; it is started anew, by a call of
    /// the start hook. A panic in it is logged; the thread ends as it would have.
    pub fn on_thread_stop(&mut self, hook: impl Fn() + Send + Sync + 'static) -> &mut Self {
        self.config.on_thread_stop = Some(Arc::new(hook));
        self
    }

    /// Has threads made elsewhere: `hook` is called when the pool wants a thread, and must see to
    /// it that [`Pool::make_threads`] is called soon after, by another thread, and again when it
    /// says so.
    ///
    /// On Linux a new thread inherits its creator's CPU affinity and scheduling policy. Without
    /// this hook the thread that submits a job creates the thread to run it, so set it if jobs come
    /// from pinned or low-priority threads, and call `make_threads` from a thread that is neither.
    /// With it, submitting a job takes no lock.
    ///
    /// The hook runs on the submitting thread or on one of the pool, must be quick and must not
    /// block: wake the thread that makes threads, and return. It is not called again while a call
    /// is unanswered.
    pub fn thread_maker(&mut self, hook: impl Fn() + Send + Sync + 'static) -> &mut Self {
        self.config.thread_maker = Some(Arc::new(hook));
        self
    }

    /// Builds the pool. No thread is started yet.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `max_threads` is 0.
    pub fn build(&self) -> io::Result<Pool> {
        if self.config.max_threads == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a blocking pool needs at least one thread: `max_threads` is 0",
            ));
        }
        Ok(Pool::new(self.config.clone()))
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("max_threads", &self.config.max_threads)
            .field("keep_alive", &self.config.keep_alive)
            .field("stack_size", &self.config.stack_size)
            .finish_non_exhaustive()
    }
}
