//! UDP over real sockets on the loopback.
#![cfg(feature = "tokio-io")]

mod net_support;
mod support;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use evenkeel::io::Interest;
use evenkeel::net::UdpSocket;
use net_support::{poll_once, run};
use socket2::SockRef;
use tokio::io::ReadBuf;

async fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn connected_pair() -> (UdpSocket, UdpSocket) {
    let (left, left_address) = socket().await;
    let (right, right_address) = socket().await;
    left.connect(right_address).await.unwrap();
    right.connect(left_address).await.unwrap();
    (left, right)
}

#[test]
fn datagrams_carry_their_sender() {
    run(async {
        let (left, left_address) = socket().await;
        let (right, right_address) = socket().await;
        assert_eq!(left.send_to(b"ping", right_address).await.unwrap(), 4);
        let mut buf = [0; 16];
        let (n, sender) = right.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..n], sender), (&b"ping"[..], left_address));
        let name = format!("127.0.0.1:{}", left_address.port());
        right.send_to(b"pong", name).await.unwrap();
        assert_eq!(left.recv_from(&mut buf).await.unwrap(), (4, right_address));
        let none: &[SocketAddr] = &[];
        let error = left.send_to(b"lost", none).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    run(async {
        let (left, right) = connected_pair().await;
        let (stranger, _) = socket().await;
        assert_eq!(left.peer_addr().unwrap(), right.local_addr().unwrap());
        stranger
            .send_to(b"noise", left.local_addr().unwrap())
            .await
            .unwrap();
        right.send(b"signal").await.unwrap();
        let mut buf = [0; 16];
        let n = left.recv(&mut buf).await.unwrap();
        assert_eq!(&buf[..n], b"signal");
    });
}

