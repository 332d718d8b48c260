//! The descriptors of the sockets.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};

use socket2::Socket;

use super::{TcpListener, TcpSocket, TcpStream};
use super::{UdpSocket, UnixDatagram, UnixListener, UnixSocket, UnixStream};

macro_rules! impl_fd {
    ($($socket:ty),+ $(,)?) => {
        $(
            impl AsFd for $socket {
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.socket.as_fd()
                }
            }

            impl AsRawFd for $socket {
                fn as_raw_fd(&self) -> RawFd {
                    self.as_fd().as_raw_fd()
                }
            }
        )+
    };
}

impl_fd! {
    TcpListener, TcpSocket, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixSocket, UnixStream,
}

// Those that are not registered yet.
macro_rules! impl_raw_fd {
    ($($socket:ident),+ $(,)?) => {
        $(
            impl FromRawFd for $socket {
                /// The descriptor must be of a socket of this kind, in non-blocking mode.
                unsafe fn from_raw_fd(fd: RawFd) -> Self {
                    // SAFETY: by the caller's word, the descriptor is open and this one's alone.
                    let socket = unsafe { Socket::from_raw_fd(fd) };
                    $socket { socket }
                }
            }

            impl IntoRawFd for $socket {
                fn into_raw_fd(self) -> RawFd {
                    self.socket.into_raw_fd()
                }
            }
        )+
    };
}

impl_raw_fd! { TcpSocket, UnixSocket }
