use std::future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use socket2::SockRef;

use super::addr::{ToSocketAddrs, no_address, resolve, try_each};
use super::socket::{MioSocket, Socket};
use crate::io::Interest;

/// A UDP socket.
///
/// It can be used by several tasks at once: every method takes `&self`, so put it into an `Arc` to
/// share it.
///
/// Either [`connect`](Self::connect) it to one peer and use [`send`](Self::send) and
/// [`recv`](Self::recv), or leave it unconnected and use [`send_to`](Self::send_to) and
/// [`recv_from`](Self::recv_from).
///
/// # Examples
///
/// ```
/// use evenkeel::net::UdpSocket;
///
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.connect(server.local_addr()?).await?;
///
/// client.send(b"ping").await?;
/// let mut buf = [0; 16];
/// let (len, peer) = server.recv_from(&mut buf).await?;
/// server.send_to(&buf[..len], peer).await?;
/// assert_eq!(client.recv(&mut buf).await?, 4);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct UdpSocket {
    pub(in crate::net) socket: Socket<mio::net::UdpSocket>,
}

impl UdpSocket {
    /// Binds a socket to `addr`; port 0 lets the operating system choose a free port. If `addr`
    /// stands for several addresses, the first that can be bound is taken.
    ///
    /// # Errors
    ///
    /// The error of the last address that was tried, for instance [`io::ErrorKind::AddrInUse`].
    ///
    /// # Panics
    ///
    /// Panics outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it is done, nothing is bound.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        let source = try_each(addr, |addr| future::ready(mio::net::UdpSocket::bind(addr))).await?;
        Self::from_mio(source)
    }

    #[track_caller]
    fn from_mio(source: mio::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(source)?,
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
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::from_mio(mio::net::UdpSocket::from_std(socket))
    }

    /// Gives the socket to the standard library. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// The error of removing it from the driver.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        self.socket.into_inner().map(Into::into)
    }

    /// Sets the peer of [`send`](Self::send), and drops everything that comes from another one. If
    /// `addr` stands for several addresses, the first that works is taken.
    ///
    /// # Errors
    ///
    /// The error of the last address that was tried.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it is done, the socket has the peer that it
    /// had.
    pub async fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        try_each(addr, |addr| future::ready(self.socket.get().connect(addr))).await
    }

    /// The address to which the socket is bound.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }

    /// The peer to which the socket is connected.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`] if it is not connected, or another error of the operating
    /// system.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().peer_addr()
    }

    /// Sends a datagram to `target`. If that stands for several addresses, the first is taken.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if `target` stands for no address at all, or the error of
    /// the operating system.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it is done, nothing was sent.
    pub async fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], target: A) -> io::Result<usize> {
        let target = *resolve(&target).await?.first().ok_or_else(no_address)?;
        self.socket
            .call(Interest::WRITABLE, |socket| socket.send_to(buf, target))
            .await
    }

    /// As [`send_to`](Self::send_to), for hand-written futures.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.socket
            .poll_write_call(cx, |socket| socket.send_to(buf, target))
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to), and [`io::ErrorKind::WouldBlock`].
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.socket
            .try_call(Interest::WRITABLE, |socket| socket.send_to(buf, target))
    }

    /// As [`recv`](Self::recv), but leaves the datagram in the queue: the next call returns it
    /// again.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the queue.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket
            .call(Interest::READABLE, |socket| socket.peek(buf))
            .await
    }

    /// As [`peek`](Self::peek), without waiting.
    ///
    /// # Errors
    ///
    /// As [`peek`](Self::peek), and [`io::ErrorKind::WouldBlock`].
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket
            .try_call(Interest::READABLE, |socket| socket.peek(buf))
    }

    /// As [`recv_from`](Self::recv_from), but leaves the datagram in the queue: the next call
    /// returns it again.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the queue.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket
            .call(Interest::READABLE, |socket| socket.peek_from(buf))
            .await
    }

    /// As [`peek_from`](Self::peek_from), without waiting.
    ///
    /// # Errors
    ///
    /// As [`peek_from`](Self::peek_from), and [`io::ErrorKind::WouldBlock`].
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket
            .try_call(Interest::READABLE, |socket| socket.peek_from(buf))
    }

    /// Waits for a datagram and returns its sender, leaving it in the queue.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the queue.
    pub async fn peek_sender(&self) -> io::Result<SocketAddr> {
        self.socket.call(Interest::READABLE, peek_sender).await
    }

    /// As [`peek_sender`](Self::peek_sender), for hand-written futures.
    ///
    /// # Errors
    ///
    /// As [`peek_sender`](Self::peek_sender).
    pub fn poll_peek_sender(&self, cx: &mut Context<'_>) -> Poll<io::Result<SocketAddr>> {
        self.socket.poll_read_call(cx, peek_sender)
    }

    /// As [`peek_sender`](Self::peek_sender), without waiting.
    ///
    /// # Errors
    ///
    /// As [`peek_sender`](Self::peek_sender), and [`io::ErrorKind::WouldBlock`].
    pub fn try_peek_sender(&self) -> io::Result<SocketAddr> {
        self.socket.try_call(Interest::READABLE, peek_sender)
    }
}

/// Options.
impl UdpSocket {
    /// Whether datagrams may be sent to a broadcast address (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket.get().broadcast()
    }

    /// Sets whether datagrams may be sent to a broadcast address (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.socket.get().set_broadcast(on)
    }

    /// The time to live (`IP_TTL`) of the packets that are sent, in hops.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.get().ttl()
    }

    /// Sets the time to live (`IP_TTL`) of the packets that are sent, in hops.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.get().set_ttl(ttl)
    }

    /// Whether IPv4 multicast packets are looped back to this host (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.socket.get().multicast_loop_v4()
    }

    /// Sets whether IPv4 multicast packets are looped back to this host (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.socket.get().set_multicast_loop_v4(on)
    }

    /// The time to live (`IP_MULTICAST_TTL`) of the IPv4 multicast packets that are sent, in hops.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.socket.get().multicast_ttl_v4()
    }

    /// Sets the time to live (`IP_MULTICAST_TTL`) of the IPv4 multicast packets that are sent, in
    /// hops.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.socket.get().set_multicast_ttl_v4(ttl)
    }

    /// Whether IPv6 multicast packets are looped back to this host (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.socket.get().multicast_loop_v6()
    }

    /// Sets whether IPv6 multicast packets are looped back to this host (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.socket.get().set_multicast_loop_v6(on)
    }

    /// Joins an IPv4 multicast group, on the interface with that address or on one that the system
    /// chooses (`0.0.0.0`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket.get().join_multicast_v4(&group, &interface)
    }

    /// Leaves an IPv4 multicast group; the arguments are those of
    /// [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket.get().leave_multicast_v4(&group, &interface)
    }

    /// Joins an IPv6 multicast group, on the interface with that index or on one that the system
    /// chooses (0).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.get().join_multicast_v6(group, interface)
    }

    /// Leaves an IPv6 multicast group; the arguments are those of
    /// [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.get().leave_multicast_v6(group, interface)
    }
}

fn peek_sender(source: &mio::net::UdpSocket) -> io::Result<SocketAddr> {
    let sender = source.attempt(|socket: SockRef<'_>| socket.peek_sender())?;
    sender
        .as_socket()
        .ok_or_else(|| io::Error::other("the sender has no IP address"))
}
