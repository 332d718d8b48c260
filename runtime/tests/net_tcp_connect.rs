//! TCP over real sockets on the loopback: names, connecting, accepting, and options.
#![cfg(all(unix, feature = "tokio-io"))]

mod net_support;
mod support;

use std::future::poll_fn;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use evenkeel::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use net_support::{listener, poll_once, run, tcp_pair};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An address of the loopback on which nobody listens, for as long as the socket holds it.
fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[test]
fn both_ends_agree_on_their_addresses() {
    run(async {
        let listener = listener().await;
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(client.local_addr().unwrap(), peer);
        assert_eq!(client.local_addr().unwrap(), server.peer_addr().unwrap());
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        assert!(client.take_error().unwrap().is_none());
    });
}

#[test]
fn connecting_to_nobody_is_refused() {
    run(async {
        let (_holder, address) = refusing();
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn connecting_tries_every_address() {
    run(async {
        let listener = listener().await;
        let (_holder, address) = refusing();
        let addresses = [address, listener.local_addr().unwrap()];
        let client = TcpStream::connect(&addresses[..]).await.unwrap();
        assert_eq!(client.peer_addr().unwrap(), addresses[1]);
    });
}

#[test]
fn no_address_and_no_port_are_invalid_input() {
    run(async {
        let none: &[SocketAddr] = &[];
        assert_eq!(
            TcpStream::connect(none).await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            TcpListener::bind(none).await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        for text in [
            "localhost",
            "127.0.0.1",
            "localhost:notaport",
            "localhost:65536",
        ] {
            let error = TcpStream::connect(text).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        }
    });
}

#[test]
fn names_and_literals_resolve() {
    run(async {
        let found: Vec<_> = lookup_host("127.0.0.1:7").await.unwrap().collect();
        assert_eq!(found, ["127.0.0.1:7".parse().unwrap()]);
        let found: Vec<_> = lookup_host(("::1", 7)).await.unwrap().collect();
        assert_eq!(found, ["[::1]:7".parse().unwrap()]);
        let found: Vec<_> = lookup_host(("localhost".to_owned(), 7))
            .await
            .unwrap()
            .collect();
        assert!(
            found
                .iter()
                .any(|address| address.ip().is_loopback() && address.port() == 7)
        );

        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("localhost", port)).await.unwrap();
    });
}

#[test]
fn binding_an_address_in_use_fails() {
    run(async {
        let listener = listener().await;
        let error = TcpListener::bind(listener.local_addr().unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn a_dropped_accept_loses_no_connection() {
    run(async {
        let listener = listener().await;
        assert!(poll_once(listener.accept()).is_pending());
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    });
}

#[test]
fn poll_accept_wakes_its_task() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let mut client = None;
        let (_, peer) = poll_fn(|cx| {
            let poll = listener.poll_accept(cx);
            if poll.is_pending() && client.is_none() {
                client = Some(evenkeel::spawn(TcpStream::connect(address)));
            }
            poll
        })
        .await
        .unwrap();
        assert_eq!(
            peer,
            client
                .unwrap()
                .await
                .unwrap()
                .unwrap()
                .local_addr()
                .unwrap()
        );
    });
}

#[test]
fn many_clients_at_once() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        evenkeel::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                evenkeel::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let clients: Vec<_> = (0..64_u32)
            .map(|i| {
                evenkeel::spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    for round in 0..20 {
                        let message = (i * 1000 + round).to_be_bytes();
                        stream.write_all(&message).await.unwrap();
                        let mut echo = [0; 4];
                        stream.read_exact(&mut echo).await.unwrap();
                        assert_eq!(echo, message);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
}

#[test]
fn from_std_makes_non_blocking_and_into_std_leaves_it_so() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        assert!(
            poll_once(listener.accept()).is_pending(),
            "a blocking accept would hang here"
        );
        let client = std::net::TcpStream::connect(address).unwrap();
        let mut client = TcpStream::try_from(client).unwrap();
        assert!(poll_once(client.read(&mut [0; 1])).is_pending());
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(b"in flight").await.unwrap();
        client.readable().await.unwrap();

        let mut client = client.into_std().unwrap();
        let mut buf = [0; 16];
        assert_eq!(client.read(&mut buf).unwrap(), 9);
        assert_eq!(
            client.read(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        // And back: what the driver knew of the old registration is gone, the socket still works.
        let mut client = TcpStream::from_std(client).unwrap();
        server.write_all(b"again").await.unwrap();
        assert_eq!(client.read(&mut buf).await.unwrap(), 5);

        let listener = listener.into_std().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn options_reach_the_socket() {
    run(async {
        let (client, server) = tcp_pair().await;
        client.set_nodelay(true).unwrap();
        assert!(client.nodelay().unwrap());
        client.set_ttl(42).unwrap();
        assert_eq!(client.ttl().unwrap(), 42);
        assert_eq!(client.linger().unwrap(), None);
        client.set_linger(Some(Duration::from_secs(3))).unwrap();
        assert_eq!(client.linger().unwrap(), Some(Duration::from_secs(3)));
        client.set_linger(None).unwrap();
        let listener = listener().await;
        listener.set_ttl(43).unwrap();
        assert_eq!(listener.ttl().unwrap(), 43);
        assert!(listener.take_error().unwrap().is_none());
        // Everything else goes through the descriptor.
        SockRef::from(&server).set_keepalive(true).unwrap();
        assert!(SockRef::from(&server.as_fd()).keepalive().unwrap());
        assert!(format!("{client:?}").contains("127.0.0.1"), "{client:?}");
    });
}

#[test]
fn tcp_socket_sets_options_before_it_connects() {
    run(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_reuseport(true).unwrap();
        assert!(socket.reuseaddr().unwrap() && socket.reuseport().unwrap());
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let first = socket.listen(8).unwrap();

        let second = TcpSocket::new_v4().unwrap();
        second.set_reuseport(true).unwrap();
        second.bind(address).unwrap();
        let third = TcpSocket::new_v4().unwrap();
        assert_eq!(
            third.bind(address).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        drop((second, third));

        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(65536).unwrap();
        assert!(socket.recv_buffer_size().unwrap() >= 65536);
        socket.set_send_buffer_size(65536).unwrap();
        assert!(socket.send_buffer_size().unwrap() >= 65536);
        socket.set_keepalive(true).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        let client = socket.connect(address).await.unwrap();
        assert!(client.nodelay().unwrap() && SockRef::from(&client).keepalive().unwrap());
        assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
        let (_, peer) = first.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    });
}

#[test]
fn tcp_socket_reports_a_refused_connection() {
    run(async {
        let (_holder, address) = refusing();
        let error = TcpSocket::new_v4()
            .unwrap()
            .connect(address)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = TcpSocket::new_v6()
            .unwrap()
            .connect(address)
            .await
            .unwrap_err();
        assert_ne!(
            error.kind(),
            ErrorKind::ConnectionRefused,
            "an IPv4 address on an IPv6 socket"
        );
    });
}

#[test]
fn tcp_socket_takes_over_a_socket_of_another_library() {
    run(async {
        let listener = listener().await;
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let socket = TcpSocket::from_std_stream(socket.into());
        let client = socket
            .connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        assert!(SockRef::from(&client).nonblocking().unwrap());
    });
}

#[test]
fn sockets_need_a_runtime() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let panic = std::panic::catch_unwind(|| TcpListener::from_std(socket)).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
    assert!(text.unwrap().contains("runtime"));
}
