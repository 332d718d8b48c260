//! A UDP socket as quinn wants it.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::io::Interest;
use crate::net::UdpSocket;

/// A registered socket, with what quinn has set and found out about it.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            state: UdpSocketState::new((&socket).into())?,
            io: UdpSocket::from_std(socket)?,
        })
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        // A future each, since each waits with a waker of its own.
        Box::pin(Poller {
            wait: move || {
                let socket = self.clone();
                async move { socket.io.writable().await }
            },
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || {
            self.state.send((&self.io).into(), transmit)
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let received = self.io.try_io(Interest::READABLE, || {
                self.state.recv((&self.io).into(), bufs, meta)
            });
            match received {
                Ok(n) => return Poll::Ready(Ok(n)),
                Err(error) if is_passing(&error) => {}
                // quinn ends the endpoint with it, in place of trying again without end.
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// Nothing there after all, or no memory at this moment, or something that the network says of a
/// datagram that was sent, which anybody may have it say: the next look does not find it again.
fn is_passing(error: &io::Error) -> bool {
    let is_known = matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    );
    is_known || is_of_datagram(error)
}

/// Those for which `io::ErrorKind` has no stable name, or one that says less.
#[cfg(unix)]
fn is_of_datagram(error: &io::Error) -> bool {
    use libc::{EACCES, EHOSTDOWN, EMSGSIZE, ENOBUFS, ENOMEM, ENOPROTOOPT, EPROTO};
    matches!(
        error.raw_os_error(),
        Some(EACCES | EHOSTDOWN | EMSGSIZE | ENOBUFS | ENOMEM | ENOPROTOOPT | EPROTO)
    )
}

#[cfg(not(unix))]
fn is_of_datagram(_: &io::Error) -> bool {
    false
}

pin_project! {
    /// Waits until the socket is writable, again and again.
    struct Poller<W, F> {
        wait: W,
        #[pin]
        waiting: Option<F>,
    }
}

impl<W, F> fmt::Debug for Poller<W, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

impl<W, F> UdpPoller for Poller<W, F>
where
    W: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<()>> + Send + Sync + 'static,
{
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        if this.waiting.is_none() {
            this.waiting.set(Some((this.wait)()));
        }
        let Some(waiting) = this.waiting.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let result = ready!(waiting.poll(cx));
        this.waiting.set(None);
        Poll::Ready(result)
    }
}
