//! Addresses of Unix sockets, in the forms that the libraries want.
//!
//! mio's conversions are not used: they cut an abstract name that begins with a null byte, and a
//! peer whose name fills its address makes mio's `accept` panic. socket2's `as_unix` panics there
//! as well.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

/// The address that a path stands for: an abstract name if it begins with a null byte, on Linux and
/// Android, as in tokio.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] if it is too long, or has a null byte elsewhere.
pub(super) fn of_path(path: &Path) -> io::Result<SockAddr> {
    let is_abstract = path.as_os_str().as_bytes().first() == Some(&0);
    if !(is_abstract && cfg!(any(target_os = "linux", target_os = "android"))) {
        // Whether it is a path at all; socket2 lets the system cut it at a null byte.
        SocketAddr::from_pathname(path)?;
    }
    SockAddr::unix(path)
}

pub(super) fn of_std(addr: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = addr.as_pathname() {
        return SockAddr::unix(path);
    }
    SockAddr::unix(OsStr::from_bytes(&abstract_name(addr)))
}

/// The abstract name with its null byte, or nothing for an unnamed address.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(addr: &SocketAddr) -> Vec<u8> {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;

    addr.as_abstract_name()
        .map(|name| [b"\0", name].concat())
        .unwrap_or_default()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_: &SocketAddr) -> Vec<u8> {
    Vec::new()
}

/// A non-blocking Unix socket.
pub(super) fn new_socket(kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
