//! Names, and who waits for their look-up.

mod support;

use evenkeel::net::{TcpListener, TcpStream, UdpSocket, lookup_host};
use support::{Gate, builder, foreign_block_on, on_built};

/// Ends when every closure that the blocking pool has threads for waits for a look-up.
#[test]
fn closures_that_fill_the_blocking_pool_can_look_names_up() {
    let mut built = builder(2);
    built.max_blocking_threads(1);
    on_built(built, |runtime| {
        let listener = std::net::TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let handle = runtime.handle().clone();
        let job = runtime.spawn_blocking(move || {
            handle.block_on(async {
                TcpStream::connect(("localhost", port)).await.unwrap();
                TcpListener::bind("localhost:0").await.unwrap();
                let socket = UdpSocket::bind("localhost:0").await.unwrap();
                socket.send_to(b"x", ("localhost", port)).await.unwrap();
                lookup_host(("localhost", port)).await.unwrap().count()
            })
        });
        assert!(foreign_block_on(job).unwrap() > 0);
    });
}

/// Nor do they wait for closures that have nothing to do with them.
#[test]
fn names_are_looked_up_beside_closures_that_block() {
    let mut built = builder(2);
    built.max_blocking_threads(1);
    on_built(built, |runtime| {
        let gate = Gate::new();
        let blocks = gate.clone();
        let job = runtime.spawn_blocking(move || blocks.block());
        runtime.block_on(async {
            // More than there are threads for them.
            let look_ups: Vec<_> = (0..10)
                .map(|_| evenkeel::spawn(async { lookup_host("localhost:1").await.map(drop) }))
                .collect();
            for look_up in look_ups {
                look_up.await.unwrap().unwrap();
            }
        });
        gate.open();
        foreign_block_on(job).unwrap();
    });
}
