//! A thread that drives.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use evenkeel_sync::panics::log;

use crate::driver::Driver;
use crate::shared::Handle;

/// A thread that owns a [`Driver`] and turns it, for executors that have no place to do so.
///
/// Dropping it stops the thread, waits for its end, and so shuts the driver down.
///
/// # Examples
/// ```
/// use evenkeel_io_driver::{DriverThread, Io};
/// use mio::net::UdpSocket;
///
/// let driver = DriverThread::spawn("io")?;
/// let socket = Io::new(UdpSocket::bind("127.0.0.1:0".parse().unwrap())?, &driver.handle())?;
/// # futures_lite::future::block_on(async {
/// assert!(socket.writable().await?.ready().is_writable());
/// # std::io::Result::Ok(()) })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping the thread's owner stops it and shuts the driver down"]
pub struct DriverThread {
    handle: Handle,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DriverThread {
    /// Makes a driver and starts a thread of this name for it.
    ///
    /// # Errors
    /// Those of [`Driver::new`], and the system's when it cannot start a thread.
    ///
    /// # Panics
    /// If `name` contains a null byte.
    pub fn spawn(name: impl Into<String>) -> io::Result<DriverThread> {
        let driver = Driver::new()?;
        let handle = driver.handle();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || run(driver, &seen))?;
        Ok(DriverThread {
            handle,
            stop,
            thread: Some(thread),
        })
    }

    /// A handle for registering with the driver.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for DriverThread {
    fn drop(&mut self) {
        // The flag is set before the wake, and the thread reads it after each turn, so it sees it
        // after the turn that the wake ends.
        self.stop.store(true, Ordering::Release);
        self.handle.wake();
        let Some(thread) = self.thread.take() else {
            return;
        };
        if self.handle.is_of_parent() {
            // Where the thread is.
            return;
        }
        // A waker that runs on the driver's thread may be what drops this; it cannot wait for
        // itself, and the thread ends after this turn.
        if thread.thread().id() != thread::current().id() {
            // An error is a waker's panic, which the hook has reported where it happened.
            let _ = thread.join();
        }
    }
}

fn run(mut driver: Driver, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        if let Err(error) = driver.turn(None) {
            log(|| tracing::error!(%error, "the IO driver cannot poll and shuts down"));
            return;
        }
    }
}
