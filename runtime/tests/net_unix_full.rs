//! Sending datagrams to Unix sockets whose queues are full.
#![cfg(target_os = "linux")]

mod net_support;
mod support;

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel::net::UnixDatagram;
use net_support::run;
use socket2::SockRef;

/// A bound socket of the standard library; its file is gone when this is dropped.
struct Receiver {
    socket: StdDatagram,
    path: PathBuf,
}

impl Receiver {
    fn new() -> Receiver {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("evenkeel-full-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let socket = StdDatagram::bind(&path).unwrap();
        Receiver { socket, path }
    }

    /// One that is full, and how many datagrams it has.
    fn full() -> (Receiver, usize) {
        let receiver = Receiver::new();
        let filler = StdDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while filler.send_to(b"filler", &receiver.path).is_ok() {
            sent += 1;
        }
        (receiver, sent)
    }

    fn receive(&self, expected: &[u8]) {
        let mut buf = [0; 16];
        let n = self.socket.recv(&mut buf).unwrap();
        assert_eq!(&buf[..n], expected);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// `future` in a task, and how often it was polled.
fn spawn_counted<F>(future: F) -> (evenkeel::task::JoinHandle<F::Output>, Arc<AtomicUsize>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let polls = Arc::new(AtomicUsize::new(0));
    let count = polls.clone();
    let mut future = Box::pin(future);
    let task = evenkeel::spawn(poll_fn(move |cx| {
        count.fetch_add(1, Ordering::SeqCst);
        future.as_mut().poll(cx)
    }));
    (task, polls)
}

/// A hundred turns of the driver and of tasks.
async fn let_others_run() {
    let (left, right) = UnixDatagram::pair().unwrap();
    let echo = evenkeel::spawn(async move {
        for _ in 0..100 {
            right.recv(&mut [0]).await.unwrap();
            right.send(b"x").await.unwrap();
        }
    });
    for _ in 0..100 {
        left.send(b"x").await.unwrap();
        left.recv(&mut [0]).await.unwrap();
    }
    echo.await.unwrap();
}

/// By each way of sending that waits.
type Way = fn(Arc<UnixDatagram>, PathBuf) -> Sending;
type Sending = Pin<Box<dyn Future<Output = io::Result<usize>> + Send>>;

const WAYS: [Way; 2] = [
    |socket, path| Box::pin(async move { socket.send_to(b"x", path).await }),
    |socket, path| {
        Box::pin(async move { poll_fn(|cx| socket.poll_send_to(cx, b"x", &path)).await })
    },
];

fn unbound() -> Arc<UnixDatagram> {
    Arc::new(UnixDatagram::unbound().unwrap())
}

async fn assert_waits(polls: &AtomicUsize) {
    let_others_run().await;
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls < 10, "polled {polls} times while there was no room");
}

#[test]
fn a_sender_waits_for_a_full_receiver_and_goes_on_when_it_reads() {
    run(async {
        for send in WAYS {
            let (receiver, fillers) = Receiver::full();
            let (sends, polls) = spawn_counted(send(unbound(), receiver.path.clone()));
            assert_waits(&polls).await;
            receiver.receive(b"filler");
            assert_eq!(sends.await.unwrap().unwrap(), 1);
            (1..fillers).for_each(|_| receiver.receive(b"filler"));
            receiver.receive(b"x");
        }
    });
}

#[test]
fn a_receiver_that_goes_away_is_an_error_of_who_waits_for_it() {
    run(async {
        for send in WAYS {
            let (receiver, _) = Receiver::full();
            let (sends, polls) = spawn_counted(send(unbound(), receiver.path.clone()));
            assert_waits(&polls).await;
            drop(receiver);
            let error = sends.await.unwrap().unwrap_err();
            let gone = [ErrorKind::ConnectionRefused, ErrorKind::NotFound];
            assert!(gone.contains(&error.kind()), "{error}");
        }
    });
}

#[test]
fn many_senders_of_one_socket_wait_for_a_full_receiver() {
    run(async {
        let (receiver, fillers) = Receiver::full();
        let socket = unbound();
        let senders: Vec<_> = (0..20)
            .map(|_| spawn_counted(WAYS[0](socket.clone(), receiver.path.clone())))
            .collect();
        for (_, polls) in &senders {
            assert_waits(polls).await;
        }
        let reads = evenkeel::spawn_blocking(move || {
            (0..fillers).for_each(|_| receiver.receive(b"filler"));
            (0..20).for_each(|_| receiver.receive(b"x"));
        });
        for (sender, _) in senders {
            assert_eq!(sender.await.unwrap().unwrap(), 1);
        }
        reads.await.unwrap();
    });
}

#[test]
fn a_full_receiver_is_in_nobody_elses_way() {
    run(async {
        let (full, _) = Receiver::full();
        let free = Receiver::new();
        let socket = unbound();
        // The one it is connected to is full, and so is one that a task waits for.
        let (other, _) = Receiver::full();
        socket.connect(&other.path).unwrap();
        let (waits, polls) = spawn_counted(WAYS[0](socket.clone(), full.path.clone()));
        assert_waits(&polls).await;
        for send in WAYS {
            assert_eq!(send(socket.clone(), free.path.clone()).await.unwrap(), 1);
            free.receive(b"x");
        }
        // Neither does a call that is not repeated leave anything behind for the next one.
        let path: &Path = &full.path;
        let pending = poll_fn(|cx| std::task::Poll::Ready(socket.poll_send_to(cx, b"x", path)));
        assert!(pending.await.is_pending());
        let send = poll_fn(|cx| socket.poll_send_to(cx, b"x", &free.path));
        assert_eq!(send.await.unwrap(), 1);
        free.receive(b"x");
        full.receive(b"filler");
        assert_eq!(waits.await.unwrap().unwrap(), 1);
    });
}

#[test]
fn trying_says_that_it_would_block() {
    run(async {
        let (receiver, _) = Receiver::full();
        let socket = unbound();
        socket.writable().await.unwrap();
        for _ in 0..3 {
            let error = socket.try_send_to(b"x", &receiver.path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
        receiver.receive(b"filler");
        socket.writable().await.unwrap();
        assert_eq!(socket.try_send_to(b"x", &receiver.path).unwrap(), 1);
    });
}

/// As when a service is started anew, under load, while its clients wait for the old one.
#[test]
fn a_full_receiver_in_the_place_of_another_is_waited_for() {
    run(async {
        for send in WAYS {
            let (old, _) = Receiver::full();
            let (new, fillers) = Receiver::full();
            let (sends, polls) = spawn_counted(send(unbound(), old.path.clone()));
            assert_waits(&polls).await;
            std::fs::rename(&new.path, &old.path).unwrap();
            old.receive(b"filler");
            assert_waits(&polls).await;
            (0..fillers).for_each(|_| new.receive(b"filler"));
            assert_eq!(sends.await.unwrap().unwrap(), 1);
            new.receive(b"x");
        }
    });
}

/// Here it is the sender's own buffer that is full.
#[test]
fn a_sender_with_a_full_buffer_waits_and_goes_on() {
    run(async {
        for way in 0..WAYS.len() {
            let receiver = Receiver::new();
            let socket = unbound();
            SockRef::from(&*socket).set_send_buffer_size(1).unwrap();
            socket.writable().await.unwrap();
            let mut sent = 0;
            while socket.try_send_to(&[0; 1500], &receiver.path).is_ok() {
                sent += 1;
            }
            // Fewer than the queue has room for.
            assert!((1..10).contains(&sent), "{sent} fit into the buffer");
            let (sends, polls) = spawn_counted(send_large(way, socket, receiver.path.clone()));
            assert_waits(&polls).await;
            for _ in 0..=sent {
                assert_eq!(receiver.socket.recv(&mut [0; 2000]).unwrap(), 1500);
            }
            assert_eq!(sends.await.unwrap().unwrap(), 1500);
        }
    });
}

fn send_large(way: usize, socket: Arc<UnixDatagram>, path: PathBuf) -> Sending {
    Box::pin(async move {
        let datagram = [0; 1500];
        match way {
            0 => socket.send_to(&datagram, path).await,
            _ => poll_fn(|cx| socket.poll_send_to(cx, &datagram, &path)).await,
        }
    })
}
