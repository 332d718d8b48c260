//! tokio#8054: reading and writing shared one tick, so that an event for the one, between a read
//! that found nothing and the clearing of the readiness, kept the other ready. With a steady stream
//! of such events a task read for ever, found nothing for ever, and never let go of its worker.

#![cfg(unix)]

use crate::support::{foreign_block_on, on_runtime};
use evenkeel::io::Interest;
use evenkeel::net::UnixStream;
use std::future::poll_fn;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, mpsc};
use std::task::Poll;

/// Until there is no room.
fn fill(stream: &UnixStream) {
    loop {
        match stream.try_write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

/// Until there is nothing.
fn drain(stream: &mut StdStream) {
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(bytes) => assert!(bytes > 0),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

async fn is_readable(stream: &UnixStream) -> bool {
    poll_fn(|cx| Poll::Ready(stream.poll_read_ready(cx).is_ready())).await
}

/// In the midst of a read, and before the clearing that follows it, the socket becomes writable:
/// the driver has handled that event when the read ends.
#[test]
fn a_socket_is_not_readable_because_it_became_writable_meanwhile() {
    on_runtime(2, |runtime| {
        let _entered = runtime.enter();
        let (mut theirs, ours) = StdStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = Arc::new(UnixStream::from_std(ours).unwrap());
        let reads = runtime.spawn(async move {
            for round in 0..50 {
                ours.writable().await.unwrap();
                fill(&ours);
                std::io::Write::write_all(&mut theirs, &[round]).unwrap();
                let mut byte = [0];
                while ours.try_read(&mut byte).is_err() {
                    ours.readable().await.unwrap();
                }
                // As far as is known, there may be more.
                assert_eq!(byte, [round]);
                let found = ours.try_io(Interest::READABLE, || -> std::io::Result<()> {
                    let (handled, handles) = mpsc::channel();
                    let waits = ours.clone();
                    evenkeel::spawn(async move {
                        waits.writable().await.unwrap();
                        handled.send(()).unwrap();
                    });
                    drain(&mut theirs);
                    handles.recv().unwrap();
                    Err(ErrorKind::WouldBlock.into())
                });
                assert_eq!(found.unwrap_err().kind(), ErrorKind::WouldBlock);
                assert!(!is_readable(&ours).await, "in round {round}");
            }
        });
        foreign_block_on(reads).unwrap();
    });
}
