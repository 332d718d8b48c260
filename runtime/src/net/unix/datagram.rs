use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll};

use crossbeam_utils::atomic::AtomicCell;
use socket2::{SockAddr, SockRef, Type};

use super::addr;
use super::room::Room;
use crate::io::{Interest, Ready};
use crate::net::socket::{MioSocket, NO_SIGNAL, Socket};
use crate::task::coop::cooperative_output;
use crate::tasks::budget::poll_output;

/// A Unix datagram socket.
///
/// It can be used by several tasks at once: every method takes `&self`, so put it into an `Arc` to
/// share it. Unlike UDP, datagrams are neither lost nor reordered: sending waits while the
/// receiver's queue is full.
///
/// # Examples
///
/// ```
/// use evenkeel::net::UnixDatagram;
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let (left, right) = UnixDatagram::pair()?;
/// left.send(b"one").await?;
/// left.send(b"two").await?;
/// let mut buf = [0; 16];
/// assert_eq!(right.recv(&mut buf).await?, 3);
/// assert_eq!(&buf[..3], b"one");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct UnixDatagram {
    pub(in crate::net) socket: Socket<mio::net::UnixDatagram>,
    /// For what the last `poll_send_to` waits, if its receiver was full.
    room: AtomicCell<Option<Box<Room>>>,
}

