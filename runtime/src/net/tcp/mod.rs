//! TCP sockets, and the halves of a stream.

mod listener;
mod socket;
mod stream;

use super::split;

pub use listener::TcpListener;
pub use socket::TcpSocket;
pub use stream::TcpStream;

/// The reading half of a [`TcpStream`], borrowed from it by [`TcpStream::split`].
pub type ReadHalf<'a> = split::ReadHalf<'a, TcpStream>;

/// The writing half of a [`TcpStream`], borrowed from it by [`TcpStream::split`].
pub type WriteHalf<'a> = split::WriteHalf<'a, TcpStream>;

/// The owned reading half of a [`TcpStream`], made by [`TcpStream::into_split`].
pub type OwnedReadHalf = split::OwnedReadHalf<TcpStream>;

/// The owned writing half of a [`TcpStream`], made by [`TcpStream::into_split`].
pub type OwnedWriteHalf = split::OwnedWriteHalf<TcpStream>;

/// Two halves that do not belong to the same [`TcpStream`]; they can be taken out again.
pub type ReuniteError = split::ReuniteError<TcpStream>;
