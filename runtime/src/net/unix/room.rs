//! Waiting for room in the queue of a receiver that the socket is not connected to.
//!
//! A datagram socket that is connected is writable while its peer has room. One that sends to
//! somebody else is writable while that receiver is full: a try says that it would block, and right
//! after it the system reports the sender writable, because the buffer of the try was freed. Who
//! waits for that tries again at once, and burns a CPU for as long as the receiver is full.
//!
//! What can be waited for is a second socket that is connected to the receiver. It sends nothing,
//! and is made when a try was refused. A refused try has one of three causes:
//!
//! - the receiver is full: the second socket is not writable. It will be when the receiver has room
//!   or is gone, and the next try tells which;
//! - what the sender has sent elsewhere fills its own buffer, which is reported when it is over.
//!   Linux tells how full it is. It has to: a sender that was refused for the receiver's sake is
//!   not reported while a quarter of its buffer is taken, and would wait for nothing. Elsewhere
//!   this is believed after some tries;
//! - neither: the receiver has made room since. Or another one is bound to the name by now, to
//!   which the second socket is not connected, so after some tries it is made anew.

use std::io;
use std::task::{Context, Poll};

use evenkeel_io_driver::{Handle, Interest, Io, ReadyEvent};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use socket2::{SockAddr, Type};

use super::addr::new_socket;

/// After so many tries that were refused though there was room, it is not the fault of the receiver
/// that is looked at.
const TRIES_MAX: u32 = 3;

/// Who stands in the way of a try that was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    /// Nobody, any more.
    Gone,
    Receiver,
    Sender,
}

#[derive(Debug)]
pub(super) struct Room {
    receiver: SockAddr,
    driver: Handle,
    /// `None` if no socket can be connected to the receiver: it is gone, which the next try will
    /// tell, or it is connected itself and takes from that peer only, whom it never makes wait.
    socket: Option<Io<mio::net::UnixDatagram>>,
    /// The readiness that was waited for, to be taken back.
    seen: Option<ReadyEvent>,
    cause: Cause,
    tries: u32,
}

impl Room {
    /// # Errors
    ///
    /// Those of making and registering a socket.
    pub(super) fn of(receiver: SockAddr, driver: &Handle) -> io::Result<Room> {
        Ok(Room {
            socket: connected_to(&receiver, driver)?,
            receiver,
            driver: driver.clone(),
            seen: None,
            cause: Cause::Gone,
            tries: 0,
        })
    }

    pub(super) fn is_of(&self, receiver: &SockAddr) -> bool {
        self.receiver == *receiver
    }

    /// A try of `sender` was refused: finds out what to wait for.
    pub(super) fn refused(&mut self, sender: &mio::net::UnixDatagram) -> io::Result<()> {
        // Before the look: of what comes after it there will be an event.
        if let (Some(socket), Some(seen)) = (&self.socket, self.seen.take()) {
            socket.clear_readiness(seen);
        }
        self.cause = if !self.has_room()? {
            self.tries = 0;
            Cause::Receiver
        } else if is_full(sender).unwrap_or(self.tries >= TRIES_MAX) {
            Cause::Sender
        } else if self.tries < TRIES_MAX {
            self.tries += 1;
            Cause::Gone
        } else {
            self.connect_again()?
        };
        Ok(())
    }

    fn connect_again(&mut self) -> io::Result<Cause> {
        self.tries = 0;
        self.socket = connected_to(&self.receiver, &self.driver)?;
        // With nothing to look at, this is all there is to wait for.
        let cause = self.socket.as_ref().map_or(Cause::Sender, |_| Cause::Gone);
        Ok(cause)
    }