impl UnixDatagram {
    /// Binds a socket to `path`, where nothing may exist yet; on Linux, one that begins with a null
    /// byte is an abstract name. Dropping the socket leaves the file behind.
    ///
    /// # Errors
    ///
    /// The error of the operating system: [`io::ErrorKind::AddrInUse`] if there is a file already,
    /// [`io::ErrorKind::InvalidInput`] if the path is too long for a socket (108 bytes on Linux).
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let addr = addr::of_path(path.as_ref())?;
        let socket = addr::new_socket(Type::DGRAM)?;
        socket.bind(&addr)?;
        Self::from_mio(mio::net::UnixDatagram::from_std(socket.into()))
    }

    /// Makes a socket without an address, which can send but not be answered.
    ///
    /// # Errors
    ///
    /// The error of the operating system, or of the registration with the driver.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        Self::from_mio(mio::net::UnixDatagram::unbound()?)
    }

    /// Makes two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// The error of the operating system, or of the registration with the driver.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = mio::net::UnixDatagram::pair()?;
        let (left, right) = (Self::from_mio(left)?, Self::from_mio(right)?);
        for socket in [&left, &right] {
            socket.socket.assume_ready(Ready::WRITABLE);
        }
        Ok((left, right))
    }

    #[track_caller]
    fn from_mio(source: mio::net::UnixDatagram) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(source)?,
            room: AtomicCell::new(None),
        })
    }

    /// Takes over a socket of the standard library, and puts it into non-blocking mode.
    ///
    /// # Errors
    ///
    /// The error of the operating system, or of the registration with the driver.
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    #[track_caller]
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::from_mio(mio::net::UnixDatagram::from_std(socket))
    }

    /// Gives the socket to the standard library. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// The error of removing it from the driver.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixDatagram> {
        self.socket.into_inner().map(Into::into)
    }

    /// Sets the peer of [`send`](Self::send); on Linux, a path that begins with a null byte is an
    /// abstract name.
    ///
    /// # Errors
    ///
    /// The error of the operating system: [`io::ErrorKind::NotFound`] if there is no such file,
    /// [`io::ErrorKind::ConnectionRefused`] if nobody is bound there.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let addr = addr::of_path(path.as_ref())?;
        SockRef::from(self.socket.get()).connect(&addr)
    }

    /// The address to which the socket is bound.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }

    /// The address of the peer to which the socket is connected.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`] if it is not connected, or another error of the operating
    /// system.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().peer_addr()
    }

    /// Shuts down a direction of the socket, or both.
    ///
    /// Linux does not tell those who wait to receive.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.get().shutdown(how)
    }

    /// Sends a datagram to the socket at `target`; on Linux, a path that begins with a null byte is
    /// an abstract name.
    ///
    /// While the receiver's queue is full, this waits with a second socket that is connected to it,
    /// which takes a descriptor.
    ///
    /// # Errors
    ///
    /// The error of the operating system: [`io::ErrorKind::NotFound`] if there is no such file,
    /// [`io::ErrorKind::ConnectionRefused`] if nobody is bound there, or if the receiver goes away
    /// while this waits for it; that of the second socket, for instance that there are too many
    /// open descriptors.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it is done, nothing was sent.
    pub async fn send_to(&self, buf: &[u8], target: impl AsRef<Path>) -> io::Result<usize> {
        let receiver = addr::of_path(target.as_ref())?;
        cooperative_output(self.send_when_there_is_room(buf, receiver)).await
    }

    async fn send_when_there_is_room(&self, buf: &[u8], receiver: SockAddr) -> io::Result<usize> {
        let mut room: Option<Room> = None;
        loop {
            match self.try_now(buf, &receiver) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            let room = match &mut room {
                Some(room) => room,
                none => none.insert(self.room_of(&receiver)?),
            };
            room.refused(self.socket.get())?;
            let mut sender = pin!(self.socket.when_ready(Interest::WRITABLE));
            poll_fn(|cx| room.poll(cx, |cx| sender.as_mut().poll(cx).map_ok(drop))).await?;
        }
    }

    /// As [`send_to`](Self::send_to), for hand-written futures. Only the task of the last call of a
    /// sending `poll_` method is woken, and only for the receiver of that call.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: impl AsRef<Path>,
    ) -> Poll<io::Result<usize>> {
        let receiver = addr::of_path(target.as_ref())?;
        poll_output(cx, |cx| {
            self.poll_send_when_there_is_room(cx, buf, &receiver)
        })
    }

    fn poll_send_when_there_is_room(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        receiver: &SockAddr,
    ) -> Poll<io::Result<usize>> {
        let waited = self.room.take();
        let mut room = waited.filter(|room| room.is_of(receiver));
        loop {
            if let Some(mut waiting) = room.take() {
                if waiting
                    .poll(cx, |cx| self.socket.poll_writable(cx))?
                    .is_pending()
                {
                    self.room.store(Some(waiting));
                    return Poll::Pending;
                }
                room = Some(waiting);
            }
            match self.try_now(buf, receiver) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            let refused = match &mut room {
                Some(room) => room,
                none => none.insert(Box::new(self.room_of(receiver)?)),
            };
            refused.refused(self.socket.get())?;
        }
    }

    fn room_of(&self, receiver: &SockAddr) -> io::Result<Room> {
        Room::of(receiver.clone(), &self.socket.driver())
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// The socket counts as writable while only a receiver is full to which it is not connected: to
    /// wait for that one, use [`send_to`](Self::send_to). Trying again whenever the socket is
    /// [`writable`](Self::writable) would keep a CPU busy.
    ///
    /// # Errors
    ///
    /// The error of the operating system, as of [`send_to`](Self::send_to), and
    /// [`io::ErrorKind::WouldBlock`].
    pub fn try_send_to(&self, buf: &[u8], target: impl AsRef<Path>) -> io::Result<usize> {
        let receiver = addr::of_path(target.as_ref())?;
        self.socket
            .try_call(Interest::WRITABLE, |socket| send_to(socket, buf, &receiver))
    }

    /// A try whatever is believed about the socket: it may be unready for the sake of the peer that
    /// it is connected to, and that need not be the receiver.
    fn try_now(&self, buf: &[u8], receiver: &SockAddr) -> io::Result<usize> {
        let mut tried = false;
        let result = self.socket.try_call(Interest::WRITABLE, |socket| {
            tried = true;
            send_to(socket, buf, receiver)
        });
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !tried => {
                send_to(self.socket.get(), buf, receiver)
            }
            result => result,
        }
    }
}

fn send_to(socket: &mio::net::UnixDatagram, buf: &[u8], receiver: &SockAddr) -> io::Result<usize> {
    socket.attempt(|socket| socket.send_to_with_flags(buf, receiver, NO_SIGNAL))
}
