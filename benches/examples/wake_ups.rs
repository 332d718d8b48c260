//! How long a wake-up from another CPU takes, in microseconds: of a plain thread, with and without
//! `SCHED_IDLE` loops on both CPUs, and of a task of Evenkeel's beside CPU jobs.
//!
//! `kernels/boot.sh` runs it on other kernels than this machine's. It needs two CPUs.

use std::hint::black_box;
use std::net::UdpSocket as StdUdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel::net::UdpSocket;
use evenkeel::runtime::{Builder, Pinning, Runtime, Tuning};
use evenkeel::task::JoinHandle;
use evenkeel_topology::{ComputePriority, allowed_cpus, kick, lower_current_thread};
use evenkeel_topology::{pin_current_thread, prepare_kicks};
use tokio::sync::mpsc;

const WAKE_UPS: usize = 1_000;

/// Between two wake-ups: long enough for the thread to sleep again, and in no step with a tick.
const PAUSE: Duration = Duration::from_micros(2_130);

/// So many CPU jobs at a time, of this length.
const JOBS: usize = 8;
const JOB: Duration = Duration::from_millis(20);

/// So many come before, where a runtime may kick: what it learns of the kernel, it learns then.
const WARM_UP: usize = 5_000;

fn main() {
    let cpus: Vec<_> = allowed_cpus().iter().collect();
    let [near, .., far] = cpus[..] else {
        eprintln!("wake_ups: this needs two CPUs");
        std::process::exit(1);
    };
    println!(
        "{:<44} {:>8} {:>8} {:>8}",
        "wake-ups, us", "p50", "p90", "p99"
    );
    print(
        "a thread, alone",
        &of_thread(near, far, Beside::Nothing, false),
    );
    print(
        "beside SCHED_IDLE loops",
        &of_thread(near, far, Beside::Idle, false),
    );
    if prepare_kicks() {
        print(
            "the same, kicked",
            &of_thread(near, far, Beside::Idle, true),
        );
    } else {
        println!("the same, kicked: refused by the system");
    }
    let never = |woken, jobs| of_task(far, woken, jobs, false).0;
    print("a task, by a thread, alone", &never(by_thread, 0));
    print("beside CPU jobs, never kicked", &never(by_thread, JOBS));
    let kicked = |woken| of_task(far, woken, JOBS, true);
    let (times, kicks) = kicked(by_thread);
    print("beside CPU jobs", &times);
    print("a task, by a socket, alone", &never(by_kernel, 0));
    print("beside CPU jobs, never in naps", &never(by_kernel, JOBS));
    let (times, kicks_there) = kicked(by_kernel);
    print("beside CPU jobs", &times);
    println!("kicks: {kicks} and {kicks_there}");
}

fn print(name: &str, times: &[Duration]) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize].as_micros();
    println!("{name:<44} {:>8} {:>8} {:>8}", at(0.5), at(0.9), at(0.99));
}

enum Beside {
    Nothing,
    Idle,
}

