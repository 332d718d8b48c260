//! A source's place with the driver: the readiness of both halves, and waiting for it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mio::Token;
use mio::event::Source;

use crate::half::come_back;
use crate::interest::Interest;
use crate::ready::{Ready, ReadyEvent};
use crate::shared::{Handle, Shared};
use crate::slots::{Claim, Slot};
use crate::waiters::Ticket;

/// Whether a read that fills less of its buffer than the system was asked for has emptied the
/// source (and a short write has filled it), so that its readiness is over and the next change of
/// it will be reported. This is how edge-triggered epoll works (epoll(7), question 9). The idea to
/// save the system call that would say "would block" is tokio's.
#[allow(unexpected_cfgs)] // mio's own, for its poll(2) backend, which is level-triggered.
const SHORT_MEANS_DONE: bool =
    cfg!(any(target_os = "linux", target_os = "android")) && !cfg!(mio_unsupported_force_poll_poll);

/// A count from here on is short for no other reason than that the system moves no more in one call
/// (Linux: 0x7fff_f000 bytes, and less where pages are larger).
const SYSTEM_MAX: usize = 1 << 30;

/// Which way the bytes of an operation go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the source.
    Read,
    /// To the source.
    Write,
}

impl Direction {
    fn wanted(self) -> Ready {
        match self {
            Direction::Read => Ready::READABLE | Ready::READ_CLOSED,
            Direction::Write => Ready::WRITABLE | Ready::WRITE_CLOSED,
        }
    }
}

/// A source that is registered with a driver.
///
/// It holds the source's readiness and does not own the source. Dropping it forgets the readiness,
/// but only [`deregister`](Registration::deregister) tells the system. [`Io`](crate::Io) does all
/// of this by itself.
///
/// Readiness is edge-triggered: it stays set until somebody finds that the operation would block
/// and clears it. The methods that take an operation do so.
///
/// # Waiting
/// Of the `poll_*` callers, one per direction is remembered, the last. Any number of futures may
/// wait at the same time.
#[derive(Debug)]
#[must_use = "dropping a registration ends it"]
pub struct Registration {
    shared: Arc<Shared>,
    claim: Claim,
}

impl Handle {
    /// Registers `source`, for a [`Registration`] to wait on. It does not own the source: see
    /// [`Registration::deregister`], or let [`Io`](crate::Io) own both.
    ///
    /// # Errors
    /// The system's, for example when it cannot poll such a source (`EPERM` for a regular file), or
    /// when its limit of watched descriptors is reached; that the driver has shut down; or that it
    /// belongs to the process that this one was forked from. The source is then not registered, and
    /// nothing else is changed.
    pub fn register<S>(&self, source: &mut S, interest: Interest) -> io::Result<Registration>
    where
        S: Source + ?Sized,
    {
        let claim = self.shared.slots.claim()?;
        let token = Token(claim.token());
        // Made first, so that its drop gives the slot back if the system refuses the source.
        let registration = Registration {
            shared: Arc::clone(&self.shared),
            claim,
        };
        self.shared.system.register(source, token, interest)?;
        Ok(registration)
    }
}

impl Registration {
    /// A handle of the driver.
    pub fn handle(&self) -> Handle {
        Handle::of(Arc::clone(&self.shared))
    }

    /// Takes the source to be ready, for which the driver's word is yet to come: the first
    /// operation is tried at once, and if it would block, that is found out as for any readiness.
    ///
    /// For a source that was just registered and on which much can be done as a rule: a connection
    /// that was accepted can be written to, and often its first bytes are there. The idea is
    /// tokio's.
    pub fn assume_ready(&self, ready: Ready) {
        self.shared.slots.deliver(self.claim.token(), ready);
    }

