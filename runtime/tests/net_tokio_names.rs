//! What the sockets have by tokio's names, beside what the other tests of `net` are about.
#![cfg(all(unix, feature = "tokio-io"))]

mod net_support;
mod support;

use bytes::BytesMut;
use evenkeel::io::{AsyncReadExt, AsyncWriteExt, Interest, ReadBuf};
use evenkeel::net::unix::pipe;
use evenkeel::net::{TcpSocket, UdpSocket, UnixDatagram, UnixSocket, UnixStream};
use net_support::{listener, poll_once, run, tcp_pair};
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{FromRawFd, IntoRawFd};

#[test]
fn what_is_received_goes_behind_what_is_in_the_buffer() {
    run(async {
        let (one, two) = (
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        );
        let address = two.local_addr().unwrap();
        let mut buf = BytesMut::with_capacity(64);
        buf.extend_from_slice(b"<");
        one.send_to(b"ab", address).await.unwrap();
        let received = two.recv_buf_from(&mut buf).await.unwrap();
        assert_eq!(received, (2, one.local_addr().unwrap()));
        one.connect(address).await.unwrap();
        one.send(b"cd").await.unwrap();
        assert_eq!(two.recv_buf(&mut buf).await.unwrap(), 2);
        assert_eq!(&buf[..], b"<abcd");
        let error = two.try_recv_buf(&mut buf).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        one.send(b"ef").await.unwrap();
        two.readable().await.unwrap();
        let mut list = vec![b'<'];
        assert_eq!(two.try_recv_buf_from(&mut list).unwrap().0, 2);
        assert_eq!(list, b"<ef");
    });
}

#[test]
fn a_buffer_without_room_for_a_datagram_cuts_it() {
    run(async {
        let (one, two) = UnixDatagram::pair().unwrap();
        one.send(b"abcdef").await.unwrap();
        let mut room = [0; 4];
        assert_eq!(two.recv_buf(&mut room.as_mut_slice()).await.unwrap(), 4);
        assert_eq!(&room, b"abcd");
        one.send(b"x").await.unwrap();
        two.readable().await.unwrap();
        assert_eq!(two.try_recv_buf(&mut room.as_mut_slice()).unwrap(), 1);
    });
}

#[test]
fn streams_are_read_behind_what_is_in_the_buffer() {
    run(async {
        let (mut one, two) = tcp_pair().await;
        one.write_all(b"ab").await.unwrap();
        two.readable().await.unwrap();
        let mut buf = vec![b'<'];
        assert_eq!(two.try_read_buf(&mut buf).unwrap(), 2);
        assert_eq!(buf, b"<ab");
        let (mut one, two) = UnixStream::pair().unwrap();
        one.write_all(b"cd").await.unwrap();
        two.readable().await.unwrap();
        assert_eq!(two.try_read_buf(&mut buf).unwrap(), 2);
        assert_eq!(buf, b"<abcd");
        drop(one);
        two.readable().await.unwrap();
        assert_eq!(two.try_read_buf(&mut buf).unwrap(), 0);
    });
}

