//! Signals that hit the threads of a runtime, with handlers that have no `SA_RESTART`.
#![cfg(target_os = "linux")]

mod net_support;
mod support;

use std::io;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{scope, sleep, yield_now};
use std::time::Duration;

use evenkeel::net::UnixDatagram;

const SENDERS: usize = 8;
const SENDS: usize = 20_000;

extern "C" fn ignore(_: libc::c_int) {}

fn install_handler() {
    let mut action: libc::sigaction = {
        // SAFETY: a `sigaction` is plain memory, and zeroes are a valid one.
        unsafe { std::mem::zeroed() }
    };
    action.sa_sigaction = ignore as *const () as libc::sighandler_t;
    // SAFETY: the handler does nothing, and `action` outlives the call.
    let outcome = unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) };
    assert_eq!(outcome, 0);
}

fn signal_every_other_thread() {
    // SAFETY: it takes nothing and cannot fail.
    let own = unsafe { libc::gettid() };
    let process = std::process::id();
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let name = thread.unwrap().file_name();
        let thread: libc::pid_t = name.to_str().unwrap().parse().unwrap();
        if thread != own {
            // SAFETY: it takes numbers only; a thread that is gone is an error.
            unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR1) };
        }
    }
}

#[test]
fn a_signal_is_no_error_of_who_waits_for_a_full_receiver() {
    install_handler();
    let path = std::env::temp_dir().join(format!("evenkeel-signals-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let receiver = StdDatagram::bind(&path).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let failed = scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                signal_every_other_thread();
                sleep(Duration::from_micros(100));
            }
        });
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if receiver.recv(&mut [0]).is_err() {
                    yield_now();
                }
            }
        });
        let (send, results) = channel();
        let (path, done) = (path.clone(), done.clone());
        net_support::run(async move {
            let tasks = [(); SENDERS].map(|()| evenkeel::spawn(send_many(path.clone())));
            for task in tasks {
                send.send(task.await.unwrap()).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        results.iter().find_map(Result::err)
    });
    std::fs::remove_file(&path).unwrap();
    assert!(failed.is_none(), "{failed:?}");
}

async fn send_many(path: PathBuf) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    for _ in 0..SENDS {
        socket.send_to(b"x", &path).await?;
    }
    Ok(())
}