    /// Waits until a read is worth trying. Remembers the waker of the last caller only.
    ///
    /// # Errors
    /// That the driver has shut down.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        self.poll_ready(cx, Direction::Read)
    }

    /// Waits until a write is worth trying. Remembers the waker of the last caller only.
    ///
    /// # Errors
    /// That the driver has shut down.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        self.poll_ready(cx, Direction::Write)
    }

    fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<ReadyEvent>> {
        let (wanted, slot) = (direction.wanted(), self.slot());
        Poll::Ready(Ok(match direction {
            Direction::Read => {
                let (ready, tick) = ready!(slot.read.poll(cx, wanted, shown(wanted)))?;
                ReadyEvent {
                    ready,
                    read_tick: Some(tick),
                    write_tick: None,
                }
            }
            Direction::Write => {
                let (ready, tick) = ready!(slot.write.poll(cx, wanted, shown(wanted)))?;
                ReadyEvent {
                    ready,
                    read_tick: None,
                    write_tick: Some(tick),
                }
            }
        }))
    }

    /// Waits until the source is ready for any of `interest`, and returns for which of it:
    ///
    /// - of [`READABLE`](Interest::READABLE): `READABLE`, `READ_CLOSED`, and `ERROR`, which the
    ///   next read fetches;
    /// - of [`WRITABLE`](Interest::WRITABLE): `WRITABLE`, `WRITE_CLOSED`, and `ERROR`;
    /// - of priority (Linux and Android): `PRIORITY` and `READ_CLOSED`;
    /// - of [`ERROR`](Interest::ERROR): `ERROR`, also if readers and writers have cleared theirs.
    ///
    /// # Errors
    /// That the driver has shut down.
    ///
    /// # Cancel safety
    /// Dropping the future loses no readiness.
    pub async fn readiness(&self, interest: Interest) -> io::Result<ReadyEvent> {
        self.readiness_after(interest, None).await
    }

    /// As `readiness`. If an operation would block at `blocked`, that a side is closed does not
    /// count until there is an event on that side again.
    fn readiness_after(&self, interest: Interest, blocked: Option<ReadyEvent>) -> Readiness<'_> {
        Readiness {
            registration: self,
            wanted: wanted_by(interest),
            blocked,
            ticket: None,
            read_key: None,
            write_key: None,
        }
    }

    /// Takes back the readiness in `event`, unless the driver has reported more since.
    ///
    /// To be called when an operation said that it would block, with the event that was there
    /// before the operation. It takes nothing that was not asked for: who waits for something else
    /// keeps it.
    ///
    /// A closed side stays closed here, as nobody has to prove that the operation did block. Where
    /// it may be opened again, as a FIFO's by its next writer, let
    /// [`try_io`](Registration::try_io), [`async_io`](Registration::async_io) or
    /// [`poll_io`](Registration::poll_io) see the operation.
    pub fn clear_readiness(&self, event: ReadyEvent) {
        self.clear(event, event.ready - Ready::STICKY);
    }

    /// As `clear_readiness`, by who has seen that the operation would block. An end never says
    /// that, so this side is not closed, or no longer, and the next event would say so. Of an event
    /// about both sides it is not known which one the operation was about, so that both stay
    /// closed.
    pub(crate) fn clear_blocked(&self, event: ReadyEvent) -> Ready {
        let cleared = match (event.read_tick, event.write_tick) {
            (Some(_), Some(_)) => event.ready - Ready::STICKY,
            _ => event.ready,
        };
        self.clear(event, cleared);
        cleared
    }

    fn clear(&self, event: ReadyEvent, cleared: Ready) {
        self.clear_unless(Ready::EMPTY, event, cleared);
    }

    /// In each half, unless any of `unless` is set there.
    fn clear_unless(&self, unless: Ready, event: ReadyEvent, cleared: Ready) {
        let slot = self.slot();
        if let Some(tick) = event.read_tick {
            slot.read.clear_unless(unless, tick, cleared);
        }
        if let Some(tick) = event.write_tick {
            slot.write.clear_unless(unless, tick, cleared);
        }
    }

    /// Calls `f` if the source is ready for any of `interest`, and clears that readiness if `f`
    /// says that it would block. `f` is one operation of the kind that `interest` names.
    ///
    /// At the mark of urgent data Linux may say that a read would block, for a signal, and it would
    /// not: [`async_io`](Registration::async_io) and [`poll_io`](Registration::poll_io) try again
    /// there.
    ///
    /// Cleared is also that a side is closed, as an end never says that it would block. If this
    /// side is closed all the same, as with a datagram socket that was shut down for reading,
    /// nobody is told again. With an interest in reading and writing at once a closed side stays
    /// so.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if the source is not ready, without calling `f`;
    /// that the driver has shut down; and what `f` returns.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        let event = self.look(wanted_by(interest))?;
        match event {
            Some(event) => self.clear_if_blocked(event, f()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Calls `f` each time that the source is ready for any of `interest`, until it does not say
    /// that it would block.
    ///
    /// # Errors
    /// That the driver has shut down, and what `f` returns.
    ///
    /// # Cancel safety
    /// The future waits only when `f` would block, so dropping it loses no result of `f`.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut f: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let mut blocked = None;
        loop {
            let event = self.readiness_after(interest, blocked).await?;
            match self.clear_if_blocked(event, self.attempt(event, &mut f)) {
                Err(error) if is_blocked(&error) => blocked = Some(event),
                result => return result,
            }
        }
    }

    /// As [`async_io`](Registration::async_io), for one direction and for callers that poll.
    /// Remembers the waker of the last caller only.
    ///
    /// # Errors
    /// That the driver has shut down, and what `f` returns.
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut f: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_event_io(cx, direction, |_| f())
    }

    /// As [`poll_io`](Registration::poll_io), for an `f` that asks the system for `len` bytes of a
    /// stream in one call, and returns how many it moved. Where fewer than `len` show that the
    /// source is empty (or full), its readiness is cleared, which saves the call that would only
    /// say so.
    ///
    /// `len` is what the system was really asked for: of a vectored operation, the sum of the
    /// slices that were handed over (Linux takes 1,024 in a call). That it moves no more than some
    /// 2 GiB at a time is known here.
    ///
    /// It is for streams whose operations are short for no other reason:
    ///
    /// - TCP, if the source is registered for priority as well (`Interest::PRIORITY`, on Linux and
    ///   Android). The urgent mark ends a read, so once urgent data was reported no short read of
    ///   this source is believed any more. Who takes an urgent byte (`MSG_OOB`) waits for priority
    ///   first; taken earlier, it is not reported, but its mark still ends a read. Not with kernel
    ///   TLS, where a record that is no data ends a read, too.
    /// - Writing to a Unix stream. Not reading from it: descriptors, credentials and out-of-band
    ///   data end a read, and nothing tells of them.
    /// - Pipes, but for reading one in packet mode (`O_DIRECT`).
    ///
    /// Not datagrams, where a short read is a short message.
    ///
    /// # Errors
    /// As [`poll_io`](Registration::poll_io).
    pub fn poll_stream_io(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        len: usize,
        mut f: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_event_io(cx, direction, |event| {
            let n = f()?;
            if SHORT_MEANS_DONE && (1..len.min(SYSTEM_MAX)).contains(&n) {
                self.clear_after_short(event);
            }
            Ok(n)
        })
    }

    /// Urgent data: every event that was taken after its arrival says `PRIORITY`, until a read has
    /// passed its mark. So if a read ended at the mark, that has been reported, and the half is
    /// marked; or the event of the arrival is yet to be delivered, and will say that there is more.
    fn clear_after_short(&self, event: ReadyEvent) {
        self.clear_unless(Ready::MARKED, event, event.ready - Ready::STICKY);
    }

    /// As `poll_io`; `f` learns the event that was there before it.
    fn poll_event_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut f: impl FnMut(ReadyEvent) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let event = ready!(self.poll_ready(cx, direction))?;
            match self.clear_if_blocked(event, self.attempt(event, || f(event))) {
                Err(error) if is_blocked(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Tells the system to forget `source`. Nothing is reported for it after that, so nobody should
    /// be waiting. It does nothing in a child made by `fork`, whose parent has the source still,
    /// and after the driver is gone.
    ///
    /// # Errors
    /// The system's, for example when `source` is not the one that was registered.
    pub fn deregister<S: Source + ?Sized>(&self, source: &mut S) -> io::Result<()> {
        self.shared.system.deregister(source)
    }

    fn slot(&self) -> &Slot {
        self.claim.slot()
    }

    /// What there is in the halves that `wanted` is about, if any of `wanted` is.
    fn look(&self, wanted: Ready) -> io::Result<Option<ReadyEvent>> {
        let slot = self.slot();
        let mut event = ReadyEvent {
            ready: Ready::EMPTY,
            read_tick: None,
            write_tick: None,
        };
        if wanted.intersects(Ready::READ_SIDE) {
            let (ready, tick) = slot.read.look(shown(wanted & Ready::READ_SIDE))?;
            event.ready |= ready;
            event.read_tick = Some(tick);
        }
        if wanted.intersects(Ready::WRITE_SIDE) {
            let (ready, tick) = slot.write.look(shown(wanted & Ready::WRITE_SIDE))?;
            event.ready |= ready;
            event.write_tick = Some(tick);
        }
        Ok(event.ready.intersects(wanted).then_some(event))
    }

    /// Calls `f`, and a second time if it would block where there was urgent data: at its mark
    /// Linux says so also if a signal is pending, whatever there is behind it. The signal is gone
    /// by then.
    fn attempt<R>(&self, event: ReadyEvent, mut f: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        match f() {
            Err(error) if is_blocked(&error) && event.read_tick.is_some() && self.is_marked() => {
                f()
            }
            result => result,
        }
    }

    fn is_marked(&self) -> bool {
        let marked = self.slot().read.look(Ready::MARKED);
        marked.is_ok_and(|(ready, _)| !ready.is_empty())
    }

    fn clear_if_blocked<R>(&self, event: ReadyEvent, result: io::Result<R>) -> io::Result<R> {
        if matches!(&result, Err(error) if is_blocked(error)) {
            self.clear_blocked(event);
        }
        result
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.slots.release(&self.claim);
    }
}

pub(crate) fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn wanted_by(interest: Interest) -> Ready {
    let mut wanted = Ready::EMPTY;
    if interest.is_readable() {
        wanted |= Direction::Read.wanted();
    }
    if interest.is_writable() {
        wanted |= Direction::Write.wanted();
    }
    if interest.is_priority() {
        wanted |= Ready::PRIORITY | Ready::PRIORITY_CLOSED;
    }
    if interest.is_error() {
        wanted |= Ready::ERROR_ALONE;
    }
    wanted
}

/// What is shown to who wants `wanted` of a half, and taken back when the operation blocks: that
/// and no more, or it would be taken from somebody who waits for it. The error of a source comes
/// with its readability and its writability, see `Ready::ERROR`, and goes with it.
fn shown(wanted: Ready) -> Ready {
    if wanted.intersects(Ready::READABLE | Ready::WRITABLE) {
        wanted | Ready::ERROR
    } else {
        wanted
    }
}

/// One of any number of futures that wait on a registration.
struct Readiness<'a> {
    registration: &'a Registration,
    wanted: Ready,
    blocked: Option<ReadyEvent>,
    /// Made when it has to wait.
    ticket: Option<Arc<Ticket>>,
    read_key: Option<usize>,
    write_key: Option<usize>,
}

