//! Options of sockets that not every system has.

use std::io;

use socket2::SockRef;

#[cfg(any(target_os = "android", target_os = "linux"))]
use super::TcpStream;
use super::{TcpSocket, UdpSocket};

#[cfg(any(target_os = "android", target_os = "linux"))]
impl TcpStream {
    /// Whether what is received is acknowledged at once (`TCP_QUICKACK`).
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn quickack(&self) -> io::Result<bool> {
        SockRef::from(self).tcp_quickack()
    }

    /// Sets whether what is received is acknowledged at once. The system changes this by itself, so
    /// set it again after each read for which it matters.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        SockRef::from(self).set_tcp_quickack(quickack)
    }
}

impl TcpSocket {
    /// Has the connection reset when it is closed, and what was not sent is thrown away.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        SockRef::from(self).set_linger(Some(std::time::Duration::ZERO))
    }
}

// The two have these in common, but no trait.
macro_rules! impl_options {
    ($socket:ty) => {
        #[cfg(not(any(
            target_os = "fuchsia",
            target_os = "illumos",
            target_os = "redox",
            target_os = "solaris"
        )))]
        /// Options of what is sent.
        impl $socket {
            /// The type of service of what is sent by IPv4 (`IP_TOS`).
            ///
            /// # Errors
            ///
            /// The error of the operating system.
            pub fn tos_v4(&self) -> io::Result<u32> {
                SockRef::from(self).tos_v4()
            }

            /// Sets the type of service of what is sent by IPv4 (`IP_TOS`).
            ///
            /// # Errors
            ///
            /// The error of the operating system.
            pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
                SockRef::from(self).set_tos_v4(tos)
            }

            /// What tokio called [`tos_v4`](Self::tos_v4) before.
            ///
            /// # Errors
            ///
            /// As [`tos_v4`](Self::tos_v4).
            #[doc(hidden)]
            #[deprecated(note = "`tos_v4` is the same, and says for which protocol")]
            pub fn tos(&self) -> io::Result<u32> {
                self.tos_v4()
            }

            /// What tokio called [`set_tos_v4`](Self::set_tos_v4) before.
            ///
            /// # Errors
            ///
            /// As [`set_tos_v4`](Self::set_tos_v4).
            #[doc(hidden)]
            #[deprecated(note = "`set_tos_v4` is the same, and says for which protocol")]
            pub fn set_tos(&self, tos: u32) -> io::Result<()> {
                self.set_tos_v4(tos)
            }
        }

        #[cfg(any(
            target_os = "android",
            target_os = "freebsd",
            target_os = "linux",
            target_os = "macos",
            target_os = "netbsd",
            target_os = "openbsd"
        ))]
        impl $socket {
            /// The traffic class of what is sent by IPv6 (`IPV6_TCLASS`).
            ///
            /// # Errors
            ///
            /// The error of the operating system.
            pub fn tclass_v6(&self) -> io::Result<u32> {
                SockRef::from(self).tclass_v6()
            }

            /// Sets the traffic class of what is sent by IPv6 (`IPV6_TCLASS`).
            ///
            /// # Errors
            ///
            /// The error of the operating system.
            pub fn set_tclass_v6(&self, class: u32) -> io::Result<()> {
                SockRef::from(self).set_tclass_v6(class)
            }
        }

        #[cfg(any(target_os = "android", target_os = "linux"))]
        impl $socket {
            /// The network device to which the socket is bound (`SO_BINDTODEVICE`).
            ///
            /// # Errors
            ///
            /// The error of the operating system.
            pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
                SockRef::from(self).device()
            }

            /// Binds the socket to a network device, or to none (`SO_BINDTODEVICE`).
            ///
            /// # Errors
            ///
            /// The error of the operating system.
            pub fn bind_device(&self, device: Option<&[u8]>) -> io::Result<()> {
                SockRef::from(self).bind_device(device)
            }
        }
    };
}

impl_options!(TcpSocket);
impl_options!(UdpSocket);
