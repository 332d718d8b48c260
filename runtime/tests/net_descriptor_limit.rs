//! What happens when the process has no descriptor left: an error of the call, and nothing else
//! breaks.
//!
//! The limit belongs to the whole process, hence one test and a binary of its own.
#![cfg(all(target_os = "linux", feature = "tokio-io"))]

mod net_support;
mod support;

use std::fs::File;
use std::io;

use evenkeel::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use net_support::{listener, run, tcp_pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Lowers the limit to a little above what is open, so that it is reached fast.
fn limit_descriptors() {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as libc::rlim_t;
    let limit = libc::rlimit {
        rlim_cur: open + 32,
        rlim_max: open + 32,
    };
    // SAFETY: the pointer is to a limit that outlives the call.
    let outcome = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
}

/// Opens files until that fails.
fn exhaust_descriptors() -> Vec<File> {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                return files;
            }
        }
    }
}

fn assert_no_descriptor<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EMFILE));
}

async fn assert_works(left: &mut TcpStream, right: &mut TcpStream) {
    left.write_all(b"still here").await.unwrap();
    let mut buf = [0; 10];
    right.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"still here");
}

#[test]
fn too_many_descriptors_are_an_error_of_the_call() {
    run(async {
        let listener = listener().await;
        let (mut left, mut right) = tcp_pair().await;
        limit_descriptors();
        // It waits in the queue of the listener: accepting it is what needs a descriptor.
        let mut waiting = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let files = exhaust_descriptors();

        for _ in 0..3 {
            assert_no_descriptor(listener.accept().await);
        }
        assert_no_descriptor(TcpStream::connect(listener.local_addr().unwrap()).await);
        assert_no_descriptor(TcpListener::bind("127.0.0.1:0").await);
        assert_no_descriptor(UdpSocket::bind("127.0.0.1:0").await);
        assert_no_descriptor(UnixStream::pair());
        assert_works(&mut left, &mut right).await;
        // Timers and tasks need no descriptor.
        evenkeel::spawn(evenkeel::time::sleep(std::time::Duration::from_millis(1)))
            .await
            .unwrap();

        drop(files);
        let (mut accepted, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, waiting.local_addr().unwrap());
        assert_works(&mut waiting, &mut accepted).await;
        assert_works(&mut right, &mut left).await;
    });
}
