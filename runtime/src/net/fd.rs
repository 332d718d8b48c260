//! The descriptors of the sockets.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

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
