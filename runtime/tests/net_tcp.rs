//! TCP over real sockets on the loopback: reading and writing.
#![cfg(all(unix, feature = "tokio-io"))]

mod net_support;
mod support;

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::task::Poll;

use evenkeel::io::{Interest, Ready};
use net_support::{listener, poll_once, run, tcp_pair};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

#[test]
fn a_stream_ends_when_its_peer_is_dropped() {
    run(async {
        let (mut client, mut server) = tcp_pair().await;
        server.write_all(b"the end").await.unwrap();
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "the end");
        // It stays at its end, and waiting for it does not block.
        client.readable().await.unwrap();
        assert_eq!(client.try_read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn shutdown_closes_one_direction_only() {
    run(async {
        let (mut client, mut server) = tcp_pair().await;
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
        let error = client.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_reset_is_an_error_of_the_read_and_none_of_the_shutdown() {
    run(async {
        let (mut client, server) = tcp_pair().await;
        server.set_zero_linger().unwrap();
        drop(server);
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        client.shutdown().await.unwrap();
    });
}

#[test]
fn ready_tells_a_closed_peer_from_a_silent_one() {
    run(async {
        let (client, server) = tcp_pair().await;
        let both = Interest::READABLE | Interest::WRITABLE;
        let ready = client.ready(both).await.unwrap();
        assert!(ready.is_writable() && !ready.is_readable(), "{ready:?}");
        drop(server);
        let ready = client.ready(Interest::READABLE).await.unwrap();
        assert!(ready.is_read_closed(), "{ready:?}");
    });
}

#[test]
fn try_read_and_readable_take_turns() {
    run(async {
        let (client, server) = tcp_pair().await;
        let mut buf = [0; 16];
        assert_eq!(
            client.try_read(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert!(poll_once(client.readable()).is_pending());
        assert_eq!(server.try_write(b"first").unwrap(), 5);
        client.readable().await.unwrap();
        assert_eq!(client.try_read(&mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"first");
        // Finding nothing clears the readiness, and new bytes bring it back.
        assert_eq!(
            client.try_read(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert!(poll_once(client.readable()).is_pending());
        assert_eq!(server.try_write(b"second").unwrap(), 6);
        client.readable().await.unwrap();
        assert_eq!(client.try_read(&mut buf).unwrap(), 6);
    });
}

#[test]
fn a_full_send_buffer_waits_for_the_reader() {
    run(async {
        let (mut client, mut server) = tcp_pair().await;
        let mut total = 0;
        loop {
            match client.try_write(&[7; 65536]) {
                Ok(n) => total += n,
                Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        let len = total + (1 << 20);
        let writer = evenkeel::spawn(async move {
            client.write_all(&vec![7; len - total]).await.unwrap();
            client
        });
        let mut received = vec![0; len];
        server.read_exact(&mut received).await.unwrap();
        assert!(received.iter().all(|byte| *byte == 7));
        let client = writer.await.unwrap();
        client.writable().await.unwrap();
    });
}

#[test]
fn one_task_reads_while_another_writes() {
    run(async {
        let (client, mut server) = tcp_pair().await;
        let (mut read, mut write) = client.into_split();
        // Nothing can be read before the reader is waiting: both directions have to be able to wait
        // at once.
        let reader = evenkeel::spawn(async move {
            let mut bytes = Vec::new();
            read.read_to_end(&mut bytes).await.unwrap();
            bytes.len()
        });
        let len = 4 << 20;
        let writer = evenkeel::spawn(async move { write.write_all(&vec![1; len]).await.unwrap() });
        let mut received = vec![0; len];
        server.read_exact(&mut received).await.unwrap();
        server.write_all(&received).await.unwrap();
        drop(server);
        writer.await.unwrap();
        assert_eq!(reader.await.unwrap(), len);
    });
}

/// Reads that fill part of their buffer clear the readiness; no byte may be forgotten for that.
#[test]
fn reads_of_every_size_get_every_byte() {
    run(async {
        let (mut client, mut server) = tcp_pair().await;
        let bytes: Vec<u8> = (0..1 << 20)
            .map(|i: u32| (i.wrapping_mul(2654435761) >> 24) as u8)
            .collect();
        let sent = bytes.clone();
        let writer = evenkeel::spawn(async move {
            let mut rest = &sent[..];
            let mut size = 1;
            while !rest.is_empty() {
                let (chunk, tail) = rest.split_at(size.min(rest.len()));
                server.write_all(chunk).await.unwrap();
                rest = tail;
                size = size * 7 % 9973;
            }
        });
        let mut received = Vec::new();
        let mut size = 1;
        loop {
            let mut buf = vec![0; size];
            match client.read(&mut buf).await.unwrap() {
                0 => break,
                n => received.extend_from_slice(&buf[..n]),
            }
            size = size * 5 % 7919;
        }
        writer.await.unwrap();
        assert!(
            received == bytes,
            "{} of {} bytes, or wrong ones",
            received.len(),
            bytes.len()
        );
    });
}

#[test]
fn reading_into_a_buffer_keeps_what_is_in_it() {
    run(async {
        let (mut client, mut server) = tcp_pair().await;
        server.write_all(b" and after").await.unwrap();
        let mut buf = Vec::with_capacity(64);
        buf.extend_from_slice(b"before");
        assert_eq!(client.read_buf(&mut buf).await.unwrap(), 10);
        assert_eq!(buf, b"before and after");
    });
}

#[test]
fn peek_does_not_consume() {
    run(async {
        let (mut client, mut server) = tcp_pair().await;
        server.write_all(b"look").await.unwrap();
        let mut buf = [0; 16];
        assert_eq!(client.peek(&mut buf[..2]).await.unwrap(), 2);
        assert_eq!(&buf[..2], b"lo");
        let mut peeked = ReadBuf::new(&mut buf);
        assert_eq!(
            poll_fn(|cx| client.poll_peek(cx, &mut peeked))
                .await
                .unwrap(),
            4
        );
        assert_eq!(peeked.filled(), b"look");
        let (read, _write) = client.split();
        assert_eq!(read.peek(&mut buf).await.unwrap(), 4);
        let mut text = [0; 4];
        client.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"look");
    });
}

#[test]
fn vectored_operations_take_one_buffer_after_the_other() {
    run(async {
        let (mut client, mut server) = tcp_pair().await;
        assert!(server.is_write_vectored());
        let bufs = [
            IoSlice::new(b"one"),
            IoSlice::new(b""),
            IoSlice::new(b"two"),
        ];
        assert_eq!(server.write_vectored(&bufs).await.unwrap(), 6);
        assert_eq!(server.try_write_vectored(&bufs).unwrap(), 6);
        let mut all = [0; 12];
        client.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"onetwoonetwo");

        client.try_read(&mut all).unwrap_err();
        assert_eq!(server.try_write_vectored(&bufs).unwrap(), 6);
        client.readable().await.unwrap();
        let (mut left, mut right) = ([0; 2], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut left), IoSliceMut::new(&mut right)];
        assert_eq!(client.try_read_vectored(&mut bufs).unwrap(), 6);
        assert_eq!((&left, &right[..4]), (b"on", &b"etwo"[..]));
    });
}

#[test]
fn try_io_clears_readiness_that_was_not_there() {
    run(async {
        let (client, mut server) = tcp_pair().await;
        server.write_all(b"x").await.unwrap();
        client.readable().await.unwrap();
        let result: std::io::Result<()> =
            client.try_io(Interest::READABLE, || Err(ErrorKind::WouldBlock.into()));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(poll_once(client.readable()).is_pending());
        client
            .try_io(Interest::READABLE, || -> std::io::Result<()> {
                panic!("it is not ready")
            })
            .unwrap_err();

        server.write_all(b"y").await.unwrap();
        let mut buf = [0; 8];
        let n = client
            .async_io(Interest::READABLE, || {
                (&*SockRef::from(&client)).read(&mut buf)
            })
            .await
            .unwrap();
        assert_eq!(&buf[..n], b"xy");
    });
}

#[test]
fn poll_ready_wakes_its_task() {
    run(async {
        let (client, server) = tcp_pair().await;
        poll_fn(|cx| client.poll_write_ready(cx)).await.unwrap();
        let mut server = Some(server);
        poll_fn(|cx| {
            let poll = client.poll_read_ready(cx);
            if let (Poll::Pending, Some(server)) = (&poll, server.take()) {
                evenkeel::spawn(async move { drop(server) });
            }
            poll
        })
        .await
        .unwrap();
        assert_eq!(client.try_read(&mut [0; 1]).unwrap(), 0);
    });
}

#[test]
fn a_socket_is_used_by_another_executor() {
    run(async {
        let (client, server) = tcp_pair().await;
        let read = evenkeel::spawn_blocking(move || {
            futures_lite::future::block_on(async {
                client.readable().await.unwrap();
                client.try_read(&mut [0; 8]).unwrap()
            })
        });
        assert_eq!(server.try_write(b"abc").unwrap(), 3);
        assert_eq!(read.await.unwrap(), 3);
    });
}

#[test]
fn sockets_of_a_runtime_that_is_gone_fail_and_do_not_hang() {
    support::watchdog(|| {
        let runtime = evenkeel::runtime::Runtime::new().unwrap();
        let (client, server) = runtime.block_on(tcp_pair());
        drop(runtime);
        assert!(futures_lite::future::block_on(client.readable()).is_err());
        let mut server = server;
        let read = futures_lite::future::block_on(server.read(&mut [0; 1]));
        assert!(read.is_err());
    });
}

#[test]
fn ready_flags_are_printed_by_name() {
    assert_eq!(
        format!("{:?}", Ready::READABLE | Ready::READ_CLOSED),
        "READABLE | READ_CLOSED"
    );
}

#[test]
fn an_std_peer_sees_plain_bytes() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let peer = evenkeel::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(b"plain").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let (mut server, _) = listener.accept().await.unwrap();
        let mut buf = [0; 5];
        server.read_exact(&mut buf).await.unwrap();
        server.write_all(&buf).await.unwrap();
        drop(server);
        assert_eq!(peer.await.unwrap(), "plain");
    });
}
