//! Sleeping, timeouts and intervals, by behaviour. No test says how late a timer may be.

#![allow(
    clippy::async_yields_async,
    reason = "timers and handles are given out of a future on purpose, to be awaited elsewhere"
)]

mod support;

use evenkeel::task::yield_now;
use evenkeel::time::error::Elapsed;
use evenkeel::time::{Duration, Instant, Sleep, sleep, sleep_until, timeout, timeout_at};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use support::{Gate, Live, foreign_block_on, in_block_on, on_runtime, poll_once};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const HOUR: Duration = Duration::from_secs(3600);

async fn slept(duration: Duration) {
    let before = std::time::Instant::now();
    sleep(duration).await;
    let elapsed = before.elapsed();
    assert!(elapsed >= duration, "{elapsed:?} is less than {duration:?}");
}

// ---- sleep ----

#[test]
fn a_sleep_is_never_too_short_wherever_it_is_polled() {
    on_runtime(2, |runtime| {
        for duration in [
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_micros(777),
            ms(7),
        ] {
            runtime.block_on(async move {
                slept(duration).await;
                evenkeel::spawn(slept(duration)).await.unwrap();
                evenkeel::compute::spawn(slept(duration)).await.unwrap();
            });
            let _entered = runtime.enter();
            foreign_block_on(slept(duration));
        }
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    on_runtime(1, |runtime| {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let now = Instant::now();
        let order = [7_u64, 2, 9, 4, 1, 8, 3, 6, 5];
        let tasks = order.map(|i| {
            let ended = ended.clone();
            runtime.spawn(async move {
                sleep_until(now + ms(20 + i)).await;
                ended.lock().unwrap().push(i);
            })
        });
        tasks
            .into_iter()
            .for_each(|task| foreign_block_on(task).unwrap());
        let ended = ended.lock().unwrap();
        let mut sorted = ended.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });
}

#[test]
fn a_later_deadline_is_never_first_in_one_task() {
    in_block_on(1, || async {
        for _ in 0..20 {
            let now = Instant::now();
            let mut early = pin!(sleep_until(now + ms(1)));
            let mut late = pin!(sleep_until(now + ms(2)));
            poll_fn(|cx| {
                let late = late.as_mut().poll(cx);
                let early = early.as_mut().poll(cx);
                assert!(late.is_pending() || early.is_ready());
                early
            })
            .await;
        }
    });
}

#[test]
fn no_time_at_all_and_the_past_are_ready_at_once() {
    in_block_on(1, || async {
        assert!(poll_once(&mut sleep(Duration::ZERO)).await.is_ready());
        let past = Instant::now().checked_sub(ms(1)).unwrap();
        assert!(poll_once(&mut sleep_until(past)).await.is_ready());
        assert!(sleep_until(past).is_elapsed());
        assert!(!sleep(HOUR).is_elapsed());
    });
}

#[test]
fn a_sleep_beyond_the_clock_waits() {
    on_runtime(1, |runtime| {
        let (started, start) = mpsc::channel();
        let far = |started: mpsc::Sender<()>| async move {
            let mut sleep = sleep(Duration::MAX);
            assert!(poll_once(&mut sleep).await.is_pending());
            started.send(()).unwrap();
            sleep.await;
        };
        let _entered = runtime.enter();
        let tasks = [
            runtime.spawn(far(started.clone())),
            evenkeel::compute::spawn(far(started)),
        ];
        start.recv().unwrap();
        start.recv().unwrap();
        // Timers that are due do fire beside it.
        runtime.block_on(async {
            assert!(timeout(ms(5), sleep(Duration::MAX)).await.is_err());
            evenkeel::spawn(slept(ms(5))).await.unwrap();
            evenkeel::compute::spawn(slept(ms(5))).await.unwrap();
        });
        for task in tasks {
            assert!(!task.is_finished());
            task.abort();
            assert!(foreign_block_on(task).unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn reset_to_an_earlier_deadline() {
    async fn earlier() {
        let mut sleep = pin!(sleep(HOUR));
        assert!(poll_once(&mut sleep).await.is_pending());
        let deadline = Instant::now() + ms(5);
        sleep.as_mut().reset(deadline);
        assert_eq!(sleep.deadline(), deadline);
        sleep.await;
        assert!(Instant::now() >= deadline);
    }
    on_runtime(1, |runtime| {
        runtime.block_on(async {
            earlier().await;
            evenkeel::spawn(earlier()).await.unwrap();
            evenkeel::compute::spawn(earlier()).await.unwrap();
        });
        let _entered = runtime.enter();
        foreign_block_on(earlier());
    });
}

#[test]
fn reset_to_a_later_deadline() {
    in_block_on(1, || async {
        let mut sleep = pin!(sleep(ms(2)));
        let _ = poll_once(&mut sleep).await;
        let later = Instant::now() + ms(20);
        sleep.as_mut().reset(later);
        sleep.as_mut().await;
        assert!(Instant::now() >= later);
        // And once more, after it has been ready.
        let later = Instant::now() + ms(5);
        sleep.as_mut().reset(later);
        let _ = poll_once(&mut sleep).await;
        sleep.await;
        assert!(Instant::now() >= later);
    });
}

#[test]
fn reset_wakes_whoever_waits_for_the_old_deadline() {
    on_runtime(2, |runtime| {
        let shared = {
            let _entered = runtime.enter();
            Arc::new(Mutex::new(Box::pin(sleep(HOUR))))
        };
        for waits_on_compute in [false, true] {
            shared.lock().unwrap().as_mut().reset(Instant::now() + HOUR);
            let (polled, inside) = (Gate::new(), shared.clone());
            let gate = polled.clone();
            let future = poll_fn(move |cx| {
                let ready = inside.lock().unwrap().as_mut().poll(cx);
                gate.open();
                ready
            });
            let _entered = runtime.enter();
            let task = match waits_on_compute {
                true => evenkeel::compute::spawn(future),
                false => evenkeel::spawn(future),
            };
            polled.block();
            shared
                .lock()
                .unwrap()
                .as_mut()
                .reset(Instant::now() + ms(1));
            foreign_block_on(task).unwrap();
        }
    });
}

/// Wherever it waits, and from wherever it is reset.
#[test]
fn reset_by_another_thread() {
    on_runtime(2, |runtime| {
        let _entered = runtime.enter();
        for (waits, resets) in (0..3).flat_map(|waits| (0..4).map(move |resets| (waits, resets))) {
            let sleep = Arc::new(Mutex::new(Box::pin(sleep(HOUR))));
            let polled = Gate::new();
            let waiting = {
                let (gate, sleep) = (polled.clone(), sleep.clone());
                poll_fn(move |cx| {
                    let ready = sleep.lock().unwrap().as_mut().poll(cx);
                    gate.open();
                    ready
                })
            };
            let gate = polled.clone();
            let reset = move || {
                for after in [2 * HOUR, ms(1)] {
                    let deadline = Instant::now() + after;
                    sleep.lock().unwrap().as_mut().reset(deadline);
                }
            };
            let resetting = async move {
                gate.wait().await;
                reset();
            };
            let resetting = match resets {
                0 => evenkeel::spawn(resetting),
                1 => evenkeel::compute::spawn(resetting),
                2 => evenkeel::spawn_blocking(|| foreign_block_on(resetting)),
                _ => evenkeel::spawn_blocking(|| support::runtime().block_on(resetting)),
            };
            match waits {
                0 => foreign_block_on(evenkeel::spawn(waiting)).unwrap(),
                1 => foreign_block_on(evenkeel::compute::spawn(waiting)).unwrap(),
                _ => runtime.block_on(waiting),
            }
            foreign_block_on(resetting).unwrap();
        }
    });
}

#[test]
fn reset_after_it_has_fired() {
    in_block_on(1, || async {
        let mut sleep = pin!(sleep(ms(1)));
        assert!(poll_once(&mut sleep).await.is_pending());
        slept(ms(5)).await;
        let deadline = Instant::now() + ms(5);
        sleep.as_mut().reset(deadline);
        sleep.await;
        assert!(Instant::now() >= deadline);
    });
}

#[test]
fn a_dropped_sleep_wakes_nobody() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    on_runtime(1, |runtime| {
        let _entered = runtime.enter();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut dropped = sleep(ms(30));
        let _ = Pin::new(&mut dropped).poll(&mut Context::from_waker(&waker));
        drop(dropped);
        drop(waker);
        foreign_block_on(sleep(ms(60)));
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        support::until(|| Arc::strong_count(&count) == 1);
    });
}

/// The timers that the dump counts, of workers and of the driver thread.
fn timers(runtime: &evenkeel::runtime::Runtime) -> usize {
    let dump = runtime.handle().dump().to_string();
    let number = |word: &str, at: &str| {
        let before = word.split(at).next().unwrap().trim_end();
        before.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    dump.lines()
        .filter(|line| line.contains("timers"))
        .map(|line| number(line, " timers"))
        .sum()
}

#[test]
fn cancelled_timers_leave_nothing_behind() {
    on_runtime(2, |runtime| {
        runtime.block_on(async {
            for _ in 0..300 {
                timeout(HOUR, ready(())).await.unwrap();
                timeout(HOUR, yield_now()).await.unwrap();
                let task = evenkeel::spawn(timeout(HOUR, yield_now()));
                task.await.unwrap().unwrap();
                let task = evenkeel::compute::spawn(timeout(HOUR, yield_now()));
                task.await.unwrap().unwrap();
                let task = evenkeel::spawn(sleep(HOUR));
                yield_now().await;
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            }
            // The driver thread carries the last removals out when it next wakes.
            evenkeel::compute::spawn(sleep(ms(1))).await.unwrap();
        });
        support::until(|| timers(runtime) == 0);
    });
}

#[test]
fn a_waker_of_a_timer_that_was_set_elsewhere_and_dropped_on_a_worker_is_let_go() {
    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }
    on_runtime(1, |runtime| {
        let _entered = runtime.enter();
        let poll = |sleep: &mut Sleep, waker: &Waker| {
            assert!(
                Pin::new(sleep)
                    .poll(&mut Context::from_waker(waker))
                    .is_pending()
            );
        };
        // The driver thread knows of an earlier deadline, so it is not woken for the others.
        let mut first = sleep(HOUR);
        poll(&mut first, Waker::noop());
        for _ in 0..200 {
            let count = Arc::new(Nothing);
            let waker = Waker::from(count.clone());
            let mut later = sleep(2 * HOUR);
            poll(&mut later, &waker);
            drop(waker);
            foreign_block_on(runtime.spawn(async move { drop(later) })).unwrap();
            support::until(|| {
                // It makes the driver thread look at what it was asked for, unless this thread was
                // stopped for so long that the time is over at once.
                foreign_block_on(sleep(Duration::from_micros(100)));
                Arc::strong_count(&count) == 1
            });
        }
    });
}

// ---- timers that move ----

#[test]
fn first_polled_in_block_on_which_ends() {
    on_runtime(2, |runtime| {
        for on_compute in [false, true] {
            let deadline = Instant::now() + ms(30);
            let task = runtime.block_on(async {
                let mut sleep = Box::pin(sleep_until(deadline));
                let _ = poll_once(&mut sleep).await;
                let task = if on_compute {
                    evenkeel::compute::spawn(sleep)
                } else {
                    evenkeel::spawn(sleep)
                };
                yield_now().await;
                task
            });
            foreign_block_on(task).unwrap();
            assert!(Instant::now() >= deadline);
        }
    });
}

#[test]
fn first_polled_in_a_block_on_that_then_blocks_its_thread() {
    on_runtime(2, |runtime| {
        for on_compute in [false, true] {
            runtime.block_on(async {
                let mut sleep = Box::pin(sleep(ms(10)));
                let _ = poll_once(&mut sleep).await;
                let (ended, end) = mpsc::channel();
                let future = async move {
                    sleep.await;
                    ended.send(()).unwrap();
                };
                let task = if on_compute {
                    evenkeel::compute::spawn(future)
                } else {
                    evenkeel::spawn(future)
                };
                // Not what one should do here, but nobody else's timers may suffer from it.
                end.recv().unwrap();
                task.await.unwrap();
            });
        }
    });
}

#[test]
fn first_polled_in_another_executor_then_on_a_worker() {
    on_runtime(2, |runtime| {
        let _entered = runtime.enter();
        for lane in 0..3 {
            let mut sleep = Box::pin(sleep(ms(10)));
            let _ = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            match lane {
                0 => foreign_block_on(evenkeel::spawn(sleep)).unwrap(),
                1 => foreign_block_on(evenkeel::compute::spawn(sleep)).unwrap(),
                _ => runtime.block_on(sleep),
            }
        }
    });
}

#[test]
fn a_sleep_that_goes_round_all_kinds_of_threads() {
    on_runtime(2, |runtime| {
        let _entered = runtime.enter();
        let deadline = Instant::now() + ms(60);
        let mut sleep = Box::pin(sleep_until(deadline));
        let turn = |mut sleep: Pin<Box<Sleep>>| async move {
            let _ = poll_once(&mut sleep).await;
            sleep
        };
        for _ in 0..10 {
            sleep = foreign_block_on(runtime.spawn(turn(sleep))).unwrap();
            sleep = foreign_block_on(evenkeel::compute::spawn(turn(sleep))).unwrap();
            sleep = runtime.block_on(turn(sleep));
            sleep = foreign_block_on(turn(sleep));
        }
        foreign_block_on(runtime.spawn(sleep)).unwrap();
        assert!(Instant::now() >= deadline);
    });
}

#[test]
fn a_sleep_of_one_runtime_awaited_on_another() {
    support::watchdog(|| {
        let (a, b) = (support::runtime(), support::runtime());
        let of_a = {
            let _entered = a.enter();
            sleep(ms(10))
        };
        foreign_block_on(b.spawn(of_a)).unwrap();
        let of_a = a.block_on(async {
            let mut sleep = sleep(ms(10));
            let _ = poll_once(&mut sleep).await;
            sleep
        });
        b.block_on(of_a);
    });
}

#[test]
fn timers_of_many_threads_at_once() {
    on_runtime(2, |runtime| {
        thread::scope(|scope| {
            for thread in 0..4_u64 {
                scope.spawn(move || {
                    let _entered = runtime.enter();
                    let tasks: Vec<_> = (0..200)
                        .map(|i| {
                            let duration = Duration::from_micros((i * 37 + thread * 11) % 5_000);
                            match i % 2 {
                                0 => evenkeel::spawn(slept(duration)),
                                _ => evenkeel::compute::spawn(slept(duration)),
                            }
                        })
                        .collect();
                    foreign_block_on(slept(ms(2)));
                    tasks
                        .into_iter()
                        .for_each(|task| foreign_block_on(task).unwrap());
                });
            }
        });
    });
}

// ---- timeout ----

#[test]
fn a_timeout_gives_the_output_or_an_error() {
    in_block_on(1, || async {
        assert_eq!(timeout(HOUR, async { 5 }).await, Ok(5));
        let live = Live::new();
        let held = live.clone();
        let never = async move {
            let _held = held;
            pending::<()>().await;
        };
        let elapsed: Elapsed = timeout(ms(2), never).await.unwrap_err();
        assert_eq!(live.others(), 0);
        assert!(elapsed.to_string().contains("elapsed"));
        let error: std::io::Error = elapsed.into();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(
            timeout(HOUR, evenkeel::spawn(async { 6 }))
                .await
                .unwrap()
                .unwrap(),
            6
        );
    });
}

#[test]
fn a_timeout_polls_its_future_first() {
    in_block_on(1, || async {
        let past = Instant::now().checked_sub(ms(5)).unwrap();
        assert_eq!(timeout(Duration::ZERO, ready(1)).await, Ok(1));
        assert_eq!(timeout_at(past, ready(2)).await, Ok(2));
        assert!(timeout_at(past, pending::<()>()).await.is_err());
        assert!(timeout_at(past, yield_now()).await.is_err());
        assert_eq!(timeout(Duration::MAX, ready(3)).await, Ok(3));
    });
}

#[test]
fn a_timeout_gives_its_future_back() {
    in_block_on(1, || async {
        let mut timeout = timeout(HOUR, ready(7));
        assert_eq!(
            format!("{:?}", timeout.get_ref()),
            format!("{:?}", ready(7))
        );
        *timeout.get_mut() = ready(8);
        assert_eq!(timeout.into_inner().await, 8);
    });
}

#[test]
fn timeouts_nest() {
    in_block_on(1, || async {
        let inner = timeout(HOUR, pending::<()>());
        assert!(timeout(ms(2), inner).await.is_err());
        let inner = timeout(ms(2), pending::<()>());
        assert!(timeout(HOUR, inner).await.unwrap().is_err());
    });
}

// ---- Instant ----

#[test]
fn arithmetic_of_instants() {
    let now = Instant::now();
    let later = now + ms(1500);
    assert_eq!(later - now, ms(1500));
    assert_eq!(now - later, Duration::ZERO);
    assert_eq!(later.duration_since(now), ms(1500));
    assert_eq!(now.duration_since(later), Duration::ZERO);
    assert_eq!(now.saturating_duration_since(later), Duration::ZERO);
    assert_eq!(now.checked_duration_since(later), None);
    assert_eq!(later.checked_duration_since(now), Some(ms(1500)));
    assert_eq!(later - ms(1500), now);
    assert_eq!(now.checked_add(Duration::MAX), None);
    assert_eq!(now.checked_add(ms(1500)), Some(later));
    assert_eq!(later.checked_sub(ms(1500)), Some(now));
    assert_eq!(later.elapsed(), Duration::ZERO);
    let mut moved = now;
    moved += ms(3);
    moved -= ms(1);
    assert_eq!(moved, now + ms(2));
    assert!(moved > now);
    let std: std::time::Instant = now.into();
    assert_eq!(std, now.into_std());
    assert_eq!(Instant::from_std(std), now);
    assert_eq!(Instant::from(std), now);
}
