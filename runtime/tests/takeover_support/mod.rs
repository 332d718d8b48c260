//! What the tests of takeovers share.
#![allow(dead_code, reason = "each test binary uses its own part")]

use crate::support::{Gate, foreign_block_on, until, watchdog_of};
use evenkeel::net::UnixStream;
use evenkeel::runtime::{Builder, ComputePriority, Runtime, RuntimeMetrics, TakeoverPolicy};
use evenkeel::task::{JoinHandle, yield_now};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How code keeps its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    Computes,
    Blocks,
}

impl Stuck {
    pub(crate) const ALL: [Stuck; 2] = [Stuck::Computes, Stuck::Blocks];

    /// Keeps the calling thread until then.
    pub(crate) fn until(self, end: &End) {
        match self {
            Stuck::Computes => {
                while !end.has_come() {
                    std::hint::spin_loop();
                }
            }
            Stuck::Blocks => end.gate.block(),
        }
    }

    /// Keeps the calling thread, which has the only worker's seat, until that was taken: somebody
    /// else has run what was in its LIFO slot. (The metrics would not do: it may have been taken
    /// already, on a busy machine.)
    pub(crate) fn until_taken_over(self) {
        let end = End::new();
        let comes = end.clone();
        evenkeel::spawn(async move { comes.come() });
        self.until(&end);
    }

    /// One of the [`strikes`](Stuck::strikes), on the one worker there is.
    pub(crate) fn strike(self) {
        self.until_taken_over();
        if self == Stuck::Computes {
            // Enough to count.
            burn(Duration::from_millis(10));
        }
    }

    /// Keeps the thread for some multiple of the time: at least so long, of its own kind.
    pub(crate) fn keep(self, time: Duration) {
        match self {
            Stuck::Computes => burn(time),
            Stuck::Blocks => thread::sleep(time),
        }
    }

    /// So many polls in a row move a task that yields in between.
    pub(crate) fn strikes(self) -> u64 {
        match self {
            Stuck::Computes => 3,
            Stuck::Blocks => 2,
        }
    }

    /// Part of the name of a thread where a task belongs that is like this.
    pub(crate) fn lane(self) -> &'static str {
        match self {
            Stuck::Computes => "-cpu-",
            Stuck::Blocks => "-blk-",
        }
    }
}

/// Uses so much CPU time on the calling thread.
pub(crate) fn burn(time: Duration) {
    let begin = cpu_time();
    while cpu_time() - begin < time {
        std::hint::black_box((0..1_000_u64).fold(1_u64, |sum, i| sum.wrapping_mul(31) ^ i));
    }
}

pub(crate) fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec that outlives the call.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(outcome, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Something that those who are stuck wait for. A [`Gate`] that can be looked at without a lock,
/// which a thread of low priority might hold for long.
#[derive(Clone, Default)]
pub(crate) struct End {
    come: Arc<AtomicBool>,
    gate: Gate,
}

impl End {
    pub(crate) fn new() -> End {
        End::default()
    }

    pub(crate) fn come(&self) {
        self.come.store(true, Ordering::SeqCst);
        self.gate.open();
    }

    pub(crate) fn has_come(&self) -> bool {
        self.come.load(Ordering::SeqCst)
    }
}

/// Makes an end come when it is dropped.
pub(crate) struct EndOnDrop(pub(crate) End);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.come();
    }
}

/// Runs `body` with a runtime of the builder, under a watchdog that dumps it.
#[track_caller]
pub(crate) fn on<R: Send + 'static>(
    mut builder: Builder,
    body: impl FnOnce(Runtime) -> R + Send + 'static,
) -> R {
    watchdog_of(thread::Builder::new(), move |handles| {
        let runtime = builder.build().expect("a runtime");
        let _ = handles.send(runtime.handle().clone());
        body(runtime)
    })
}

pub(crate) fn builder_with(workers: usize, policy: TakeoverPolicy) -> Builder {
    let mut builder = crate::support::builder(workers);
    builder.takeover(policy);
    builder
}

/// Workers are replaced after so long, and not by default's millisecond.
pub(crate) fn builder_after(workers: usize, after: Duration) -> Builder {
    let policy = TakeoverPolicy {
        after,
        ..TakeoverPolicy::default()
    };
    builder_with(workers, policy)
}

/// No task is moved elsewhere.
pub(crate) fn builder_without_own_lanes(workers: usize) -> Builder {
    let policy = TakeoverPolicy {
        own_lane: false,
        ..TakeoverPolicy::default()
    };
    builder_with(workers, policy)
}

