//! What stands for the IO driver in the models: it has no events, and can be woken.

use loom::sync::Notify;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Driver(Handle);

#[derive(Clone)]
pub(crate) struct Handle(Arc<Notify>);

impl Driver {
    pub(crate) fn new() -> Driver {
        Driver(Handle(Arc::new(Notify::new())))
    }

    pub(crate) fn handle(&self) -> Handle {
        self.0.clone()
    }

    /// Waits until it is woken, however long that takes, or not at all.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        if timeout != Some(Duration::ZERO) {
            self.0.0.wait();
        }
        Ok(0)
    }
}

impl Handle {
    pub(crate) fn wake(&self) {
        self.0.notify();
    }
}
