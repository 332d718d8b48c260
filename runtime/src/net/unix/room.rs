//! Waiting for room in the queue of a receiver that the socket is not connected to.
//!
//! A datagram socket that is connected is writable while its peer has room. One that sends to
//! somebody else is writable while that receiver is full: a try says that it would block, and right
//! after it the system reports the sender writable, because the buffer of the try was freed. Who
//! waits for that tries again at once, and burns a CPU for as long as the receiver is full.
//!
//! What can be waited for is a second socket that is connected to the receiver. It sends nothing, and
//! is made when a try was refused. A refused try has one of two causes, which a look at the second
//! socket tells apart:
//!
//! - the receiver is full: the second socket is not writable. It will be when the receiver has room
//!   or is gone, and the next try tells which;
//! - what the sender has sent elsewhere fills its own buffer, which is reported when it is over. As
//!   the receiver may have become full or not between the try and the look, this is believed after
//!   some tries only, and then either is waited for.

use std::io;
use std::task::{Context, Poll};

use evenkeel_io_driver::{Handle, Interest, Io, ReadyEvent};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use socket2::{SockAddr, Type};

use super::addr::new_socket;

/// After so many tries that were refused though there was room, it is not the receiver's fault.
const TRIES_MAX: u32 = 3;

/// Who stands in the way of a try that was refused.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// Nobody, any more.
    Gone,
    Receiver,
    Sender,
}

#[derive(Debug)]
pub(super) struct Room {
    receiver: SockAddr,
    /// `None` if no socket can be connected to the receiver: it is gone, which the next try will tell,
    /// or it is connected itself and takes from that peer only, whom it never makes wait.
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
        let socket = new_socket(Type::DGRAM)?;
        let socket = match socket.connect(&receiver) {
            Ok(()) => Some(mio::net::UnixDatagram::from_std(socket.into())),
            Err(_) => None,
        };
        Ok(Room {
            receiver,
            socket: socket
                .map(|socket| Io::with_interest(socket, Interest::WRITABLE, driver))
                .transpose()?,
            seen: None,
            cause: Cause::Gone,
            tries: 0,
        })
    }

    pub(super) fn is_of(&self, receiver: &SockAddr) -> bool {
        self.receiver == *receiver
    }

    /// A try was refused: finds out what to wait for.
    pub(super) fn refused(&mut self) -> io::Result<()> {
        // Before the look: of what comes after it there will be an event.
        if let (Some(socket), Some(seen)) = (&self.socket, self.seen.take()) {
            socket.clear_readiness(seen);
        }
        self.cause = if !self.has_room()? {
            self.tries = 0;
            Cause::Receiver
        } else if self.tries < TRIES_MAX {
            self.tries += 1;
            Cause::Gone
        } else {
            Cause::Sender
        };
        Ok(())
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
