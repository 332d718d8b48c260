//! What tokio's `Builder` and `Handle` have, and this crate would have no need of, or has by
//! another name.

#[cfg(any(feature = "fs", feature = "io-std"))]
use super::pool_shut_down;
use super::threads::Names;
use super::{Builder, Handle};
use crate::scheduler::kind::Kind;
use crate::scheduler::worker::Caller;
use evenkeel_io_driver::is_shutdown_error;
use evenkeel_sync::panics::Foreign;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

impl Builder {
    /// The same as [`new`](Builder::new).
    pub fn new_multi_thread() -> Self {
        Builder::new()
    }

    /// IO and timers are always there, so this changes nothing.
    pub fn enable_all(&mut self) -> &mut Self {
        self
    }

    /// IO is always there, so this changes nothing.
    pub fn enable_io(&mut self) -> &mut Self {
        self
    }

    /// Timers are always there, so this changes nothing.
    pub fn enable_time(&mut self) -> &mut Self {
        self
    }

    /// What the runtime is called, for [`Handle::name`]; nothing by default. See also
    /// [`thread_name`](Builder::thread_name).
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.name = Some(name.into());
        self
    }

    /// Calls `f` for the whole name of each new thread, whatever it does, in place of
    /// [`thread_name`](Builder::thread_name).
    ///
    /// If it panics or says a name with a NUL byte, the thread is called as it would be by default.
    pub fn thread_name_fn<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn() -> String + Send + Sync + 'static,
    {
        self.names = Some(Names::Fn(Foreign::new(Arc::new(f))));
        self
    }

    /// Calls `f` on an IO worker that has found nothing to do, before it sleeps. What `f` spawns is
    /// run first. It must not block: what wakes the worker waits for it. A panic in it is logged.
    pub fn on_thread_park<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.hooks.park = Some(Foreign::new(Arc::new(f)));
        self
    }

    /// Calls `f` on an IO worker that has slept, before it does anything else; once for each call
    /// of [`on_thread_park`](Builder::on_thread_park)'s. It must not block. A panic in it is
    /// logged.
    pub fn on_thread_unpark<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.hooks.unpark = Some(Foreign::new(Arc::new(f)));
        self
    }

    /// A busy worker looks for IO events every so many tasks; 61 by default. If tasks take long, it
    /// looks more often in any case.
    ///
    /// Zero is an error of [`build`](Builder::build).
    pub fn event_interval(&mut self, tasks: u32) -> &mut Self {
        self.intervals.events = tasks;
        self
    }

    /// A busy worker looks after so many tasks, at most, for those that other threads have sent; 61
    /// by default, and 31 in the current-thread flavour. If tasks take long, it looks more often in
    /// any case.
    ///
    /// Zero is an error of [`build`](Builder::build).
    pub fn global_queue_interval(&mut self, tasks: u32) -> &mut Self {
        self.intervals.inbox = Some(tasks);
        self
    }

    /// How many IO events are taken from the system at once; 1,024 by default.
    ///
    /// Zero is an error of [`build`](Builder::build).
    pub fn max_io_events_per_tick(&mut self, events: usize) -> &mut Self {
        self.events_per_look = events;
        self
    }

    pub(super) fn check_intervals(&self) -> io::Result<()> {
        let zero = [
            ("event_interval", self.intervals.events == 0),
            ("global_queue_interval", self.intervals.inbox == Some(0)),
            ("max_io_events_per_tick", self.events_per_look == 0),
        ];
        match zero.iter().find(|(_, is_zero)| *is_zero) {
            None => Ok(()),
            Some((what, _)) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{what}` is 0: leave it out for the default"),
            )),
        }
    }
}

impl Handle {
    /// Which threads run the tasks.
    pub fn runtime_flavor(&self) -> RuntimeFlavor {
        match self.shared.current_thread {
            Some(_) => RuntimeFlavor::CurrentThread,
            None => RuntimeFlavor::MultiThread,
        }
    }

    /// Tells this runtime from others that are there at the same time.
    pub fn id(&self) -> Id {
        Id::from_address(Arc::as_ptr(&self.shared).addr())
    }

    /// What [`Builder::name`] has set.
    pub fn name(&self) -> Option<&str> {
        self.shared.name.as_deref()
    }
}

/// Which threads run the tasks of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeFlavor {
    /// The thread in `block_on`.
    CurrentThread,
    /// Workers of the runtime's own.
    MultiThread,
}

/// Tells a runtime from others that are there at the same time, from [`Handle::id`]; or a
/// [`LocalSet`](crate::task::LocalSet) from others, and from runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(NonZeroUsize);

impl Id {
    /// Of what is shared by all that belongs together.
    pub(crate) fn from_address(address: usize) -> Id {
        Id(NonZeroUsize::new(address).expect("no reference is null"))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of the IO worker whose thread this is, from 0 on, as in
/// [`RuntimeMetrics`](super::RuntimeMetrics).
///
/// `None` on any other thread, such as one of the blocking pool or of the compute lane; in
/// `block_on` of a runtime with workers; and in a poll whose worker another thread has taken over.
/// In a runtime of the current-thread flavour the thread in `block_on` that runs the tasks is
/// number 0. A task may be on another worker after each `.await`.
pub fn worker_index() -> Option<usize> {
    Caller::with(|caller| {
        let worker = caller.worker().filter(|worker| worker.kind() == Kind::Io);
        worker.map(|worker| worker.index())
    })
}

/// True if what needs the runtime has failed because that was shut down: the sockets and pipes of
/// [`net`](crate::net) and [`AsyncFd`](crate::io::AsyncFd), which wait for its IO driver, and the
/// files and standard streams of `fs` and [`io`](crate::io), which need its blocking pool.
pub fn is_rt_shutdown_err(error: &io::Error) -> bool {
    is_shutdown_error(error) || is_of_pool(error)
}

#[cfg(any(feature = "fs", feature = "io-std"))]
fn is_of_pool(error: &io::Error) -> bool {
    pool_shut_down::is(error)
}

#[cfg(not(any(feature = "fs", feature = "io-std")))]
fn is_of_pool(_: &io::Error) -> bool {
    false
}
