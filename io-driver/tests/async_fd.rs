//! `AsyncFd` over pipes and over what cannot be polled.
#![cfg(all(unix, not(evenkeel_loom)))]

mod common;

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use common::{Count, poll_once, within_limit};
use evenkeel_io_driver::{AsyncFd, DriverThread, Handle, Interest, TryIoError};
use futures_lite::future::{block_on, zip};

fn pipe(handle: &Handle) -> (AsyncFd<PipeReader>, AsyncFd<PipeWriter>) {
    let (reader, writer) = io::pipe().unwrap();
    for end in [reader.as_fd(), writer.as_fd()] {
        // The flag is the same for every descriptor, which is why socket2 can set it.
        socket2::SockRef::from(&end).set_nonblocking(true).unwrap();
    }
    let reader = AsyncFd::with_handle_and_interest(reader, Interest::READABLE, handle).unwrap();
    let writer = AsyncFd::with_handle_and_interest(writer, Interest::WRITABLE, handle).unwrap();
    (reader, writer)
}

#[test]
fn pipe_with_guards() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        let (reader, mut writer) = pipe(&driver.handle());
        let sent = vec![7_u8; 300_000]; // More than a pipe holds.

        let reading = async {
            let (mut all, mut buffer) = (Vec::new(), [0; 10_000]);
            loop {
                let mut guard = reader.readable().await.unwrap();
                match guard.try_io(|fd| fd.get_ref().read(&mut buffer)) {
                    Ok(Ok(0)) => return all,
                    Ok(n) => all.extend_from_slice(&buffer[..n.unwrap()]),
                    Err(TryIoError { .. }) => assert!(!guard.ready().is_readable()),
                }
            }
        };
        let writing = async {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let mut guard = writer.writable_mut().await.unwrap();
                if let Ok(n) = guard.try_io(|fd| fd.get_mut().write(rest)) {
                    rest = &rest[n.unwrap()..];
                }
            }
            drop(writer.into_inner());
        };
        let (received, ()) = block_on(zip(reading, writing));
        assert!(received == sent);
    });
}

#[test]
fn pipe_with_async_io() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        let (mut reader, writer) = pipe(&driver.handle());
        let mut buffer = [0; 8];
        let reading = reader.async_io_mut(Interest::READABLE, |pipe| pipe.read(&mut buffer));
        let writing = writer.async_io(Interest::WRITABLE, |mut pipe| pipe.write(b"hello"));
        assert_eq!(block_on(zip(reading, writing)).0.unwrap(), 5);
        assert_eq!(&buffer[..5], b"hello");
        let tried = reader.try_io_mut(Interest::READABLE, |pipe| pipe.read(&mut buffer));
        assert_eq!(tried.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn retained_readiness_stays_and_cleared_readiness_goes() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        let (reader, writer) = pipe(&driver.handle());
        writer.get_ref().write_all(b"x").unwrap();
        block_on(async {
            reader.readable().await.unwrap().retain_ready();
            let mut guard = reader.readable().await.unwrap();
            assert_eq!(guard.get_inner().as_raw_fd(), reader.as_raw_fd());
            guard.clear_ready();
            assert!(guard.ready().is_empty());
        });
        let count = Arc::new(Count::default());
        assert!(poll_once(reader.readable(), &count.into()).is_pending());
    });
}

#[test]
fn a_closed_pipe_is_closed_for_both_ends() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        block_on(async {
            let (reader, writer) = pipe(&driver.handle());
            drop(writer);
            assert!(reader.readable().await.unwrap().ready().is_read_closed());

            let (reader, writer) = pipe(&driver.handle());
            let mut guard = writer.writable().await.unwrap();
            while guard
                .try_io(|pipe| pipe.get_ref().write(&[0; 4096]))
                .is_ok()
            {}
            drop(reader);
            let guard = writer.writable().await.unwrap();
            assert!(guard.ready().is_writable() && guard.ready().is_error());
            let error = guard.get_inner().write(b"x").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    });
}

/// epoll refuses a regular file with EPERM.
#[cfg(target_os = "linux")]
#[test]
fn a_regular_file_is_the_error_of_the_call() {
    within_limit(|| {
        let driver = DriverThread::spawn("io-test").unwrap();
        let handle = driver.handle();
        let (reader, writer) = pipe(&handle);
        for _ in 0..3 {
            let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
            let error = AsyncFd::with_handle(file, &handle).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(handle.registrations(), 2);
        }
        block_on(async {
            writer
                .async_io(Interest::WRITABLE, |mut pipe| pipe.write(b"x"))
                .await
                .unwrap();
            reader
                .async_io(Interest::READABLE, |mut pipe| pipe.read(&mut [0; 2]))
                .await
                .unwrap();
        });
    });
}
