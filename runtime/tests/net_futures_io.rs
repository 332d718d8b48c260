//! The sockets through the traits of futures-io.
#![cfg(all(unix, feature = "futures-io"))]

mod net_support;
mod support;

use std::io::{ErrorKind, IoSlice, IoSliceMut};

use evenkeel::net::UnixStream;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use net_support::{run, tcp_pair};

const LEN: usize = 1 << 20;

/// Sends through `write` and expects the same from `read`, at the same time.
async fn pass(mut write: impl AsyncWrite + Unpin, mut read: impl AsyncRead + Unpin) {
    let send = async {
        write.write_all(&vec![3; LEN]).await.unwrap();
        write.flush().await.unwrap();
        write.close().await.unwrap();
        assert_eq!(
            write.write(b"x").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    };
    let receive = async {
        let mut bytes = Vec::new();
        read.read_to_end(&mut bytes).await.unwrap();
        assert!(bytes.len() == LEN && bytes.iter().all(|byte| *byte == 3));
    };
    futures_lite::future::zip(send, receive).await;
}

#[test]
fn streams_and_their_halves_pass_bytes() {
    run(async {
        let (left, right) = tcp_pair().await;
        pass(left, right).await;
        let (left, right) = UnixStream::pair().unwrap();
        pass(left, right).await;

        let (mut left, mut right) = tcp_pair().await;
        let (left_read, left_write) = left.split();
        let (right_read, right_write) = right.split();
        pass(left_write, right_read).await;
        pass(right_write, left_read).await;

        let (left, right) = UnixStream::pair().unwrap();
        let (left_read, left_write) = left.into_split();
        let (right_read, right_write) = right.into_split();
        pass(left_write, right_read).await;
        pass(right_write, left_read).await;
    });
}

#[test]
fn vectored_operations_take_one_buffer_after_the_other() {
    run(async {
        let (mut left, mut right) = tcp_pair().await;
        let bufs = [
            IoSlice::new(b"one"),
            IoSlice::new(b""),
            IoSlice::new(b"two"),
        ];
        assert_eq!(left.write_vectored(&bufs).await.unwrap(), 6);
        let (mut first, mut second) = ([0; 2], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(right.read_vectored(&mut bufs).await.unwrap(), 6);
        assert_eq!((&first, &second[..4]), (b"on", &b"etwo"[..]));
        drop(left);
        assert_eq!(right.read(&mut [0; 8]).await.unwrap(), 0);
    });
}