#[test]
fn a_unix_socket_becomes_what_its_type_allows() {
    run(async {
        let dir = std::env::temp_dir().join(format!("evenkeel-socket-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("stream");
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let listener = socket.listen(4).unwrap();
        let connecting = UnixSocket::new_stream().unwrap().connect(&path);
        let mut client = connecting.await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');

        let path = dir.join("datagram");
        let socket = UnixSocket::new_datagram().unwrap();
        socket.bind(&path).unwrap();
        let receiver = socket.datagram().unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(b"y", &path).await.unwrap();
        assert_eq!(receiver.recv(&mut [0; 4]).await.unwrap(), 1);

        // Passed on as a number, as from a parent.
        let passed = UnixSocket::new_datagram().unwrap().into_raw_fd();
        // SAFETY: it is open, and nobody else has it.
        let passed = unsafe { UnixSocket::from_raw_fd(passed) }
            .datagram()
            .unwrap();
        passed.send_to(b"z", &path).await.unwrap();
        let listening = UnixSocket::new_datagram().unwrap().listen(1);
        assert_eq!(listening.unwrap_err().kind(), ErrorKind::Unsupported);
        let connecting = UnixSocket::new_datagram().unwrap().connect(&path).await;
        assert_eq!(connecting.unwrap_err().kind(), ErrorKind::Unsupported);
        let datagram = UnixSocket::new_stream().unwrap().datagram();
        assert_eq!(datagram.unwrap_err().kind(), ErrorKind::Unsupported);
        std::fs::remove_dir_all(&dir).unwrap();
    });
}

#[test]
fn halves_and_pipes_are_read_behind_what_is_in_the_buffer() {
    run(async {
        let mut buf = vec![b'<'];
        let (mut one, mut two) = tcp_pair().await;
        one.write_all(b"ab").await.unwrap();
        let (read, _write) = two.split();
        read.readable().await.unwrap();
        assert_eq!(read.try_read_buf(&mut buf).unwrap(), 2);
        let (mut one, two) = UnixStream::pair().unwrap();
        let (read, _write) = two.into_split();
        one.write_all(b"cd").await.unwrap();
        read.readable().await.unwrap();
        assert_eq!(read.try_read_buf(&mut buf).unwrap(), 2);
        let (mut sender, receiver) = pipe::pipe().unwrap();
        let error = receiver.try_read_buf(&mut buf).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        sender.write_all(b"ef").await.unwrap();
        receiver.readable().await.unwrap();
        assert_eq!(receiver.try_read_buf(&mut buf).unwrap(), 2);
        assert_eq!(buf, b"<abcdef");
        drop(sender);
        receiver.readable().await.unwrap();
        assert_eq!(receiver.try_read_buf(&mut buf).unwrap(), 0);
    });
}

#[test]
fn a_half_can_be_peeked_by_hand() {
    run(async {
        let (mut one, mut two) = tcp_pair().await;
        one.write_all(b"ab").await.unwrap();
        let mut bytes = [0; 8];
        let (mut read, _write) = two.split();
        let mut buf = ReadBuf::new(&mut bytes);
        assert_eq!(poll_fn(|cx| read.poll_peek(cx, &mut buf)).await.unwrap(), 2);
        let (mut read, _write) = two.into_split();
        assert_eq!(poll_fn(|cx| read.poll_peek(cx, &mut buf)).await.unwrap(), 2);
        assert_eq!(buf.filled(), b"abab");
        assert_eq!(read.read_u16().await.unwrap(), u16::from_be_bytes(*b"ab"));
    });
}

#[test]
fn a_connection_that_was_accepted_can_be_written_to_at_once() {
    run(async {
        let listener = listener().await;
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap());
        let mut client = client.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(server.try_write(b"hello").unwrap(), 5);
        // It is tried, and found out.
        let error = server.try_read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(poll_once(server.readable()).is_pending());
        client.write_all(b"x").unwrap();
        server.readable().await.unwrap();
        assert_eq!(server.try_read(&mut [0; 8]).unwrap(), 1);

        let (one, two) = UnixStream::pair().unwrap();
        assert_eq!(one.try_write(b"x").unwrap(), 1);
        two.readable().await.unwrap();
        let (one, two) = UnixDatagram::pair().unwrap();
        assert_eq!(one.try_send(b"x").unwrap(), 1);
        two.readable().await.unwrap();
    });
}

#[cfg(target_os = "linux")]
#[allow(deprecated, reason = "it is about the older names")]
#[test]
fn options_have_their_older_names() {
    run(async {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        udp.set_tos(8).unwrap();
        assert_eq!((udp.tos().unwrap(), udp.tos_v4().unwrap()), (8, 8));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn options_are_as_they_were_set() {
    run(async {
        let tcp = TcpSocket::new_v4().unwrap();
        tcp.set_tos_v4(16).unwrap();
        assert_eq!(tcp.tos_v4().unwrap(), 16);
        assert_eq!(tcp.device().unwrap(), None);
        tcp.set_zero_linger().unwrap();
        assert_eq!(tcp.linger().unwrap(), Some(std::time::Duration::ZERO));
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        udp.set_tos_v4(8).unwrap();
        assert_eq!(udp.tos_v4().unwrap(), 8);
        assert!(udp.bind_device(Some(b"no-such-device")).is_err());
        let (one, _two) = tcp_pair().await;
        one.set_quickack(false).unwrap();
        assert!(!one.quickack().unwrap());
        one.set_quickack(true).unwrap();
        assert!(one.quickack().unwrap());
        if let Ok(six) = TcpSocket::new_v6() {
            six.set_tclass_v6(32).unwrap();
            assert_eq!(six.tclass_v6().unwrap(), 32);
        }
    });
}

#[test]
fn a_pipe_carries_more_than_it_holds_and_ends() {
    run(async {
        let (mut sender, mut receiver) = pipe::pipe().unwrap();
        let sending = evenkeel::spawn(async move {
            for _ in 0..100 {
                sender.write_all(&[7; 10_000]).await.unwrap();
            }
            sender.shutdown().await.unwrap();
        });
        let mut all = Vec::new();
        receiver.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, vec![7; 1_000_000]);
        sending.await.unwrap();
    });
}

#[test]
fn a_pipe_can_be_tried() {
    run(async {
        let (sender, receiver) = pipe::pipe().unwrap();
        let error = receiver.try_read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        sender.writable().await.unwrap();
        assert_eq!(sender.try_write(b"ab").unwrap(), 2);
        receiver.readable().await.unwrap();
        let mut buf = [0; 4];
        assert_eq!(receiver.try_read(&mut buf).unwrap(), 2);
        drop(sender);
        assert!(
            receiver
                .ready(Interest::READABLE)
                .await
                .unwrap()
                .is_readable()
        );
        assert_eq!(receiver.try_read(&mut buf).unwrap(), 0);

        let (mut sender, receiver) = pipe::pipe().unwrap();
        drop(receiver);
        let error = sender.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_pipe_of_the_system_is_taken_over_at_the_right_end() {
    run(async {
        let (reader, writer) = std::io::pipe().unwrap();
        let wrong = pipe::Sender::from_owned_fd(reader.try_clone().unwrap().into());
        assert_eq!(wrong.unwrap_err().kind(), ErrorKind::InvalidInput);
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let wrong = pipe::Receiver::from_file(file);
        assert_eq!(wrong.unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut receiver = pipe::Receiver::from_owned_fd(reader.into()).unwrap();
        let mut sender = pipe::Sender::from_owned_fd(writer.into()).unwrap();
        sender.write_all(b"x").await.unwrap();
        assert_eq!(receiver.read_u8().await.unwrap(), b'x');
        // It blocks again: the write is there when the read begins to wait.
        let blocking = std::fs::File::from(receiver.into_blocking_fd().unwrap());
        let reading = evenkeel::spawn_blocking(move || (&blocking).read(&mut [0; 4]).unwrap());
        sender.write_all(b"yz").await.unwrap();
        assert!(reading.await.unwrap() > 0);
    });
}

#[test]
fn a_pipe_with_a_name_is_opened_without_waiting() {
    run(async {
        let dir = std::env::temp_dir().join(format!("evenkeel-fifo-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let alone = pipe::OpenOptions::new().open_sender(&path).unwrap_err();
        assert_eq!(alone.raw_os_error(), Some(libc::ENXIO));
        let mut receiver = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        let mut sender = pipe::OpenOptions::new().open_sender(&path).unwrap();
        sender.write_all(b"x").await.unwrap();
        assert_eq!(receiver.read_u8().await.unwrap(), b'x');
        let other = pipe::OpenOptions::new().open_receiver("Cargo.toml");
        assert_eq!(other.unwrap_err().kind(), ErrorKind::InvalidInput);
        std::fs::remove_dir_all(&dir).unwrap();
    });
}
