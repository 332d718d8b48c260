//! The system's side of a driver: where sources are registered, and what ends its wait.
//!
//! Its descriptors are closed when the driver goes, whoever has a handle still. They belong to the
//! process that made them: a child of `fork` has them as well, and what it took out of the epoll
//! would be gone for its parent.

use std::io;
use std::process;

use arc_swap::ArcSwapOption;
use mio::event::Source;
use mio::{Poll, Registry, Token, Waker};

use crate::half::shutdown_error;
use crate::interest::Interest;

pub(crate) struct System {
    /// Gone with the driver.
    open: ArcSwapOption<Open>,
    process: u32,
}

struct Open {
    registry: Registry,
    waker: Waker,
}

impl System {
    pub(crate) fn new(poll: &Poll, wake: Token) -> io::Result<System> {
        let open = Open {
            registry: poll.registry().try_clone()?,
            waker: Waker::new(poll.registry(), wake)?,
        };
        Ok(System {
            open: ArcSwapOption::from_pointee(open),
            process: process::id(),
        })
    }

    pub(crate) fn register<S>(
        &self,
        source: &mut S,
        token: Token,
        interest: Interest,
    ) -> io::Result<()>
    where
        S: Source + ?Sized,
    {
        if self.is_of_parent() {
            return Err(io::Error::other(
                "the IO driver belongs to the process that this one was forked from",
            ));
        }
        match &*self.open.load() {
            Some(open) => open.registry.register(source, token, interest.to_mio()),
            None => Err(shutdown_error()),
        }
    }

    /// In a child the source is left where its parent has it.
    pub(crate) fn deregister<S: Source + ?Sized>(&self, source: &mut S) -> io::Result<()> {
        match &*self.open.load() {
            Some(open) if !self.is_of_parent() => open.registry.deregister(source),
            _ => Ok(()),
        }
    }

    pub(crate) fn wake(&self) -> io::Result<()> {
        match &*self.open.load() {
            Some(open) => open.waker.wake(),
            // There is nobody to be woken.
            None => Ok(()),
        }
    }

    pub(crate) fn close(&self) {
        self.open.store(None);
    }

    pub(crate) fn is_of_parent(&self) -> bool {
        self.process != process::id()
    }
}
