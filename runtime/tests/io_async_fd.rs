//! Descriptors of all kinds through `AsyncFd`.
#![cfg(unix)]

mod net_support;
mod support;

use std::fs::File;
use std::future::poll_fn;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use evenkeel::io::{AsyncFd, Interest};
use net_support::{poll_once, run};

fn nonblocking(fd: impl Into<OwnedFd>) -> File {
    let fd = fd.into();
    // The mode is that of the open file, whatever its kind; std sets it through the types of
    // sockets alone.
    socket2::Socket::from(fd.try_clone().unwrap())
        .set_nonblocking(true)
        .unwrap();
    File::from(fd)
}

fn pipe() -> (File, File) {
    let (reader, writer): (PipeReader, PipeWriter) = std::io::pipe().unwrap();
    (nonblocking(reader), nonblocking(writer))
}

async fn read(fd: &AsyncFd<File>, buf: &mut [u8]) -> std::io::Result<usize> {
    loop {
        let mut guard = fd.readable().await?;
        if let Ok(result) = guard.try_io(|fd| fd.get_ref().read(buf)) {
            return result;
        }
    }
}

#[test]
fn a_pipe_passes_bytes_and_ends() {
    run(async {
        let (reader, writer) = pipe();
        let reader = AsyncFd::with_interest(reader, Interest::READABLE).unwrap();
        let writer = AsyncFd::with_interest(writer, Interest::WRITABLE).unwrap();
        let mut buf = [0; 16];
        assert!(poll_once(read(&reader, &mut buf)).is_pending());
        let task = evenkeel::spawn(async move {
            let n = read(&reader, &mut buf).await.unwrap();
            assert_eq!(&buf[..n], b"through");
            assert_eq!(read(&reader, &mut buf).await.unwrap(), 0);
        });
        writer
            .async_io(Interest::WRITABLE, |mut pipe| pipe.write_all(b"through"))
            .await
            .unwrap();
        drop(writer);
        task.await.unwrap();
    });
}

#[test]
fn a_full_pipe_waits_for_its_reader() {
    run(async {
        let (mut reader, writer) = pipe();
        let writer = AsyncFd::with_interest(writer, Interest::WRITABLE).unwrap();
        let mut total = 0;
        loop {
            let mut guard = writer.writable().await.unwrap();
            match guard.try_io(|pipe| pipe.get_ref().write(&[1; 4096])) {
                Ok(n) => total += n.unwrap(),
                Err(_would_block) => break,
            }
        }
        assert!(poll_once(writer.writable()).is_pending());
        reader.read_exact(&mut vec![0; total]).unwrap();
        let guard = poll_fn(|cx| writer.poll_write_ready(cx).map_ok(drop)).await;
        guard.unwrap();
    });
}

#[test]
fn a_guard_keeps_readiness_until_it_is_cleared() {
    run(async {
        let (reader, mut writer) = pipe();
        let mut reader = AsyncFd::with_interest(reader, Interest::READABLE).unwrap();
        writer.write_all(b"x").unwrap();
        drop(reader.readable().await.unwrap());
        let mut guard = reader.readable_mut().await.unwrap();
        assert!(guard.ready().is_readable());
        guard.clear_ready();
        drop(guard);
        assert!(poll_once(reader.readable()).is_pending());
        writer.write_all(b"y").unwrap();
        let mut buf = [0; 8];
        assert_eq!(read(&reader, &mut buf).await.unwrap(), 2);
    });
}

#[test]
fn a_regular_file_cannot_be_registered() {
    run(async {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let error = AsyncFd::new(file).unwrap_err();
        if cfg!(target_os = "linux") {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        }
    });
}

#[test]
fn a_descriptor_can_be_registered_again_after_the_first_is_gone() {
    run(async {
        let (left, mut right) = UnixStream::pair().unwrap();
        left.set_nonblocking(true).unwrap();
        let number = left.as_raw_fd();
        let borrowed = AsyncFd::new(number).unwrap();
        assert!(AsyncFd::new(number).is_err(), "it is registered");
        drop(borrowed);
        let left = AsyncFd::new(left).unwrap();
        assert_eq!(
            (left.as_raw_fd(), left.as_fd().as_raw_fd()),
            (number, number)
        );
        let left = AsyncFd::new(left.into_inner()).unwrap();
        right.write_all(b"x").unwrap();
        left.readable().await.unwrap().retain_ready();
        assert_eq!(left.get_ref().read(&mut [0; 8]).unwrap(), 1);
    });
}
