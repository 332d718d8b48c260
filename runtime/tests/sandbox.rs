//! A runtime in a sandbox that refuses what it asks of the kernel for speed: it then makes do
//! without pins, low priority and expedited fences, and everything works.
//!
//! Whether fences are expedited is found out once in a process, hence a binary of its own.

#![cfg(target_os = "linux")]

mod support;

use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::runtime::{Builder, ComputePriority, Pinning, Runtime};
use evenkeel::time::sleep;
use std::ffi::{c_long, c_ulong};
use std::io;
use std::thread;
use std::time::Duration;
use support::{Gate, assert_all_workers_work, cpus_allowed, foreign_block_on, watchdog_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Nothing that a program cannot do without.
const REFUSED: [c_long; 12] = [
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_sched_getattr,
    libc::SYS_setpriority,
    libc::SYS_getpriority,
    libc::SYS_membarrier,
    libc::SYS_epoll_pwait2,
    libc::SYS_getcpu,
    libc::SYS_prctl,
];

/// From now on the kernel refuses these calls to the calling thread, and to those that it starts,
/// with `errno`. An error where the sandbox around this test allows no other in it.
fn refuse(calls: &[c_long], errno: i32) -> io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    // The number of the call is the first field of what a filter is given.
    let mut filter = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for &call in calls {
        filter.push(libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32)
        });
        let refused = libc::SECCOMP_RET_ERRNO | errno as u32;
        filter.push(statement(libc::BPF_RET | libc::BPF_K, refused));
    }
    filter.push(statement(
        libc::BPF_RET | libc::BPF_K,
        libc::SECCOMP_RET_ALLOW,
    ));
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    let (yes, no): (c_ulong, c_ulong) = (1, 0);
    // SAFETY: no pointers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, no, no, no) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mode = c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: `program` and the filter that it points to outlive the call, which only reads them.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Runs `body` on a thread to which these calls are refused.
fn in_a_sandbox(errno: i32, body: impl FnOnce(&Runtime) + Send + 'static) {
    watchdog_of(thread::Builder::new(), move |handles| {
        if let Err(error) = refuse(&REFUSED, errno) {
            return println!("skipped: no sandbox can be made here: {error}");
        }
        // SAFETY: no pointers.
        let result = unsafe { libc::syscall(libc::SYS_membarrier, 0, 0, 0) };
        assert_eq!(result, -1, "the sandbox refuses what it should");
        let mut builder = Builder::new();
        builder.worker_threads(2).compute_threads(2);
        builder.pinning(Pinning::PerCore);
        let runtime = builder.build().expect("a runtime");
        let _ = handles.send(runtime.handle().clone());
        body(&runtime);
    });
}

fn everything_works(runtime: &Runtime) {
    assert_all_workers_work(runtime.handle());
    let priority = runtime.handle().compute_priority();
    assert_eq!(priority, ComputePriority::Normal, "what is in force");
    let process = cpus_allowed();
    runtime.block_on(async {
        sleep(Duration::from_millis(1)).await;
        let cpus = evenkeel::spawn_compute(cpus_allowed).await.unwrap();
        assert_eq!(cpus, process, "nobody is pinned");
        echo().await.unwrap();
        evenkeel::spawn_blocking(|| ()).await.unwrap();
    });
    no_worker_is_stuck(runtime);
}

async fn echo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = evenkeel::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut message = [0; 5];
        stream.read_exact(&mut message).await?;
        stream.write_all(&message).await
    });
    let mut client = TcpStream::connect(address).await?;
    client.write_all(b"hello").await?;
    let mut answer = [0; 5];
    client.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"hello");
    server.await.unwrap()
}

/// More tasks block than there are workers, and one more gets on: the workers are replaced, for
/// which fences are needed.
fn no_worker_is_stuck(runtime: &Runtime) {
    let end = Gate::new();
    let blocked: Vec<_> = (0..4)
        .map(|_| {
            let end = end.clone();
            runtime.spawn(async move { end.block() })
        })
        .collect();
    foreign_block_on(runtime.spawn(async {})).unwrap();
    end.open();
    for task in blocked {
        foreign_block_on(task).unwrap();
    }
}

#[test]
fn a_sandbox_that_refuses_with_eperm() {
    in_a_sandbox(libc::EPERM, everything_works);
}

#[test]
fn a_sandbox_that_knows_no_such_calls() {
    in_a_sandbox(libc::ENOSYS, everything_works);
}
