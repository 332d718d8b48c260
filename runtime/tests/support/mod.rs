//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses its own part")]

use evenkeel::runtime::{Builder, Handle, Pinning, Runtime};
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// Longer than anything takes on a machine that is merely busy. `EVENKEEL_TEST_LIMIT_SECS` sets
/// another.
fn limit() -> Duration {
    let secs = std::env::var("EVENKEEL_TEST_LIMIT_SECS")
        .ok()
        .and_then(|secs| secs.parse().ok());
    Duration::from_secs(secs.unwrap_or(60))
}

/// Runs `body` on a thread of its own, and panics if it has not ended after a minute.
#[track_caller]
pub(crate) fn watchdog<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    watchdog_of(thread::Builder::new(), |_| body())
}

/// As [`watchdog`]; a runtime whose handle the body sends is dumped when time is over.
#[track_caller]
pub(crate) fn watchdog_of<R: Send + 'static>(
    thread: thread::Builder,
    body: impl FnOnce(&mpsc::Sender<Handle>) -> R + Send + 'static,
) -> R {
    let (handle_out, handle_in) = mpsc::channel::<Handle>();
    let (ended, end) = mpsc::channel::<()>();
    let thread = thread
        .spawn(move || {
            let _ended = ended;
            body(&handle_out)
        })
        .expect("a thread for the test");
    if let Err(mpsc::RecvTimeoutError::Timeout) = end.recv_timeout(limit()) {
        // The runtime made last is the one that is stuck.
        let dump = handle_in
            .try_iter()
            .last()
            .map(|handle| format!("\n{}", handle.dump()));
        panic!(
            "the test has made no end within {:?}{}",
            limit(),
            dump.unwrap_or_default()
        );
    }
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Two workers, not pinned: many tests run at the same time.
pub(crate) fn runtime() -> Runtime {
    runtime_with(2)
}

pub(crate) fn runtime_with(workers: usize) -> Runtime {
    builder(workers).build().expect("a runtime")
}

pub(crate) fn builder(workers: usize) -> Builder {
    let mut builder = Builder::new();
    builder.worker_threads(workers).pinning(Pinning::None);
    builder
}

/// As [`watchdog`], on a runtime; says what every thread of it was doing when time was over.
#[track_caller]
pub(crate) fn on_runtime<R: Send + 'static>(
    workers: usize,
    body: impl FnOnce(&Runtime) -> R + Send + 'static,
) -> R {
    on_built(builder(workers), body)
}

/// As [`on_runtime`], of the builder's.
#[track_caller]
pub(crate) fn on_built<R: Send + 'static>(
    mut builder: Builder,
    body: impl FnOnce(&Runtime) -> R + Send + 'static,
) -> R {
    watchdog_of(thread::Builder::new(), move |handles| {
        let runtime = builder.build().expect("a runtime");
        let _ = handles.send(runtime.handle().clone());
        body(&runtime)
    })
}

/// As [`on_runtime`], in `block_on`.
#[track_caller]
pub(crate) fn in_block_on<F: Future>(workers: usize, body: impl FnOnce() -> F + Send + 'static)
where
    F::Output: Send + 'static,
{
    on_runtime(workers, |runtime| {
        runtime.block_on(async { body().await });
    });
}

/// Something that happens once, and that tasks and threads can wait for.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<GateInner>);

#[derive(Default)]
struct GateInner {
    state: Mutex<(bool, Vec<Waker>)>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate::default()
    }

    pub(crate) fn open(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.0 = true;
        let wakers = std::mem::take(&mut state.1);
        drop(state);
        self.0.opened.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.state.lock().unwrap().0
    }

    /// Waits on the calling thread.
    pub(crate) fn block(&self) {
        let mut state = self.0.state.lock().unwrap();
        while !state.0 {
            state = self.0.opened.wait(state).unwrap();
        }
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut state = self.0.state.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(waker);
            Poll::Pending
        })
        .await;
    }
}

/// Opens a gate when it is dropped.
pub(crate) struct OpenOnDrop(pub(crate) Gate);

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Counts how many of its clones live.
#[derive(Debug, Default)]
pub(crate) struct Live(Arc<AtomicUsize>);

impl Live {
    pub(crate) fn new() -> Live {
        Live(Arc::new(AtomicUsize::new(1)))
    }

    /// The number of clones, without this one.
    pub(crate) fn others(&self) -> usize {
        self.0.load(Ordering::SeqCst) - 1
    }
}

impl Clone for Live {
    fn clone(&self) -> Live {
        self.0.fetch_add(1, Ordering::SeqCst);
        Live(self.0.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Another executor: drives the future on this thread, knowing nothing of Evenkeel.
pub(crate) fn foreign_block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Runs `future`, and counts its polls.
pub(crate) async fn count_polls<T>(future: impl Future<Output = T>) -> (T, usize) {
    let mut future = pin!(future);
    let mut polls = 0;
    let output = poll_fn(|cx| {
        polls += 1;
        future.as_mut().poll(cx)
    })
    .await;
    (output, polls)
}

/// Polls once with the waker of the task that awaits this; true if it was ready.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Looks again and again until it is so; the watchdog is the limit.
pub(crate) fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Ends only if all workers of both lanes are there: as many tasks as workers wait for each other.
pub(crate) fn assert_all_workers_work(handle: &Handle) {
    let barrier = Arc::new(Barrier::new(handle.worker_threads()));
    let io: Vec<_> = (0..handle.worker_threads())
        .map(|_| {
            let barrier = barrier.clone();
            handle.spawn(async move {
                barrier.wait();
            })
        })
        .collect();
    let barrier = Arc::new(Barrier::new(handle.compute_threads()));
    let compute: Vec<_> = (0..handle.compute_threads())
        .map(|_| {
            let barrier = barrier.clone();
            handle.spawn_compute(move || {
                barrier.wait();
            })
        })
        .collect();
    let blocking = handle.spawn_blocking(|| ());
    for task in io.into_iter().chain(compute).chain([blocking]) {
        foreign_block_on(task).expect("a worker");
    }
}

pub(crate) fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// The scheduling policy of this thread: 0 is normal, 5 is SCHED_IDLE.
#[cfg(target_os = "linux")]
pub(crate) fn sched_policy() -> u32 {
    stat_field(41).parse().expect("a number")
}

/// The nice value of this thread.
#[cfg(target_os = "linux")]
pub(crate) fn nice() -> i32 {
    stat_field(19).parse().expect("a number")
}

/// A field of /proc/thread-self/stat, numbered as in proc_pid_stat(5).
#[cfg(target_os = "linux")]
fn stat_field(number: usize) -> String {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux");
    // The second field is the name, in parentheses, and may contain anything.
    let (_, rest) = stat.rsplit_once(") ").expect("a name");
    rest.split(' ')
        .nth(number - 3)
        .expect("as many fields")
        .to_owned()
}

/// The CPUs that this thread may run on, as the kernel writes them: "0-1".
#[cfg(target_os = "linux")]
pub(crate) fn cpus_allowed() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.expect("a list of CPUs").trim().to_owned()
}

/// A CPU that this process may run on.
#[cfg(target_os = "linux")]
pub(crate) fn some_cpu() -> usize {
    let digits: String = cpus_allowed()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().expect("a number")
}

/// Goes to the back of the queue at once, without `yield_now`.
pub(crate) async fn wake_self_once() {
    let mut woken = false;
    poll_fn(|cx| {
        if woken {
            return Poll::Ready(());
        }
        woken = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
