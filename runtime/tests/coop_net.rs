//! The cooperative budget of operations on sockets and descriptors.

mod coop_support;
mod net_support;
mod support;

use coop_support::units_of;
use evenkeel::net::UdpSocket;
use net_support::tcp_pair;
use std::future::poll_fn;
use support::in_block_on;

#[test]
fn each_operation_on_a_datagram_socket_takes_a_unit() {
    in_block_on(1, || async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        socket.connect(address).await.unwrap();
        let mut buf = [0; 8];
        socket.writable().await.unwrap();
        for _ in 0..8 {
            assert_eq!(units_of(socket.send(b"x")).await, 1);
        }
        socket.readable().await.unwrap();
        assert_eq!(units_of(socket.readable()).await, 1);
        assert_eq!(units_of(socket.writable()).await, 1);
        let readable = poll_fn(|cx| socket.poll_recv_ready(cx));
        assert_eq!(units_of(readable).await, 1);
        let writable = poll_fn(|cx| socket.poll_send_ready(cx));
        assert_eq!(units_of(writable).await, 1);
        let send = poll_fn(|cx| socket.poll_send(cx, b"x"));
        assert_eq!(units_of(send).await, 1);
        assert_eq!(units_of(socket.peek(&mut buf)).await, 1);
        assert_eq!(units_of(socket.recv(&mut buf)).await, 1);
        assert_eq!(units_of(socket.recv_from(&mut buf)).await, 1);
        let call = socket.async_io(evenkeel::io::Interest::READABLE, || Ok(()));
        assert_eq!(units_of(call).await, 1);
        assert_eq!(units_of(async { socket.try_recv(&mut [0]) }).await, 0);
        assert_eq!(units_of(async { socket.try_send(b"x") }).await, 0);
    });
}

#[test]
#[cfg(feature = "tokio-io")]
fn each_operation_on_a_stream_takes_a_unit() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    in_block_on(1, || async {
        let (mut a, mut b) = tcp_pair().await;
        assert_eq!(units_of(a.write(b"0123456789")).await, 1);
        b.readable().await.unwrap();
        assert_eq!(units_of(b.peek(&mut [0])).await, 1);
        assert_eq!(units_of(b.read(&mut [0])).await, 1);
        let (mut reader, mut writer) = b.split();
        assert_eq!(units_of(reader.read(&mut [0])).await, 1);
        assert_eq!(units_of(writer.write(b"x")).await, 1);
        let (mut reader, mut writer) = b.into_split();
        assert_eq!(units_of(reader.read(&mut [0])).await, 1);
        assert_eq!(
            units_of(writer.write_vectored(&[std::io::IoSlice::new(b"x")])).await,
            1
        );
        assert_eq!(units_of(async { reader.try_read(&mut [0]) }).await, 0);
        // The end and errors are results as well, and can be had again and again.
        drop(a);
        while reader.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {}
        assert_eq!(units_of(reader.read(&mut [0])).await, 1);
    });
}

#[test]
#[cfg(feature = "futures-io")]
fn futures_io_takes_the_same_units() {
    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    in_block_on(1, || async {
        let (mut a, mut b) = tcp_pair().await;
        assert_eq!(units_of(AsyncWriteExt::write(&mut a, b"01234")).await, 1);
        b.readable().await.unwrap();
        assert_eq!(units_of(AsyncReadExt::read(&mut b, &mut [0])).await, 1);
    });
}

#[test]
#[cfg(unix)]
fn each_operation_on_unix_sockets_takes_a_unit() {
    use evenkeel::net::{UnixDatagram, UnixListener, UnixStream};
    in_block_on(1, || async {
        let (a, b) = UnixDatagram::pair().unwrap();
        a.writable().await.unwrap();
        for _ in 0..4 {
            assert_eq!(units_of(a.send(b"x")).await, 1);
        }
        b.readable().await.unwrap();
        assert_eq!(units_of(b.recv(&mut [0])).await, 1);
        assert_eq!(units_of(b.recv_from(&mut [0])).await, 1);
        assert_eq!(units_of(async { b.try_recv(&mut [0]) }).await, 0);

        let name = format!("evenkeel-coop-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        for _ in 0..3 {
            UnixStream::connect(&path).await.unwrap();
        }
        let _accepted = listener.accept().await.unwrap();
        assert_eq!(units_of(listener.accept()).await, 1);
        assert_eq!(units_of(poll_fn(|cx| listener.poll_accept(cx))).await, 1);
        let _ = std::fs::remove_file(&path);
    });
}

#[test]
#[cfg(unix)]
fn each_operation_on_a_descriptor_takes_a_unit() {
    use evenkeel::io::{AsyncFd, Interest};
    in_block_on(1, || async {
        let (a, b) = std::os::unix::net::UnixDatagram::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.send(b"x").unwrap();
        let mut fd = AsyncFd::new(a).unwrap();
        let _ = fd.readable().await.unwrap();
        assert_eq!(units_of(fd.readable()).await, 1);
        assert_eq!(units_of(fd.readable_mut()).await, 1);
        let guard = fd.readable().await.unwrap();
        assert_eq!(units_of(guard.get_ref().readable()).await, 1);
        let readable = poll_fn(|cx| fd.poll_read_ready(cx).map(drop));
        assert_eq!(units_of(readable).await, 1);
        let readable = poll_fn(|cx| fd.poll_read_ready_mut(cx).map(drop));
        assert_eq!(units_of(readable).await, 1);
        let _ = fd.writable().await.unwrap();
        assert_eq!(units_of(fd.writable()).await, 1);
        assert_eq!(units_of(fd.writable_mut()).await, 1);
        assert_eq!(units_of(fd.ready(Interest::WRITABLE)).await, 1);
        assert_eq!(units_of(fd.ready_mut(Interest::WRITABLE)).await, 1);
        let writable = poll_fn(|cx| fd.poll_write_ready(cx).map(drop));
        assert_eq!(units_of(writable).await, 1);
        let writable = poll_fn(|cx| fd.poll_write_ready_mut(cx).map(drop));
        assert_eq!(units_of(writable).await, 1);
        let send = fd.async_io(Interest::WRITABLE, |fd| fd.send(b"x"));
        assert_eq!(units_of(send).await, 1);
        let send = fd.async_io_mut(Interest::WRITABLE, |fd| fd.send(b"x"));
        assert_eq!(units_of(send).await, 1);
        assert_eq!(
            units_of(async { fd.try_io(Interest::WRITABLE, |_| Ok(())) }).await,
            0
        );
    });
}