    /// Waits for another try to be worth it; `sender` waits for the sender to be writable.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        sender: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        match self.cause {
            Cause::Gone => Poll::Ready(Ok(())),
            Cause::Receiver => self.poll_receiver(cx),
            Cause::Sender => match self.poll_receiver(cx) {
                Poll::Pending => sender(cx),
                ready => ready,
            },
        }
    }

    fn poll_receiver(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(socket) = &self.socket else {
            return Poll::Pending;
        };
        socket.poll_write_ready(cx).map_ok(|seen| {
            self.seen = Some(seen);
        })
    }

    fn has_room(&self) -> io::Result<bool> {
        let Some(socket) = &self.socket else {
            return Ok(true);
        };
        let mut look = [PollFd::new(socket.get_ref(), PollFlags::OUT)];
        // Also a look that does not wait is broken off by a signal.
        Ok(retry_on_intr(|| poll(&mut look, Some(&Timespec::default())))? > 0)
    }
}

/// A second socket, or `None` if it cannot be connected.
fn connected_to(
    receiver: &SockAddr,
    driver: &Handle,
) -> io::Result<Option<Io<mio::net::UnixDatagram>>> {
    let socket = new_socket(Type::DGRAM)?;
    if socket.connect(receiver).is_err() {
        return Ok(None);
    }
    let socket = mio::net::UnixDatagram::from_std(socket.into());
    Io::with_interest(socket, Interest::WRITABLE, driver).map(Some)
}

/// Whether the sender's own buffer takes nothing more, where the system tells.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_full(sender: &mio::net::UnixDatagram) -> Option<bool> {
    use std::os::fd::AsRawFd;

    let mut queued: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as `sender` is borrowed, and the pointer is to an
    // integer that outlives the call.
    let outcome = unsafe { libc::ioctl(sender.as_raw_fd(), libc::TIOCOUTQ, &raw mut queued) };
    let limit = socket2::SockRef::from(sender).send_buffer_size().ok()?;
    (outcome == 0).then_some(usize::try_from(queued).ok()? >= limit)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_full(_: &mio::net::UnixDatagram) -> Option<bool> {
    None
}

#[cfg(all(test, target_os = "linux", not(evenkeel_loom)))]
mod tests {
    use super::*;
    use evenkeel_io_driver::Driver;
    use std::os::unix::net::UnixDatagram as StdDatagram;
    use std::path::PathBuf;
    use std::task::Waker;

    struct Receiver(StdDatagram, PathBuf);

    impl Receiver {
        fn new(name: &str) -> Receiver {
            let name = format!("evenkeel-room-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = std::fs::remove_file(&path);
            Receiver(StdDatagram::bind(&path).unwrap(), path)
        }
    }

    impl Drop for Receiver {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.1);
        }
    }

    /// A sender of whose buffer more than a quarter is taken is not reported when the buffer of a
    /// refused try is freed. Let the receiver be full at each try, and have room at each look.
    #[test]
    fn a_receiver_that_others_empty_and_fill_is_no_reason_to_wait_for_the_sender() {
        let mut driver = Driver::new().unwrap();
        let cx = &mut Context::from_waker(Waker::noop());
        let (silent, receiver) = (Receiver::new("silent"), Receiver::new("receiver"));
        let sender = mio::net::UnixDatagram::unbound().unwrap();
        for _ in 0..3 {
            sender.send_to(&[0; 30_000], &silent.1).unwrap();
        }
        while sender.send_to(b"filler", &receiver.1).is_ok() {}

        let address = super::super::addr::of_path(&receiver.1).unwrap();
        let mut room = Room::of(address, &driver.handle()).unwrap();
        room.refused(&sender).unwrap();
        assert_eq!(room.cause, Cause::Receiver);
        assert!(room.poll(cx, |_| Poll::Pending).is_pending());
        receiver.0.recv(&mut [0; 8]).unwrap();
        while room.poll(cx, |_| Poll::Pending).is_pending() {
            driver.turn(None).unwrap();
        }
        for refused in 1..20 {
            room.refused(&sender).unwrap();
            let waits = room.poll(cx, |_| Poll::Pending).is_pending();
            assert!(!waits, "there is room, at refusal {refused}");
        }
    }
}
