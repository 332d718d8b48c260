//! The suite `timers`: how many a second, and how late.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;

use crate::harness::{Bar, Case, Limit, Metric, Setup, Suite, Template, in_child};
use crate::histogram::Times;
use crate::runtimes::{self, On, Runtime, Workload};
use crate::sys;

pub(super) const SUITE: Suite = Suite::new("timers", "how many a second, and how late", |_| CASES);

const TIMERS: Template = Template {
    suite: "timers",
    measure: &in_child,
};

/// The cases, in the table's order.
const CASES: &[Case] = &[
    TIMERS.case(
        "set_cancel",
        "timers of 1 s to 60 s set and cancelled by a task per worker, 1,000 at a time each",
        &[Metric::new("rate", "M/s").higher_is_better()],
        On::<SetCancel>::ALL,
        &[Bar::new("rate", Limit::AtLeast(1.2, &["tokio", "smol"]))],
    ),
    TIMERS.case(
        "sleep_100us",
        "lateness of sleep(100 us), one after another, on an otherwise idle runtime",
        &[Metric::new("p50", "us"), Metric::new("p99", "us")],
        On::<Sleep100us>::ALL,
        &[Bar::new("p50", Limit::AtMost(1.2, &["smol"]))],
    ),
    TIMERS.case(
        "fire",
        "10,000 tasks, each with a timer somewhere in the window: lateness, CPU of each",
        &[
            Metric::new("p50", "us"),
            Metric::new("p99", "us"),
            Metric::new("cpu", "us"),
        ],
        On::<Fire>::ALL,
        &[],
    ),
];

/// So many timers a task has at a time.
const ALIVE: usize = 1000;
/// So many timers are set in one poll of the task. Fewer than tokio's budget of a poll, beyond
/// which its timers are not set.
const SET_IN_A_POLL: usize = 50;
/// Where the deadlines lie: timeouts, which hardly ever fire.
const DEADLINE_MIN: Duration = Duration::from_secs(1);
const DEADLINE_MAX: Duration = Duration::from_secs(60);

struct SetCancel;

impl Workload for SetCancel {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        Ok(vec![set_and_cancelled_per_s::<R>(setup)? / 1e6])
    }
}

/// How many timers a task per worker sets and cancels in a second, all together.
pub(super) fn set_and_cancelled_per_s<R: Runtime>(setup: &Setup) -> Result<f64, String> {
    let runtime = runtimes::start::<R>(&setup.options)?;
    let tasks = setup.options.workers();
    // It holds each task's worker until every task is on one.
    let start = Arc::new(Barrier::new(tasks));
    let rates: Vec<_> = (0..tasks)
        .map(|task| {
            let task = set_and_cancel::<R>(task as u64, Arc::clone(&start), setup.window);
            runtimes::spawn_for(runtime, task)
        })
        .collect();
    rates.iter().map(runtimes::wait).sum()
}

