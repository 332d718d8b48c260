//! The two programs of the README: a service on tokio with a rayon pool, and the same on Evenkeel.

mod support;

#[path = "before_and_after/after.rs"]
mod after;
#[path = "before_and_after/before.rs"]
#[expect(dead_code, reason = "its `main` is for who runs it")]
mod before;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use argon2::{Argon2, PasswordVerifier};
use support::watchdog;

fn hashes_what_it_is_sent(address: SocketAddr) {
    let mut clients = [(); 3].map(|()| BufReader::new(TcpStream::connect(address).unwrap()));
    for (index, client) in clients.iter_mut().enumerate() {
        write!(client.get_mut(), "password {index}\nanother\n").unwrap();
    }
    for (index, client) in clients.iter_mut().enumerate() {
        for password in [&format!("password {index}"), "another"] {
            let mut hash = String::new();
            client.read_line(&mut hash).unwrap();
            let verified = Argon2::default().verify_password(password.as_bytes(), hash.trim());
            verified.unwrap_or_else(|error| panic!("{hash:?} of {password:?}: {error}"));
        }
    }
}

#[test]
fn before_on_tokio_with_rayon() {
    watchdog(|| {
        use tokio::net::TcpListener;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        drop(runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(before::hash_lines(stream));
            }
        }));
        hashes_what_it_is_sent(address);
    });
}

#[test]
fn after_on_evenkeel() {
    watchdog(|| {
        use evenkeel::net::TcpListener;
        let runtime = evenkeel::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        drop(runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                evenkeel::spawn(after::hash_lines(stream));
            }
        }));
        hashes_what_it_is_sent(address);
    });
}

#[test]
fn the_readme_shows_these_programs() {
    let readme = include_str!("../../README.md");
    let programs = [
        include_str!("before_and_after/before.rs"),
        include_str!("before_and_after/after.rs"),
    ];
    for program in programs {
        // Here they are modules, whose tests call their functions.
        let program = program.replace("pub(crate) ", "");
        assert!(readme.contains(&program), "not in the README:\n{program}");
    }
}