impl Future for Readiness<'_> {
    type Output = io::Result<ReadyEvent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        if let Some(event) = self.look()? {
            return Poll::Ready(Ok(event));
        }
        let registered = self.wait(cx);
        // An event between the look above and the registering woke nobody.
        match self.look()? {
            Some(event) => Poll::Ready(Ok(event)),
            None => {
                if !registered {
                    come_back(cx);
                }
                Poll::Pending
            }
        }
    }
}

impl Readiness<'_> {
    fn look(&self) -> io::Result<Option<ReadyEvent>> {
        let event = self.registration.look(self.wanted)?;
        Ok(event.filter(|event| event.since(self.blocked).intersects(self.wanted)))
    }

    /// Leaves the waker in each half that is wanted; false if a lock was taken.
    fn wait(&mut self, cx: &mut Context<'_>) -> bool {
        let slot = self.registration.slot();
        let ticket = self.ticket.get_or_insert_default();
        let mut registered = true;
        if self.wanted.intersects(Ready::READ_SIDE) {
            registered &= slot.read.wait(cx, ticket, &mut self.read_key).is_ok();
        }
        if self.wanted.intersects(Ready::WRITE_SIDE) {
            registered &= slot.write.wait(cx, ticket, &mut self.write_key).is_ok();
        }
        registered
    }
}

impl Drop for Readiness<'_> {
    fn drop(&mut self) {
        let Some(ticket) = &self.ticket else { return };
        let slot = self.registration.slot();
        if let Some(key) = self.read_key {
            slot.read.waiters.remove_future(ticket, key);
        }
        if let Some(key) = self.write_key {
            slot.write.waiters.remove_future(ticket, key);
        }
    }
}