/// Returns how many timers it has set and cancelled in a second.
async fn set_and_cancel<R: Runtime>(seed: u64, start: Arc<Barrier>, window: Duration) -> f64 {
    let mut timers: Vec<Pin<Box<Option<R::Sleep>>>> = (0..ALIVE).map(|_| Box::pin(None)).collect();
    let step = (DEADLINE_MAX - DEADLINE_MIN) / ALIVE as u32;
    let delays: Vec<_> = shuffled(ALIVE, seed)
        .into_iter()
        .map(|index| DEADLINE_MIN + step * index as u32)
        .collect();
    let cancel_order = shuffled(ALIVE, !seed);

    start.wait();
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < window {
        for (timers, delays) in timers
            .chunks_mut(SET_IN_A_POLL)
            .zip(delays.chunks(SET_IN_A_POLL))
        {
            set::<R>(timers, delays).await;
            yield_now().await;
        }
        for &index in &cancel_order {
            timers[index].as_mut().set(None);
        }
        done += ALIVE;
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// Makes the timers, and polls each once.
async fn set<R: Runtime>(timers: &mut [Pin<Box<Option<R::Sleep>>>], delays: &[Duration]) {
    poll_fn(|cx| {
        for (timer, delay) in timers.iter_mut().zip(delays) {
            timer.as_mut().set(Some(R::sleep(*delay)));
            let timer = timer.as_mut().as_pin_mut().expect("set above");
            assert!(timer.poll(cx).is_pending(), "a timer has fired early");
        }
        Poll::Ready(())
    })
    .await;
}

/// How long the sleeps of `sleep_100us` are.
const SLEEP: Duration = Duration::from_micros(100);

struct Sleep100us;

impl Workload for Sleep100us {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let runtime = runtimes::start::<R>(&setup.options)?;
        let window = setup.window;
        let lateness = runtimes::wait(&runtimes::spawn_for(runtime, async move {
            let mut lateness = Times::new();
            let begin = Instant::now();
            while begin.elapsed() < window {
                let due = Instant::now() + SLEEP;
                R::sleep(SLEEP).await;
                lateness.record(due.elapsed());
            }
            lateness
        }))?;
        Ok(vec![lateness.us(0.5), lateness.us(0.99)])
    }
}

/// How many timers fire.
const TASKS: usize = 10_000;
/// The deadlines begin so long after the first task was spawned. All tasks have to be asleep by
/// then.
const LEAD: Duration = Duration::from_secs(1);
/// How late the last timer may be.
const GRACE: Duration = Duration::from_secs(10);

/// What the tasks of `fire` tell.
struct Fired {
    asleep: AtomicUsize,
    done: AtomicUsize,
    lateness_ns: Vec<AtomicU64>,
}

struct Fire;

impl Workload for Fire {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let runtime = runtimes::start::<R>(&setup.options)?;
        let fired = Arc::new(Fired {
            asleep: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            lateness_ns: (0..TASKS).map(|_| AtomicU64::new(0)).collect(),
        });
        let begin = Instant::now() + LEAD;
        let step = setup.window / TASKS as u32;
        for index in shuffled(TASKS, 0) {
            let due = begin + step * index as u32;
            R::detach(runtime.spawn(fire_once::<R>(index, due, Arc::clone(&fired))));
        }
        if !reaches(&fired.asleep, TASKS, begin) {
            return Err(format!("{TASKS} tasks were not spawned within {LEAD:?}"));
        }

        let cpu = sys::process_cpu_time();
        let end = begin + setup.window;
        thread::sleep(end.saturating_duration_since(Instant::now()));
        if !reaches(&fired.done, TASKS, end + GRACE) {
            return Err(format!("timers that did not fire within {GRACE:?}"));
        }
        let cpu_us = (sys::process_cpu_time() - cpu).as_secs_f64() * 1e6;
        let mut lateness = Times::new();
        for task in &fired.lateness_ns {
            lateness.record(Duration::from_nanos(task.load(Ordering::Relaxed)));
        }
        Ok(vec![
            lateness.us(0.5),
            lateness.us(0.99),
            cpu_us / TASKS as f64,
        ])
    }
}

async fn fire_once<R: Runtime>(index: usize, due: Instant, fired: Arc<Fired>) {
    fired.asleep.fetch_add(1, Ordering::Relaxed);
    R::sleep(due.saturating_duration_since(Instant::now())).await;
    let lateness_ns = due.elapsed().as_nanos() as u64;
    fired.lateness_ns[index].store(lateness_ns, Ordering::Relaxed);
    fired.done.fetch_add(1, Ordering::Release);
}

/// Waits for the count, without much CPU; false if the deadline passes first.
fn reaches(count: &AtomicUsize, goal: usize, deadline: Instant) -> bool {
    while count.load(Ordering::Acquire) < goal {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// The numbers below `len` in an order that depends on `seed` alone (Fisher and Yates).
fn shuffled(len: usize, seed: u64) -> Vec<usize> {
    let mut numbers: Vec<_> = (0..len).collect();
    // A linear congruential generator: its upper bits are good enough for this.
    let mut state = seed;
    for last in (1..len).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        numbers.swap(last, (state >> 33) as usize % (last + 1));
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_numbers_are_all_there_in_another_order() {
        let (one, other) = (shuffled(ALIVE, 0), shuffled(ALIVE, 1));
        assert!(one != other && !one.is_sorted());
        for mut numbers in [one, other] {
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..ALIVE));
        }
    }
}
