//! Unix sockets.
#![cfg(all(unix, feature = "tokio-io"))]

mod net_support;
mod support;

use std::fs;
use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel::io::Interest;
use evenkeel::net::{UnixDatagram, UnixListener, UnixStream};
use net_support::{poll_once, run};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

/// A folder of this test's own, gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "evenkeel-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn streams_connect_by_path() {
    run(async {
        let folder = Folder::new();
        let path = folder.file("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        assert!(poll_once(listener.accept()).is_pending());
        let mut client = UnixStream::connect(&path).await.unwrap();
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path));
        let (mut server, peer) = listener.accept().await.unwrap();
        assert!(peer.is_unnamed() && client.local_addr().unwrap().is_unnamed());

        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        text.clear();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "answer");
        assert_eq!(
            client.write_all(b"x").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    });
}

#[test]
#[cfg(target_os = "linux")]
fn streams_connect_by_abstract_name() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    run(async {
        let name = format!("evenkeel-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let error = UnixListener::bind_addr(&address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let client = UnixStream::connect_addr(&address).await.unwrap();
        poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        assert_eq!(
            client.peer_addr().unwrap().as_abstract_name(),
            Some(name.as_bytes())
        );
        drop(listener);
        let error = UnixStream::connect_addr(&address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn bad_paths_are_errors() {
    run(async {
        let folder = Folder::new();
        let path = folder.file("socket");
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        drop(UnixListener::bind(&path).unwrap());
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(
            UnixListener::bind(&path).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        assert_eq!(
            UnixDatagram::bind(&path).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        let long = folder.file(&"x".repeat(200));
        assert_eq!(
            UnixListener::bind(&long).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let error = UnixStream::connect(&long).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn the_peer_of_a_pair_is_this_process() {
    run(async {
        let (left, right) = UnixStream::pair().unwrap();
        let cred = left.peer_cred().unwrap();
        assert_eq!(cred, right.peer_cred().unwrap());
        let folder = Folder::new();
        let owner = fs::metadata(&folder.0).unwrap();
        assert_eq!(cred.uid(), std::os::unix::fs::MetadataExt::uid(&owner));
        assert_eq!(cred.gid(), std::os::unix::fs::MetadataExt::gid(&owner));
        if cfg!(target_os = "linux") {
            assert_eq!(cred.pid(), Some(std::process::id() as i32));
        }
    });
}

#[test]
fn trying_takes_turns_with_waiting() {
    run(async {
        let (left, right) = UnixStream::pair().unwrap();
        let mut buf = [0; 16];
        assert_eq!(
            left.try_read(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert!(poll_once(left.readable()).is_pending());
        right.writable().await.unwrap();
        let bufs = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        assert_eq!(right.try_write_vectored(&bufs).unwrap(), 6);
        poll_fn(|cx| left.poll_read_ready(cx)).await.unwrap();
        let (mut first, mut second) = ([0; 2], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(left.try_read_vectored(&mut bufs).unwrap(), 6);
        assert_eq!((&first, &second[..4]), (b"on", &b"etwo"[..]));

        let mut total = 0;
        loop {
            match right.try_write(&[5; 4096]) {
                Ok(n) => total += n,
                Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        // Nothing but the reader makes room here.
        assert!(poll_once(right.writable()).is_pending());
        let mut left = left;
        left.read_exact(&mut vec![0; total]).await.unwrap();
        poll_fn(|cx| right.poll_write_ready(cx)).await.unwrap();
        assert_eq!(right.try_write(b"more").unwrap(), 4);
        assert!(left.ready(Interest::READABLE).await.unwrap().is_readable());
    });
}

#[test]
fn std_streams_and_listeners_come_and_go() {
    run(async {
        let (left, right) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut left = UnixStream::from_std(left).unwrap();
        let mut right = UnixStream::try_from(right).unwrap();
        assert!(
            poll_once(left.read(&mut [0; 1])).is_pending(),
            "a blocking read would hang here"
        );
        right.write_all(b"hello").await.unwrap();
        left.readable().await.unwrap();
        let mut left = left.into_std().unwrap();
        let mut buf = [0; 16];
        assert_eq!(left.read(&mut buf).unwrap(), 5);
        assert_eq!(
            left.read(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );

        let folder = Folder::new();
        let listener = std::os::unix::net::UnixListener::bind(folder.file("socket")).unwrap();
        let listener = UnixListener::from_std(listener).unwrap();
        assert!(poll_once(listener.accept()).is_pending());
        let listener = listener.into_std().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

/// A read ends early behind a byte with which a descriptor was passed, though there is more: such a
/// read must not be taken for the last.
#[test]
#[cfg(target_os = "linux")]
fn bytes_behind_a_passed_descriptor_are_read() {
    use std::os::fd::AsRawFd;

    run(async {
        let (mut left, right) = UnixStream::pair().unwrap();
        let mut control = Vec::new();
        // A control message is its length, level and type, and then the descriptor and its padding.
        control.extend_from_slice(&(size_of::<usize>() + 12).to_ne_bytes());
        control.extend_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        control.extend_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
        control.extend_from_slice(&right.as_raw_fd().to_ne_bytes());
        control.resize(control.len().next_multiple_of(size_of::<usize>()), 0);
        right.writable().await.unwrap();
        let bytes = [IoSlice::new(b"with")];
        {
            // In the oldest versions it is not `Send`.
            let message = socket2::MsgHdr::new()
                .with_buffers(&bytes)
                .with_control(&control);
            SockRef::from(&right).sendmsg(&message, 0).unwrap();
        }
        assert_eq!(right.try_write(b"behind").unwrap(), 6);

        let mut buf = [0; 64];
        let n = left.read(&mut buf).await.unwrap();
        assert_eq!(&buf[..n], b"with");
        let n = left.read(&mut buf).await.unwrap();
        assert_eq!(&buf[..n], b"behind");
    });
}

#[test]
fn datagrams_of_a_pair_keep_their_bounds() {
    run(async {
        let (left, right) = UnixDatagram::pair().unwrap();
        assert!(left.local_addr().unwrap().is_unnamed());
        left.send(b"too long").await.unwrap();
        assert_eq!(left.try_send(b"next").unwrap(), 4);
        assert_eq!(poll_fn(|cx| left.poll_send(cx, b"third")).await.unwrap(), 5);
        left.send(b"last").await.unwrap();
        let mut buf = [0; 5];
        assert_eq!(right.recv(&mut buf).await.unwrap(), 5);
        assert_eq!(&buf, b"too l");
        assert_eq!(right.try_recv(&mut buf).unwrap(), 4);
        let mut memory = [MaybeUninit::uninit(); 16];
        let mut buf = ReadBuf::uninit(&mut memory);
        poll_fn(|cx| right.poll_recv(cx, &mut buf)).await.unwrap();
        let sender = poll_fn(|cx| right.poll_recv_from(cx, &mut buf))
            .await
            .unwrap();
        assert!(sender.is_unnamed());
        assert_eq!(buf.filled(), b"thirdlast");
        assert_eq!(
            right.try_recv(&mut [0; 1]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn datagrams_go_to_paths() {
    run(async {
        let folder = Folder::new();
        let (here, there) = (folder.file("here"), folder.file("there"));
        let left = UnixDatagram::bind(&here).unwrap();
        let stranger = UnixDatagram::unbound().unwrap();
        assert_eq!(
            left.send_to(b"x", &there).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(
            left.connect(&there).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let right = UnixDatagram::bind(&there).unwrap();
        left.send_to(b"named", &there).await.unwrap();
        stranger.writable().await.unwrap();
        assert_eq!(stranger.try_send_to(b"unnamed", &there).unwrap(), 7);
        assert_eq!(
            poll_fn(|cx| stranger.poll_send_to(cx, b"again", &there))
                .await
                .unwrap(),
            5
        );
        let mut buf = [0; 16];
        let (n, sender) = right.recv_from(&mut buf).await.unwrap();
        assert_eq!((n, sender.as_pathname()), (5, Some(&*here)));
        let (n, sender) = right.try_recv_from(&mut buf).unwrap();
        assert!(n == 7 && sender.is_unnamed());

        assert_eq!(
            left.peer_addr().unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        left.connect(&there).unwrap();
        assert_eq!(left.peer_addr().unwrap().as_pathname(), Some(&*there));
        drop(right);
        assert_eq!(
            left.send(b"x").await.unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn a_full_queue_of_datagrams_waits_for_the_receiver() {
    run(async {
        let (left, right) = UnixDatagram::pair().unwrap();
        left.writable().await.unwrap();
        let mut sent = 0_u32;
        while left.try_send(&sent.to_be_bytes()).is_ok() {
            sent += 1;
        }
        assert!(sent > 0 && poll_once(left.writable()).is_pending());
        let sender = evenkeel::spawn(async move {
            for number in sent..sent + 1000 {
                left.send(&number.to_be_bytes()).await.unwrap();
            }
        });
        for number in 0..sent + 1000 {
            let mut buf = [0; 4];
            assert_eq!(right.recv(&mut buf).await.unwrap(), 4);
            assert_eq!(u32::from_be_bytes(buf), number);
        }
        sender.await.unwrap();
    });
}

#[test]
fn datagram_sockets_shut_down_and_come_from_std() {
    run(async {
        let (left, right) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let left = UnixDatagram::from_std(left).unwrap();
        assert!(
            poll_once(left.recv(&mut [0; 1])).is_pending(),
            "a blocking recv would hang here"
        );
        right.send(b"one").unwrap();
        left.readable().await.unwrap();
        let left = left.into_std().unwrap();
        assert_eq!(left.recv(&mut [0; 8]).unwrap(), 3);
        assert_eq!(
            left.recv(&mut [0; 8]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let left = UnixDatagram::try_from(left).unwrap();
        assert!(left.take_error().unwrap().is_none());
        left.shutdown(Shutdown::Write).unwrap();
        assert_eq!(
            left.send(b"x").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    });
}