/// A thread on CPU `near` is woken from `far`.
fn of_thread(near: usize, far: usize, beside: Beside, is_kicked: bool) -> Vec<Duration> {
    let (start, sent_ns) = (Instant::now(), AtomicU64::new(0));
    let end = AtomicBool::new(false);
    let (sent_ns, end) = (&sent_ns, &end);
    thread::scope(|scope| {
        // Also where the waker is: its CPU would else be idle, and then looks for threads that wait
        // elsewhere.
        let loops = match beside {
            Beside::Nothing => &[][..],
            Beside::Idle => &[near, far],
        };
        for &cpu in loops {
            scope.spawn(move || idle_loop(cpu, end));
        }
        let sleeper = scope.spawn(move || {
            pin(near);
            let mut times = Vec::with_capacity(WAKE_UPS);
            while times.len() < WAKE_UPS {
                thread::park();
                // Zero: woken for no reason.
                let sent = sent_ns.swap(0, Ordering::Relaxed);
                if sent != 0 {
                    times.push(start.elapsed() - Duration::from_nanos(sent));
                }
            }
            times
        });
        scope
            .spawn(move || {
                pin(far);
                while !sleeper.is_finished() {
                    thread::sleep(PAUSE);
                    sent_ns.store(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
                    sleeper.thread().unpark();
                    if is_kicked {
                        kick(near);
                    }
                }
                end.store(true, Ordering::Relaxed);
                sleeper.join().expect("the thread that is woken")
            })
            .join()
            .expect("the thread that wakes it")
    })
}

fn idle_loop(cpu: usize, end: &AtomicBool) {
    pin(cpu);
    lower_current_thread(ComputePriority::Idle);
    while !end.load(Ordering::Relaxed) {
        black_box(());
    }
}

/// A task that takes so many wake-ups and says how long each took, and what wakes it.
type Woken = (JoinHandle<Vec<Duration>>, Box<dyn FnMut() + Send>);

/// By a thread, with a channel.
fn by_thread(runtime: &Runtime, wake_ups: usize) -> Woken {
    let (send, mut receive) = mpsc::channel::<Instant>(1);
    let task = runtime.spawn(async move {
        let mut times = Vec::with_capacity(wake_ups);
        while times.len() < wake_ups {
            let sent = receive.recv().await.expect("the sender");
            times.push(sent.elapsed());
        }
        times
    });
    let wake = move || send.blocking_send(Instant::now()).expect("the task");
    (task, Box::new(wake))
}

/// By the kernel, with a datagram.
fn by_kernel(runtime: &Runtime, wake_ups: usize) -> Woken {
    let _entered = runtime.enter();
    let socket = StdUdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("an address");
    socket.set_nonblocking(true).expect("a socket of ours");
    let socket = UdpSocket::from_std(socket).expect("a place in the driver");
    let start = Instant::now();
    let task = runtime.spawn(async move {
        let mut times = Vec::with_capacity(wake_ups);
        while times.len() < wake_ups {
            let mut sent_ns = [0; 8];
            socket.recv(&mut sent_ns).await.expect("a datagram");
            times.push(start.elapsed() - Duration::from_nanos(u64::from_le_bytes(sent_ns)));
        }
        times
    });
    let sender = StdUdpSocket::bind("127.0.0.1:0").expect("another socket");
    let wake = move || {
        let sent_ns = (start.elapsed().as_nanos() as u64).to_le_bytes();
        sender.send_to(&sent_ns, address).expect("loopback");
    };
    (task, Box::new(wake))
}

/// A task, whose one worker is pinned to the first CPU, is woken from `far`. While there are jobs,
/// both of them compute. Also returns how often the runtime has kicked.
fn of_task(
    far: usize,
    woken: fn(&Runtime, usize) -> Woken,
    jobs: usize,
    may_kick: bool,
) -> (Vec<Duration>, u64) {
    let runtime = runtime(may_kick);
    for _ in 0..jobs {
        runtime.spawn(async { while evenkeel::spawn_compute(job).await.is_ok() {} });
    }
    let warm_up = if may_kick { WARM_UP } else { 0 };
    let wake_ups = warm_up + WAKE_UPS;
    let (task, mut wake) = woken(&runtime, wake_ups);
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        if jobs > 0 {
            scope.spawn(|| idle_loop(far, &end));
        }
        scope.spawn(|| {
            pin(far);
            for _ in 0..wake_ups {
                thread::sleep(PAUSE);
                wake();
            }
            end.store(true, Ordering::Relaxed);
        });
    });
    let mut times = runtime.block_on(task).expect("the task");
    times.drain(..warm_up);
    (times, runtime.metrics().wake_up_kicks())
}

fn runtime(may_kick: bool) -> Runtime {
    let mut tuning = Tuning::default();
    if !may_kick {
        tuning.switch_off("kick");
    }
    let mut builder = Builder::new();
    builder.worker_threads(1).compute_threads(1);
    builder.pinning(Pinning::PerCore).tuning(tuning);
    builder.build().expect("a runtime")
}

fn pin(cpu: usize) {
    assert!(pin_current_thread(cpu), "CPU {cpu} is refused");
}

fn job() {
    let start = Instant::now();
    while start.elapsed() < JOB {
        black_box(());
    }
}