#[test]
fn an_unconnected_socket_cannot_send() {
    run(async {
        let (socket, _) = socket().await;
        assert_eq!(
            socket.peer_addr().unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        assert!(socket.send(b"where to").await.is_err());
        assert!(socket.try_send(b"where to").is_err());
    });
}

#[test]
fn binding_an_address_in_use_fails() {
    run(async {
        let (_socket, address) = socket().await;
        assert_eq!(
            UdpSocket::bind(address).await.unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
    });
}

#[test]
fn a_short_buffer_truncates_its_datagram_and_no_other() {
    run(async {
        let (left, right) = connected_pair().await;
        left.send(b"too long").await.unwrap();
        left.send(b"next").await.unwrap();
        left.send(b"").await.unwrap();
        left.send(b"last").await.unwrap();
        let mut buf = [0; 5];
        assert_eq!(right.recv(&mut buf).await.unwrap(), 5);
        assert_eq!(&buf, b"too l");
        assert_eq!(right.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"next");
        // A datagram of no bytes is one all the same, and no end of anything.
        assert_eq!(right.recv(&mut buf).await.unwrap(), 0);
        assert_eq!(right.recv(&mut buf).await.unwrap(), 4);
    });
}

#[test]
fn peeking_does_not_consume() {
    run(async {
        let (left, right) = connected_pair().await;
        let address = left.local_addr().unwrap();
        left.send(b"look").await.unwrap();
        let mut buf = [0; 16];
        assert_eq!(right.peek(&mut buf).await.unwrap(), 4);
        assert_eq!(right.peek_from(&mut buf[..2]).await.unwrap(), (2, address));
        assert_eq!(right.peek_sender().await.unwrap(), address);
        assert_eq!(right.try_peek(&mut buf).unwrap(), 4);
        assert_eq!(right.try_peek_from(&mut buf).unwrap(), (4, address));
        assert_eq!(right.try_peek_sender().unwrap(), address);
        assert_eq!(right.recv_from(&mut buf).await.unwrap(), (4, address));
        assert_eq!(
            right.try_peek(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn trying_takes_turns_with_waiting() {
    run(async {
        let (left, right) = connected_pair().await;
        let mut buf = [0; 16];
        assert_eq!(
            right.try_recv(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert!(poll_once(right.readable()).is_pending());
        left.writable().await.unwrap();
        assert_eq!(left.try_send(b"one").unwrap(), 3);
        right.readable().await.unwrap();
        assert_eq!(right.try_recv(&mut buf).unwrap(), 3);
        assert_eq!(
            right.try_recv_from(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert!(left.ready(Interest::WRITABLE).await.unwrap().is_writable());
    });
}

#[test]
fn polling_fills_read_bufs() {
    run(async {
        let (left, right) = connected_pair().await;
        let (here, there) = (left.local_addr().unwrap(), right.local_addr().unwrap());
        poll_fn(|cx| left.poll_send_ready(cx)).await.unwrap();
        assert_eq!(poll_fn(|cx| left.poll_send(cx, b"one")).await.unwrap(), 3);
        let (unconnected, _) = socket().await;
        assert_eq!(
            poll_fn(|cx| unconnected.poll_send_to(cx, b"no", there))
                .await
                .unwrap(),
            2
        );
        left.send(b"two").await.unwrap();

        let mut memory = [MaybeUninit::uninit(); 16];
        let mut buf = ReadBuf::uninit(&mut memory);
        poll_fn(|cx| right.poll_recv_ready(cx)).await.unwrap();
        assert_eq!(
            poll_fn(|cx| right.poll_peek_sender(cx)).await.unwrap(),
            here
        );
        poll_fn(|cx| right.poll_peek(cx, &mut buf)).await.unwrap();
        assert_eq!(
            poll_fn(|cx| right.poll_peek_from(cx, &mut buf))
                .await
                .unwrap(),
            here
        );
        poll_fn(|cx| right.poll_recv(cx, &mut buf)).await.unwrap();
        assert_eq!(
            poll_fn(|cx| right.poll_recv_from(cx, &mut buf))
                .await
                .unwrap(),
            here
        );
        assert_eq!(buf.filled(), b"oneoneonetwo");
    });
}

#[test]
fn tasks_share_a_socket() {
    run(async {
        let (left, right) = connected_pair().await;
        let right = Arc::new(right);
        let receivers: Vec<_> = (0..8)
            .map(|_| {
                let right = right.clone();
                evenkeel::spawn(async move { right.recv(&mut [0; 16]).await.unwrap() })
            })
            .collect();
        for _ in 0..8 {
            left.send(b"for one of you").await.unwrap();
        }
        for receiver in receivers {
            assert_eq!(receiver.await.unwrap(), 14);
        }
    });
}

/// On an address of the loopback that is this test's alone, so that nobody takes the port in
/// between.
#[test]
#[cfg(target_os = "linux")]
fn a_rejected_datagram_is_an_error_once() {
    run(async {
        let (left, _) = socket().await;
        let right = UdpSocket::bind("127.7.7.7:0").await.unwrap();
        let address = right.local_addr().unwrap();
        left.connect(address).await.unwrap();
        drop(right);
        left.send(b"anybody there?").await.unwrap();
        let error = left.recv(&mut [0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // The socket goes on after that.
        let right = UdpSocket::bind(address).await.unwrap();
        right
            .send_to(b"now", left.local_addr().unwrap())
            .await
            .unwrap();
        assert_eq!(left.recv(&mut [0; 16]).await.unwrap(), 3);
        assert!(left.take_error().unwrap().is_none());
    });
}

#[test]
fn async_io_waits_between_attempts() {
    run(async {
        let (left, right) = connected_pair().await;
        let receiver = evenkeel::spawn(async move {
            let mut buf = [MaybeUninit::uninit(); 16];
            let mut attempts = 0;
            let n = right
                .async_io(Interest::READABLE, || {
                    attempts += 1;
                    SockRef::from(&right).recv(&mut buf)
                })
                .await
                .unwrap();
            (n, attempts)
        });
        left.send(b"here").await.unwrap();
        let (n, attempts) = receiver.await.unwrap();
        assert_eq!(n, 4);
        assert!(
            (1..=2).contains(&attempts),
            "{attempts} attempts for one datagram"
        );
        left.try_io(Interest::WRITABLE, || SockRef::from(&left).take_error())
            .unwrap();
    });
}

#[test]
fn std_sockets_come_and_go() {
    run(async {
        let std = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = std.local_addr().unwrap();
        let socket = UdpSocket::from_std(std).unwrap();
        let mut buf = [0; 16];
        assert!(
            poll_once(socket.recv(&mut buf)).is_pending(),
            "a blocking recv would hang here"
        );
        socket.send_to(b"self", address).await.unwrap();
        socket.readable().await.unwrap();
        let std = socket.into_std().unwrap();
        assert_eq!(std.recv(&mut buf).unwrap(), 4);
        assert_eq!(
            std.recv(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        UdpSocket::try_from(std).unwrap();
    });
}

#[test]
fn options_reach_the_socket() {
    run(async {
        let (socket, _) = socket().await;
        assert!(!socket.broadcast().unwrap());
        socket.set_broadcast(true).unwrap();
        assert!(socket.broadcast().unwrap());
        socket.set_ttl(42).unwrap();
        assert_eq!(socket.ttl().unwrap(), 42);
        socket.set_multicast_ttl_v4(7).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 7);
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        let no_group = Ipv4Addr::new(192, 0, 2, 1);
        assert!(
            socket
                .join_multicast_v4(no_group, Ipv4Addr::LOCALHOST)
                .is_err()
        );
        let group = Ipv4Addr::new(239, 255, 77, 77);
        assert!(
            socket
                .leave_multicast_v4(group, Ipv4Addr::LOCALHOST)
                .is_err(),
            "it never joined"
        );
        assert!(format!("{socket:?}").contains("127.0.0.1"), "{socket:?}");
    });
}

#[test]
fn multicast_on_the_loopback() {
    run(async {
        let receiver = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let port = receiver.local_addr().unwrap().port();
        let group = Ipv4Addr::new(239, 255, 77, 77);
        receiver
            .join_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap();
        let (sender, _) = socket().await;
        SockRef::from(&sender)
            .set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
            .unwrap();
        sender.send_to(b"all of you", (group, port)).await.unwrap();
        let mut buf = [0; 16];
        assert_eq!(receiver.recv(&mut buf).await.unwrap(), 10);
        receiver
            .leave_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap();
    });
}
