//! Unix domain sockets, and the halves of a stream.
//!
//! On Linux and Android, a path that begins with a null byte is an abstract name wherever a path is
//! taken: `"\0name"`. It lies in no file system, and is free again once its sockets are closed.

mod addr;
mod datagram;
mod listener;
#[cfg(feature = "tokio-io")]
pub mod pipe;
mod room;
mod stream;
mod ucred;
mod unbound;

use super::split;

pub use datagram::UnixDatagram;
pub use listener::UnixListener;
pub use stream::UnixStream;
pub use ucred::UCred;
pub use unbound::UnixSocket;

/// The address of a Unix socket: a path, an abstract name (Linux), or nothing. It is the standard
/// library's type, whose trait `std::os::linux::net::SocketAddrExt` has the abstract names.
pub use std::os::unix::net::SocketAddr;

/// The number of a user.
#[allow(non_camel_case_types, reason = "the system's name, and tokio's")]
pub type uid_t = u32;

/// The number of a group.
#[allow(non_camel_case_types, reason = "the system's name, and tokio's")]
pub type gid_t = u32;

/// The number of a process.
#[allow(non_camel_case_types, reason = "the system's name, and tokio's")]
pub type pid_t = i32;

/// The reading half of a [`UnixStream`], borrowed from it by [`UnixStream::split`].
pub type ReadHalf<'a> = split::ReadHalf<'a, UnixStream>;

/// The writing half of a [`UnixStream`], borrowed from it by [`UnixStream::split`].
pub type WriteHalf<'a> = split::WriteHalf<'a, UnixStream>;

/// The owned reading half of a [`UnixStream`], made by [`UnixStream::into_split`].
pub type OwnedReadHalf = split::OwnedReadHalf<UnixStream>;

/// The owned writing half of a [`UnixStream`], made by [`UnixStream::into_split`].
pub type OwnedWriteHalf = split::OwnedWriteHalf<UnixStream>;

/// Two halves that do not belong to the same [`UnixStream`]; they can be taken out again.
pub type ReuniteError = split::ReuniteError<UnixStream>;