/// Waits until no thread is in a poll that was taken over, nor in `block_in_place`.
pub(crate) fn until_nobody_is_displaced(metrics: &RuntimeMetrics) {
    until(|| metrics.num_displaced_threads() == 0);
}

/// How many threads the process has.
#[cfg(target_os = "linux")]
pub(crate) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// The same after the first task, once the thread is there that it has made: that of tokio's
/// context, which the driver thread starts when it next looks, and that stays.
#[cfg(target_os = "linux")]
pub(crate) fn threads_after_first_task(runtime: &Runtime) -> usize {
    foreign_block_on(runtime.spawn(async {})).unwrap();
    until(|| has_thread_of_tokio() || !cfg!(feature = "tokio-rt"));
    threads()
}

#[cfg(target_os = "linux")]
fn has_thread_of_tokio() -> bool {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names = threads.filter_map(|thread| {
        // It may have ended.
        std::fs::read_to_string(thread.ok()?.path().join("comm")).ok()
    });
    names
        .into_iter()
        .any(|name| name.trim_end().ends_with("-tokio"))
}

/// For both ways to be stuck: runs `body` on a runtime with one worker. No task is moved elsewhere.
#[track_caller]
pub(crate) fn each_way(body: impl Fn(Runtime, Stuck) + Copy + Send + 'static) {
    for how in Stuck::ALL {
        on(builder_without_own_lanes(1), move |runtime| {
            body(runtime, how)
        });
    }
}

/// Spawns as many tasks as there are workers, less `but`, and returns when all are in polls that
/// last until `end`.
pub(crate) fn stick_all_but(
    but: usize,
    runtime: &Runtime,
    how: Stuck,
    end: &End,
) -> Vec<JoinHandle<()>> {
    let workers = runtime.handle().worker_threads();
    (but..workers)
        .map(|_| {
            let (begun, end) = (Gate::new(), end.clone());
            let inside = begun.clone();
            let task = runtime.spawn(async move {
                inside.open();
                how.until(&end);
            });
            begun.block();
            task
        })
        .collect()
}

/// For a poll in a shutdown: waits until that has cancelled `never`, which opens the gate. What the
/// poll spawns then is cancelled at once.
pub(crate) fn assert_spawns_are_cancelled_after(never: JoinHandle<()>, cancelled: &Gate) {
    cancelled.block();
    assert!(foreign_block_on(never).unwrap_err().is_cancelled());
    let spawned = foreign_block_on(evenkeel::spawn(async {}));
    assert!(spawned.unwrap_err().is_cancelled());
}

pub(crate) fn join_all(tasks: Vec<JoinHandle<()>>) {
    tasks
        .into_iter()
        .for_each(|task| foreign_block_on(task).unwrap());
}

/// So long may a poll take in tests in which it matters *how* a task is stuck: what it does besides
/// takes less, on any machine.
pub(crate) const AFTER: Duration = Duration::from_millis(4);

/// A runtime with one worker, so that each takeover is of the one poll there is.
pub(crate) fn own_lane_builder() -> Builder {
    let mut builder = builder_after(1, AFTER);
    // Else what computes gets next to nothing on a machine that is busy with something else.
    builder.compute_priority(ComputePriority::Normal);
    builder
}

pub(crate) fn is_on(lane: &str) -> bool {
    crate::support::thread_name().contains(lane)
}

/// Behaves as tasks do that belong elsewhere, until it is polled there.
pub(crate) async fn move_to_own_lane(how: Stuck) {
    while !is_on(how.lane()) {
        how.strike();
        yield_now().await;
    }
}

/// Makes this poll a long one, so that the task stays where it is.
pub(crate) fn stay(how: Stuck) {
    how.keep(2 * AFTER);
}

pub(crate) async fn write_byte(stream: &UnixStream, byte: u8) {
    stream.writable().await.unwrap();
    assert_eq!(stream.try_write(&[byte]).unwrap(), 1);
}

pub(crate) async fn read_byte(stream: &UnixStream) -> u8 {
    loop {
        let mut byte = [0];
        stream.readable().await.unwrap();
        match stream.try_read(&mut byte) {
            Ok(bytes) => {
                assert_eq!(bytes, 1);
                return byte[0];
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

/// Sends so many bytes to another task and back, one after another.
pub(crate) async fn echo_bytes(count: u8) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let echo = evenkeel::spawn(async move {
        for _ in 0..count {
            let byte = read_byte(&theirs).await;
            write_byte(&theirs, byte).await;
        }
    });
    for i in 0..count {
        write_byte(&ours, i).await;
        assert_eq!(read_byte(&ours).await, i);
    }
    echo.await.unwrap();
}
