//! The names of Unix sockets: those that a peer may choose, and abstract ones.
#![cfg(all(target_os = "linux", feature = "tokio-io"))]

mod net_support;
mod support;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel::net::{UnixDatagram, UnixListener, UnixStream};
use net_support::run;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::ReadBuf;

/// A name that nobody else has.
fn unique(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("evenkeel-{name}-{}-{number}", std::process::id())
}

fn abstract_path(name: &str) -> PathBuf {
    PathBuf::from(format!("\0{name}"))
}

/// A path that fills the address: 108 bytes, with no null byte behind them. The file is gone when
/// this is dropped.
struct LongPath(PathBuf);

impl LongPath {
    fn new() -> LongPath {
        let mut path = std::env::temp_dir().join(unique("long")).into_os_string();
        while path.len() < 108 {
            path.push("x");
        }
        assert_eq!(path.len(), 108);
        LongPath(path.into())
    }

    fn bind(&self, socket: &Socket) {
        // SAFETY: all zeroes are a `sockaddr_un`.
        let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (to, from) in address
            .sun_path
            .iter_mut()
            .zip(self.0.as_os_str().as_bytes())
        {
            *to = *from as libc::c_char;
        }
        let len = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the descriptor is open, and `len` bytes of the address are there.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for LongPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn socket(kind: Type) -> Socket {
    Socket::new(Domain::UNIX, kind, None).unwrap()
}

/// Any user of the machine may do this to a server.
#[test]
fn a_peer_whose_name_fills_its_address_is_accepted() {
    run(async {
        let path = abstract_path(&unique("listener"));
        let listener = UnixListener::bind(&path).unwrap();
        let (name, client) = (LongPath::new(), socket(Type::STREAM));
        name.bind(&client);
        client.connect(&SockAddr::unix(&path).unwrap()).unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.as_pathname(), Some(&*name.0));
        assert_eq!(server.peer_addr().unwrap().as_pathname(), Some(&*name.0));

        // It is a stream like any other.
        let mut client = UnixStream::from_std(OwnedFd::from(client).into()).unwrap();
        assert_eq!(client.local_addr().unwrap().as_pathname(), Some(&*name.0));
        tokio::io::AsyncWriteExt::write_all(&mut client, b"x")
            .await
            .unwrap();
        server.readable().await.unwrap();
        assert_eq!(server.try_read(&mut [0; 8]).unwrap(), 1);

        let (other, client) = (LongPath::new(), socket(Type::STREAM));
        other.bind(&client);
        client.connect(&SockAddr::unix(&path).unwrap()).unwrap();
        let (_, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        assert_eq!(peer.as_pathname(), Some(&*other.0));
    });
}

#[test]
fn a_datagram_from_a_name_that_fills_its_address_is_received() {
    run(async {
        let path = abstract_path(&unique("receiver"));
        let receiver = UnixDatagram::bind(&path).unwrap();
        let (name, sender) = (LongPath::new(), socket(Type::DGRAM));
        name.bind(&sender);
        let to = SockAddr::unix(&path).unwrap();
        let mut buf = [0; 8];
        for _ in 0..3 {
            sender.send_to(b"x", &to).unwrap();
        }
        let (n, from) = receiver.recv_from(&mut buf).await.unwrap();
        assert_eq!((n, from.as_pathname()), (1, Some(&*name.0)));
        let (n, from) = receiver.try_recv_from(&mut buf).unwrap();
        assert_eq!((n, from.as_pathname()), (1, Some(&*name.0)));
        let mut buf = ReadBuf::new(&mut buf);
        let from = poll_fn(|cx| receiver.poll_recv_from(cx, &mut buf)).await;
        assert_eq!(from.unwrap().as_pathname(), Some(&*name.0));
    });
}

#[test]
fn a_peer_with_an_abstract_name_keeps_it() {
    run(async {
        let path = abstract_path(&unique("listener"));
        let listener = UnixListener::bind(&path).unwrap();
        // The whole of the longest, and one that begins with a null byte.
        for name in [
            unique("client"),
            format!("\0{}", unique("null")),
            "y".repeat(107),
        ] {
            let client = socket(Type::STREAM);
            client
                .bind(&SockAddr::unix(abstract_path(&name)).unwrap())
                .unwrap();
            client.connect(&SockAddr::unix(&path).unwrap()).unwrap();
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer.as_abstract_name(), Some(name.as_bytes()));
        }
        let client = UnixStream::connect(&path).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert!(peer.is_unnamed());
        drop((client, server));
    });
}

#[test]
fn a_path_that_begins_with_a_null_byte_is_an_abstract_name() {
    run(async {
        let name = unique("server");
        let path = abstract_path(&name);
        let listener = UnixListener::bind(&path).unwrap();
        let local = listener.local_addr().unwrap();
        assert_eq!(local.as_abstract_name(), Some(name.as_bytes()));
        let client = UnixStream::connect(&path).await.unwrap();
        let peer = client.peer_addr().unwrap();
        assert_eq!(peer.as_abstract_name(), Some(name.as_bytes()));
        listener.accept().await.unwrap();

        let name = unique("datagrams");
        let path = abstract_path(&name);
        let receiver = UnixDatagram::bind(&path).unwrap();
        let local = receiver.local_addr().unwrap();
        assert_eq!(local.as_abstract_name(), Some(name.as_bytes()));
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(b"1", &path).await.unwrap();
        sender.writable().await.unwrap();
        sender.try_send_to(b"2", &path).unwrap();
        poll_fn(|cx| sender.poll_send_to(cx, b"3", &path))
            .await
            .unwrap();
        sender.connect(&path).unwrap();
        sender.send(b"4").await.unwrap();
        for expected in b"1234" {
            let mut byte = [0];
            receiver.recv(&mut byte).await.unwrap();
            assert_eq!(byte, [*expected]);
        }
    });
}

/// The same address in both of its forms: also names that begin with a null byte, and the shortest.
#[test]
fn an_address_of_the_library_and_its_path_are_the_same() {
    run(async {
        for name in [
            unique("both"),
            format!("\0{}", unique("null")),
            "z".repeat(107),
        ] {
            let addr = SocketAddr::from_abstract_name(&name).unwrap();
            let listener = UnixListener::bind_addr(&addr).unwrap();
            let local = listener.local_addr().unwrap();
            assert_eq!(local.as_abstract_name(), Some(name.as_bytes()));
            UnixStream::connect_addr(&addr).await.unwrap();
            UnixStream::connect(abstract_path(&name)).await.unwrap();
        }
    });
}

#[test]
fn names_that_are_none_are_errors() {
    run(async {
        let too_long = abstract_path(&"x".repeat(108));
        for path in [&*too_long, Path::new("a\0b")] {
            let is_refused = |error: std::io::Error| {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            };
            is_refused(UnixListener::bind(path).map(drop).unwrap_err());
            is_refused(UnixStream::connect(path).await.map(drop).unwrap_err());
            is_refused(UnixDatagram::bind(path).map(drop).unwrap_err());
            let socket = UnixDatagram::unbound().unwrap();
            is_refused(socket.connect(path).unwrap_err());
            is_refused(socket.send_to(b"x", path).await.unwrap_err());
            is_refused(socket.try_send_to(b"x", path).unwrap_err());
            let send = poll_fn(|cx| socket.poll_send_to(cx, b"x", path));
            is_refused(send.await.unwrap_err());
        }
    });
}

#[test]
fn a_sender_is_known_by_its_name_behind_what_is_in_the_buffer() {
    run(async {
        let path = abstract_path(&unique("receiver"));
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut buf = vec![b'<'];
        let name = unique("sender");
        let sender = UnixDatagram::bind(abstract_path(&name)).unwrap();
        sender.send_to(b"ab", &path).await.unwrap();
        let (n, from) = receiver.recv_buf_from(&mut buf).await.unwrap();
        assert_eq!((n, from.as_abstract_name()), (2, Some(name.as_bytes())));

        let nobody = UnixDatagram::unbound().unwrap();
        nobody.send_to(b"cd", &path).await.unwrap();
        receiver.readable().await.unwrap();
        let (n, from) = receiver.try_recv_buf_from(&mut buf).unwrap();
        assert!(n == 2 && from.is_unnamed());

        let (name, sender) = (LongPath::new(), socket(Type::DGRAM));
        name.bind(&sender);
        sender
            .send_to(b"ef", &SockAddr::unix(&path).unwrap())
            .unwrap();
        let (n, from) = receiver.recv_buf_from(&mut buf).await.unwrap();
        assert_eq!((n, from.as_pathname()), (2, Some(&*name.0)));
        assert_eq!(buf, b"<abcdef");
    });
}
