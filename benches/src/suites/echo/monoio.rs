//! The server on monoio: a runtime and a listener per CPU, and the kernel hands each connection to
//! one of them.

use std::io;
use std::net::Ipv4Addr;
use std::sync::mpsc::{self, Sender};
use std::thread;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{FusionDriver, RuntimeBuilder};

use super::BUFFER_BYTES;

/// Serves until the process ends, and returns the port.
pub(super) fn serve() -> Result<u16, String> {
    start().map_err(|error| error.to_string())
}

fn start() -> io::Result<u16> {
    // On epoll, which it takes then, it would be another contender.
    if !monoio::utils::detect_uring() {
        return Err(io::Error::other("io_uring is not available here"));
    }
    let mut port = 0;
    for _ in 0..thread::available_parallelism()?.get() {
        let (bound, port_bound) = mpsc::channel();
        thread::spawn(
            move || match RuntimeBuilder::<FusionDriver>::new().build() {
                Ok(mut runtime) => runtime.block_on(accept(port, bound)),
                Err(error) => drop(bound.send(Err(error))),
            },
        );
        port = port_bound.recv().map_err(io::Error::other)??;
    }
    Ok(port)
}

async fn accept(port: u16, bound: Sender<io::Result<u16>>) {
    // Its default has SO_REUSEPORT, so every thread can bind the port that the first has got.
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => listener,
        Err(error) => return drop(bound.send(Err(error))),
    };
    let _ = bound.send(listener.local_addr().map(|address| address.port()));
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).expect("set_nodelay");
        monoio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) {
    // Its length is what has been read, its capacity what can be.
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let (read, bytes) = stream.read(buffer).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let (written, bytes) = stream.write_all(bytes).await;
        if written.is_err() {
            return;
        }
        buffer = bytes;
    }
}
