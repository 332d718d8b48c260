//! The halves of TCP and Unix streams.
#![cfg(all(unix, feature = "tokio-io"))]

mod net_support;
mod support;

use std::io::ErrorKind;

use evenkeel::io::Interest;
use evenkeel::net::{UnixStream, tcp, unix};
use net_support::{poll_once, run, tcp_pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LEN: usize = 1 << 20;

#[test]
fn borrowed_halves_read_and_write_at_once() {
    run(async {
        let (mut client, mut server) = tcp_pair().await;
        let echo = evenkeel::spawn(async move {
            let (mut read, mut write) = server.split();
            tokio::io::copy(&mut read, &mut write).await.unwrap()
        });
        let (mut read, mut write) = client.split();
        let send = async {
            write.write_all(&vec![3; LEN]).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let receive = async {
            let mut bytes = Vec::new();
            read.read_to_end(&mut bytes).await.unwrap();
            bytes
        };
        let ((), bytes) = futures_lite::future::zip(send, receive).await;
        assert!(bytes.len() == LEN && bytes.iter().all(|byte| *byte == 3));
        assert_eq!(echo.await.unwrap(), LEN as u64);
        // The stream is whole again when the halves are gone.
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    });
}

#[test]
fn halves_of_one_stream_are_reunited() {
    run(async {
        let (client, mut server) = tcp_pair().await;
        let address = client.local_addr().unwrap();
        let (read, write) = client.into_split();
        let mut client = read.reunite(write).unwrap();
        assert_eq!(client.local_addr().unwrap(), address);
        let (read, write) = client.into_split();
        client = write.reunite(read).unwrap();

        // Neither half has shut anything down on its way.
        client.write_all(b"still open").await.unwrap();
        let mut buf = [0; 10];
        server.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"still open");
        assert!(poll_once(server.read(&mut buf)).is_pending());
    });
}

#[test]
fn halves_of_two_streams_are_given_back() {
    run(async {
        let (left, right) = tcp_pair().await;
        let (left_read, left_write) = left.into_split();
        let (right_read, right_write) = right.into_split();
        let error: tcp::ReuniteError = left_read.reunite(right_write).unwrap_err();
        assert!(error.to_string().contains("different streams"));
        let left = error.0.reunite(left_write).unwrap();
        let right = right_read.reunite(error.1).unwrap();
        assert_eq!(left.local_addr().unwrap(), right.peer_addr().unwrap());

        let (left, right) = UnixStream::pair().unwrap();
        let (left_read, _left_write) = left.into_split();
        let (_right_read, right_write) = right.into_split();
        let _error: unix::ReuniteError = right_write.reunite(left_read).unwrap_err();
    });
}

#[test]
fn dropping_the_owned_writing_half_ends_the_stream_for_the_peer() {
    run(async {
        let (client, mut server) = tcp_pair().await;
        let (mut read, write) = client.into_split();
        drop(write);
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
        server.write_all(b"x").await.unwrap();
        assert_eq!(read.read(&mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn forgetting_the_owned_writing_half_does_not_end_the_stream() {
    run(async {
        let (client, mut server) = tcp_pair().await;
        let (read, write) = client.into_split();
        write.forget();
        // Whether something was shut down is known when a byte has gone round.
        server.write_all(b"x").await.unwrap();
        read.readable().await.unwrap();
        assert_eq!(read.try_read(&mut [0; 8]).unwrap(), 1);
        assert!(poll_once(server.read(&mut [0; 1])).is_pending());
        drop(read);
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    });
}

#[test]
fn an_owned_writing_half_that_was_shut_down_stays_so() {
    run(async {
        let (client, mut server) = tcp_pair().await;
        let (mut read, mut write) = client.into_split();
        write.shutdown().await.unwrap();
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(
            write.write(b"x").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        server.write_all(b"x").await.unwrap();
        assert_eq!(read.read(&mut [0; 8]).await.unwrap(), 1);
        read.reunite(write).unwrap();
    });
}

#[test]
fn owned_halves_know_their_stream() {
    run(async {
        let (client, server) = tcp_pair().await;
        let (read, write) = client.into_split();
        assert_eq!(read.local_addr().unwrap(), server.peer_addr().unwrap());
        assert_eq!(write.peer_addr().unwrap(), server.local_addr().unwrap());
        assert_eq!(read.peer_addr().unwrap(), write.peer_addr().unwrap());
        assert_eq!(
            read.as_ref().local_addr().unwrap(),
            write.as_ref().local_addr().unwrap()
        );
        assert!(write.ready(Interest::WRITABLE).await.unwrap().is_writable());
        write.writable().await.unwrap();
        assert_eq!(write.try_write(b"peek").unwrap(), 4);
        let (server_read, _server_write) = server.into_split();
        assert!(
            server_read
                .ready(Interest::READABLE)
                .await
                .unwrap()
                .is_readable()
        );
        let mut buf = [0; 8];
        assert_eq!(server_read.peek(&mut buf).await.unwrap(), 4);
        assert_eq!(server_read.try_read(&mut buf).unwrap(), 4);
    });
}

#[test]
fn unix_halves_work_from_two_tasks() {
    run(async {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut left_read, mut left_write) = left.into_split();
        let (mut right_read, mut right_write) = right.into_split();
        let echo = evenkeel::spawn(async move {
            tokio::io::copy(&mut right_read, &mut right_write)
                .await
                .unwrap()
        });
        let send =
            evenkeel::spawn(async move { left_write.write_all(&vec![9; LEN]).await.unwrap() });
        let mut bytes = vec![0; LEN];
        left_read.read_exact(&mut bytes).await.unwrap();
        assert!(bytes.iter().all(|byte| *byte == 9));
        send.await.unwrap();
        assert_eq!(echo.await.unwrap(), LEN as u64);
    });
}

#[test]
fn everything_can_move_between_threads() {
    fn check<T: Send + Sync + Unpin + 'static>() {}
    check::<evenkeel::net::TcpListener>();
    check::<evenkeel::net::TcpSocket>();
    check::<evenkeel::net::TcpStream>();
    check::<evenkeel::net::UdpSocket>();
    check::<evenkeel::net::UnixDatagram>();
    check::<evenkeel::net::UnixListener>();
    check::<evenkeel::net::UnixStream>();
    check::<evenkeel::net::tcp::OwnedReadHalf>();
    check::<evenkeel::net::tcp::OwnedWriteHalf>();
    check::<evenkeel::net::tcp::ReuniteError>();
    check::<evenkeel::net::tcp::ReadHalf<'static>>();
    check::<evenkeel::net::unix::WriteHalf<'static>>();
    check::<evenkeel::io::AsyncFd<std::fs::File>>();
}
