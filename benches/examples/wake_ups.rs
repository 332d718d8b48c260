//! How long a wake-up from another CPU takes, in microseconds: of a plain thread, with and without a
//! `SCHED_IDLE` loop on each CPU, and of a task of Evenkeel's beside CPU jobs.
//!
//! `kernels/boot.sh` runs it on other kernels than this machine's. It needs two CPUs.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel::runtime::{Builder, Pinning, Runtime, Tuning};
use evenkeel_topology::{ComputePriority, allowed_cpus, kick, lower_current_thread};
use evenkeel_topology::{pin_current_thread, prepare_kicks};
use tokio::sync::mpsc;

const WAKE_UPS: usize = 1_000;

/// Between two wake-ups: long enough for the thread to sleep again, and in no step with a tick.
const PAUSE: Duration = Duration::from_micros(2_130);

/// So many CPU jobs at a time, of this length.
const JOBS: usize = 8;
const JOB: Duration = Duration::from_millis(20);

/// For so long nothing is measured: what a runtime learns of the kernel, it learns then.
const WARM_UP: usize = 2_000;

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
    print("a task, alone", &of_task(far, 0, true).0);
    print(
        "a task beside CPU jobs, never kicked",
        &of_task(far, JOBS, false).0,
    );
    let (times, kicks) = of_task(far, JOBS, true);
    print("a task beside CPU jobs", &times);
    println!("kicks: {kicks}");
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
            scope.spawn(move || {
                pin(cpu);
                lower_current_thread(ComputePriority::Idle);
                while !end.load(Ordering::Relaxed) {
                    black_box(());
                }
            });
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

/// A task, whose worker is pinned to some other CPU, is woken from `far`. Also returns how often
/// the runtime has kicked.
fn of_task(far: usize, jobs: usize, may_kick: bool) -> (Vec<Duration>, u64) {
    let runtime = runtime(may_kick);
    for _ in 0..jobs {
        runtime.spawn(async { while evenkeel::spawn_compute(job).await.is_ok() {} });
    }
    let (send, mut receive) = mpsc::channel::<Instant>(1);
    let task = runtime.spawn(async move {
        let mut times = Vec::with_capacity(WAKE_UPS);
        let mut warm_up = WARM_UP;
        while let Some(sent) = receive.recv().await {
            let time = sent.elapsed();
            match warm_up.checked_sub(1) {
                Some(left) => warm_up = left,
                None => times.push(time),
            }
        }
        times
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(far);
            for _ in 0..WARM_UP + WAKE_UPS {
                thread::sleep(PAUSE);
                send.blocking_send(Instant::now()).expect("the task");
            }
            drop(send);
        });
    });
    let times = runtime.block_on(task).expect("the task");
    (times, runtime.metrics().wake_up_kicks())
}

fn runtime(may_kick: bool) -> Runtime {
    let mut tuning = Tuning::default();
    if !may_kick {
        tuning.switch_off("kick");
    }
    let mut builder = Builder::new();
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
