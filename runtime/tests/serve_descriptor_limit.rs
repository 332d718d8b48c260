//! A server whose process has no descriptor left goes on once it has some.
//!
//! The limit belongs to the whole process, hence one test and a binary of its own.
#![cfg(all(target_os = "linux", feature = "serve", feature = "tokio-io"))]

mod net_support;
mod serve_support;
mod support;

use std::convert::Infallible;
use std::fs::File;
use std::io;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use net_support::run;
use serve_support::{Answer, Server, text};

async fn hello(_: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(text("hello"))
}

/// Lowers the limit to a little above what is open, and opens files until that fails.
fn exhaust_descriptors() -> Vec<File> {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as libc::rlim_t;
    let limit = libc::rlimit {
        rlim_cur: open + 8,
        rlim_max: open + 8,
    };
    // SAFETY: the pointer is to a limit that outlives the call.
    let outcome = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn a_server_without_descriptors_waits_and_goes_on() {
    run(async {
        let server = Server::start(service_fn(hello)).await;
        let mut before = server.connect().await;
        assert_eq!(before.get("/").await, "hello");
        let mut files = exhaust_descriptors();
        // One for the client, and none for the server.
        files.pop();
        let mut waits = server.connect().await;
        waits.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        // Those that are open are served meanwhile.
        for _ in 0..100 {
            assert_eq!(before.get("/").await, "hello");
        }
        drop(files);
        assert_eq!(waits.answer().await.1, "hello");
        // Nor does it keep the server from its end.
        let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        files.pop();
        let _waits = server.connect().await;
        server.stop().await.unwrap().unwrap();
    });
}
