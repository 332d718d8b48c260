//! A runtime of the current-thread flavour that has a [`LocalSet`] of its own.

use super::{Builder, EnterGuard, Handle, Runtime, RuntimeMetrics};
use crate::join::JoinHandle;
use crate::runtime::handle::Size;
use crate::task::LocalSet;
use crate::task::local::OfRuntime;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

/// A runtime that stays on its thread, so that futures spawned there need not be [`Send`].
///
/// It is a [`Runtime`] of the current-thread flavour
/// ([`Builder::new_current_thread`](super::Builder::new_current_thread)) in which
/// [`spawn_local`](crate::task::spawn_local()) works without a [`LocalSet`]: in the future of
/// [`block_on`](LocalRuntime::block_on), in all tasks, spawned this way or by
/// [`spawn`](crate::spawn()), and while a guard of [`enter`](LocalRuntime::enter) lives. It is all
/// on the one thread; what computes or blocks goes elsewhere, as in any runtime.
///
/// Dropping it drops its tasks, and waits as a [`Runtime`] does.
///
/// # Examples
///
/// ```
/// use evenkeel::runtime::LocalRuntime;
/// use evenkeel::task::spawn_local;
/// use std::rc::Rc;
///
/// let runtime = LocalRuntime::new()?;
/// let sum = runtime.block_on(async {
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
pub struct LocalRuntime {
    /// Before the runtime, in whose context its tasks are dropped.
    tasks: Tasks,
    runtime: Runtime,
}

struct Tasks {
    set: LocalSet,
    handle: Handle,
    _current: OfRuntime,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        let _entered = self.handle.enter();
        self.set.close();
    }
}

/// How [`Builder::build_local`] builds a runtime: there is nothing to choose yet.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct LocalOptions {
    /// Later there may be something that belongs to the thread.
    not_send: PhantomData<*mut ()>,
}

impl Builder {
    /// Builds a runtime that stays on the calling thread, where futures need not be [`Send`].
    ///
    /// # Errors
    ///
    /// As [`build`](Builder::build); and [`InvalidInput`](io::ErrorKind::InvalidInput) if this is
    /// not a builder of [`new_current_thread`](Builder::new_current_thread).
    pub fn build_local(&mut self, _: LocalOptions) -> io::Result<LocalRuntime> {
        if !self.is_current_thread() {
            let message =
                "a local runtime is of the current-thread flavour: use `new_current_thread`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.build().map(LocalRuntime::of)
    }
}

impl LocalRuntime {
    /// A runtime with the defaults of [`Builder`].
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new() -> io::Result<LocalRuntime> {
        Builder::new_current_thread().build().map(LocalRuntime::of)
    }

    fn of(runtime: Runtime) -> LocalRuntime {
        let (set, handle) = (LocalSet::new(), runtime.handle().clone());
        let _current = OfRuntime::set(handle.id(), &set);
        LocalRuntime {
            tasks: Tasks {
                set,
                handle,
                _current,
            },
            runtime,
        }
    }

    /// A handle, with which other threads can spawn onto this runtime what is `Send`.
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Spawns a future that need not be `Send`. It runs in [`block_on`](LocalRuntime::block_on).
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        if F::IS_LARGE {
            return self.tasks.set.spawn_local(Box::pin(future));
        }
        self.tasks.set.spawn_local(future)
    }

    /// Runs a closure on the blocking pool. See [`spawn_blocking`](crate::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        if F::IS_LARGE {
            return self.runtime.spawn_blocking(Box::new(f));
        }
        self.runtime.spawn_blocking(f)
    }

    /// Drives `future` and all tasks on the calling thread until `future` completes. Tasks that are
    /// left stand still until this is called again.
    ///
    /// # Panics
    ///
    /// As [`Runtime::block_on`].
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        if F::IS_LARGE {
            return self.tasks.set.block_on(&self.runtime, Box::pin(future));
        }
        self.tasks.set.block_on(&self.runtime, future)
    }

    /// Makes this the current runtime of the calling thread until the guard is dropped. See
    /// [`Runtime::enter`].
    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Shuts down, and waits no longer than `timeout`. See [`Runtime::shutdown_timeout`].
    pub fn shutdown_timeout(self, timeout: Duration) {
        let LocalRuntime { tasks, runtime } = self;
        drop(tasks);
        runtime.shutdown_timeout(timeout);
    }

    /// Shuts down without waiting for code that is running. See [`Runtime::shutdown_background`].
    pub fn shutdown_background(self) {
        self.shutdown_timeout(Duration::ZERO);
    }

    /// Numbers about this runtime, for monitoring. The tasks of
    /// [`spawn_local`](LocalRuntime::spawn_local) are not among them.
    pub fn metrics(&self) -> RuntimeMetrics {
        self.runtime.metrics()
    }
}

/// No code of others runs while anything in here is half done.
impl UnwindSafe for LocalRuntime {}
impl RefUnwindSafe for LocalRuntime {}

impl fmt::Debug for LocalRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRuntime")
            .field("handle", self.handle())
            .finish_non_exhaustive()
    }
}
