//! The driver, which polls.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token};

use crate::ready::Ready;
use crate::shared::{Handle, Shared};

const EVENTS_PER_TURN: usize = 1024;

/// Above every token of a slot: the last index is never given out.
const WAKE_TOKEN: Token = Token(usize::MAX);

/// The longest wait in one turn. The system takes milliseconds in an `i32`; a longer wait would
/// overflow it and end at once or never (mio#1948).
const WAIT_MAX: Duration = Duration::from_millis(i32::MAX as u64 - 1);

/// Polls the system for readiness and wakes whoever waits for it.
///
/// Nothing is delivered unless somebody calls [`turn`](Driver::turn). [`DriverThread`] is a thread
/// that does nothing else; a runtime may let its idle workers do it instead.
///
/// Dropping the driver shuts it down: whoever waits gets an error, and so does every later
/// registration or wait. Its descriptors are closed then, whoever still has a handle.
///
/// A driver belongs to the process that made it. In a child made by `fork` nothing can be
/// registered with it, and sources that are dropped there stay registered in the parent.
///
/// [`DriverThread`]: crate::DriverThread
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let mut driver = evenkeel_io_driver::Driver::new()?;
/// let handle = driver.handle();
/// let waker = std::thread::spawn(move || handle.wake());
/// // Returns because of the wake, whichever of the two came first.
/// driver.turn(None)?;
/// waker.join().unwrap();
/// assert_eq!(driver.turn(Some(Duration::ZERO))?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping the driver shuts it down"]
pub struct Driver {
    poll: Poll,
    events: Events,
    shared: Arc<Shared>,
}

impl Driver {
    /// Makes a driver that takes up to 1,024 events from the system in a turn.
    ///
    /// # Errors
    /// The system's, when it has no descriptor for the poll or for its waker.
    pub fn new() -> io::Result<Driver> {
        Driver::with_capacity(EVENTS_PER_TURN)
    }

    /// Makes a driver that takes up to `events` events from the system in a turn.
    ///
    /// # Errors
    /// As [`new`](Driver::new).
    ///
    /// # Panics
    /// If `events` is 0.
    pub fn with_capacity(events: usize) -> io::Result<Driver> {
        assert!(events > 0, "a driver needs room for at least one event");
        let poll = Poll::new()?;
        let shared = Shared::new(&poll, WAKE_TOKEN)?;
        Ok(Driver {
            poll,
            events: Events::with_capacity(events),
            shared: Arc::new(shared),
        })
    }

    /// A handle for registering with this driver and for waking it.
    pub fn handle(&self) -> Handle {
        Handle::of(Arc::clone(&self.shared))
    }

    /// Waits for events, delivers them, and returns how many there were.
    ///
    /// It waits until there is an event, until [`Handle::wake`] is called, or for `timeout`; `None`
    /// has no limit, and zero does not wait. Where the system's own wait is in whole milliseconds,
    /// a timeout is rounded up to them; not on Linux, where the rest of one that is finer costs a
    /// second system call, and a third. It may return early with 0 events: after a signal, or when
    /// `timeout` is above the 24.8 days that the system can wait for.
    ///
    /// Wakers run here, on the calling thread. A panic of one is caught and logged.
    ///
    /// # Errors
    /// The system's. A signal is not an error.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map(|timeout| timeout.min(WAIT_MAX));
        let polled = self.wait(timeout);
        self.shared.bell.next_turn();
        match polled {
            Ok(()) => Ok(self.deliver()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Waits, and takes the events. `epoll_wait` does both, but only for whole milliseconds, so the
    /// rest of a timeout is waited for in another call. That comes last, since most waits end with
    /// an event, and before it.
    #[cfg(target_os = "linux")]
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let whole = timeout.map(|timeout| Duration::from_millis(timeout.as_millis() as u64));
        let Some(timeout) = timeout.filter(|_| timeout != whole) else {
            return self.poll.poll(&mut self.events, timeout);
        };
        let mut rest = timeout;
        if whole > Some(Duration::ZERO) {
            let start = std::time::Instant::now();
            self.poll.poll(&mut self.events, whole)?;
            rest = timeout.saturating_sub(start.elapsed());
            if !self.events.is_empty() || rest.is_zero() {
                return Ok(());
            }
        }
        self.wait_precisely(rest)?;
        self.poll.poll(&mut self.events, Some(Duration::ZERO))
    }

    #[cfg(not(target_os = "linux"))]
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.poll.poll(&mut self.events, timeout)
    }

    /// Waits until there are events to be taken, or for `timeout`.
    #[cfg(target_os = "linux")]
    fn wait_precisely(&self, timeout: Duration) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        // The epoll descriptor is readable when it has events, a wake-up among them.
        let mut epoll = [PollFd::new(self.poll.registry(), PollFlags::IN)];
        poll(&mut epoll, Some(&timeout))?;
        Ok(())
    }

    fn deliver(&self) -> usize {
        let slots = &self.shared.slots;
        let sources = self
            .events
            .iter()
            .filter(|event| event.token() != WAKE_TOKEN);
        sources
            .filter(|event| slots.deliver(event.token().0, ready_of(event)))
            .count()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.slots.shut_down();
        self.shared.system.close();
    }
}

/// Translates what the system reported.
fn ready_of(event: &Event) -> Ready {
    let error = event.is_error();
    // Only a hang-up is a closed side. mio takes an error for one as well, because of pipes; but a
    // socket reports one (a datagram that was refused, something in the error queue) and then goes
    // on, and the next write to a broken pipe says what it is.
    let write_closed = event.is_write_closed() && (!error || event.is_read_closed());
    let flags = [
        (event.is_readable() || error, Ready::READABLE),
        (event.is_writable() || error, Ready::WRITABLE),
        (event.is_read_closed(), Ready::READ_CLOSED),
        (write_closed, Ready::WRITE_CLOSED),
        (event.is_priority(), Ready::PRIORITY),
        (error, Ready::ERROR),
    ];
    let set = flags.into_iter().filter(|(set, _)| *set);
    set.fold(Ready::EMPTY, |ready, (_, flag)| ready | flag)
}
