//! The paused clock, on every flavour.
#![cfg(feature = "test-util")]

mod support;

use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::runtime::{Builder, Pinning, Runtime};
use evenkeel::task::yield_now;
use evenkeel::time::{Duration, Instant, advance, interval, pause, resume, sleep, timeout};
use std::future::{Future, pending};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant as SystemInstant;
use support::{Gate, on_built};

const HOUR: Duration = Duration::from_secs(3600);

fn flavors() -> [Builder; 3] {
    let workers = |count| {
        let mut builder = Builder::new();
        builder.worker_threads(count).pinning(Pinning::None);
        builder
    };
    [Builder::new_current_thread(), workers(1), workers(3)]
}

/// In `block_on` of a runtime of each flavour, whose clock is paused from the start.
fn paused<F: Future<Output = ()>>(body: impl Fn() -> F + Send + Copy + 'static) {
    for mut builder in flavors() {
        builder.start_paused(true);
        on_built(builder, move |runtime| {
            runtime.block_on(async { body().await })
        });
    }
}

#[test]
fn it_stands_still_while_there_is_something_to_do() {
    paused(|| async {
        let start = Instant::now();
        let system = SystemInstant::now();
        while system.elapsed() < Duration::from_millis(5) {
            yield_now().await;
        }
        assert_eq!(Instant::now(), start);
        assert_eq!(start.elapsed(), Duration::ZERO);
        let in_task = evenkeel::spawn(async { Instant::now() });
        assert_eq!(in_task.await.unwrap(), start);
        let in_closure = evenkeel::spawn_blocking(Instant::now);
        assert_eq!(in_closure.await.unwrap(), start);
    });
}

#[test]
fn it_moves_on_to_the_next_timer_exactly() {
    paused(|| async {
        let (start, system) = (Instant::now(), SystemInstant::now());
        sleep(HOUR).await;
        assert_eq!(start.elapsed(), HOUR);
        let task = evenkeel::spawn(async {
            sleep(Duration::from_nanos(1)).await;
            sleep(HOUR).await;
        });
        task.await.unwrap();
        assert_eq!(start.elapsed(), 2 * HOUR + Duration::from_nanos(1));
        assert!(system.elapsed() < HOUR);
    });
}

#[test]
fn timers_of_many_tasks_fire_in_the_order_of_their_deadlines() {
    paused(|| async {
        let fired = Arc::new(Mutex::new(Vec::new()));
        let start = Instant::now();
        let tasks: Vec<_> = [5, 3, 9, 1, 7]
            .map(|secs| {
                let fired = fired.clone();
                evenkeel::spawn(async move {
                    sleep(Duration::from_secs(secs)).await;
                    assert_eq!(start.elapsed(), Duration::from_secs(secs));
                    fired.lock().unwrap().push(secs);
                })
            })
            .into();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*fired.lock().unwrap(), [1, 3, 5, 7, 9]);
    });
}

#[test]
fn a_task_that_is_woken_goes_before_the_next_timer() {
    paused(|| async {
        for _ in 0..100 {
            let (ask, answer) = (Gate::new(), Gate::new());
            let (asked, answered) = (ask.clone(), answer.clone());
            evenkeel::spawn(async move {
                asked.wait().await;
                yield_now().await;
                evenkeel::spawn(async move { answered.open() });
            });
            let start = Instant::now();
            ask.open();
            timeout(Duration::from_millis(1), answer.wait())
                .await
                .expect("no time passes");
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
    });
}

#[test]
fn closures_on_their_way_keep_it_from_moving_on() {
    paused(|| async {
        for _ in 0..20 {
            let start = Instant::now();
            let real = || thread::sleep(Duration::from_millis(2));
            let blocking = evenkeel::spawn_blocking(real);
            timeout(Duration::from_millis(1), blocking)
                .await
                .expect("no time passes")
                .unwrap();
            let compute = evenkeel::spawn_compute(real);
            timeout(Duration::from_millis(1), compute)
                .await
                .expect("no time passes")
                .unwrap();
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
        // Nor is it kept once they are over, with nobody to await them.
        evenkeel::spawn_blocking(|| thread::sleep(Duration::from_millis(2)));
        evenkeel::spawn_compute(|| thread::sleep(Duration::from_millis(2)));
        sleep(HOUR).await;
    });
}

#[test]
fn block_in_place_keeps_it_from_moving_on() {
    paused(|| async {
        let start = Instant::now();
        let task = evenkeel::spawn(async {
            yield_now().await;
            evenkeel::task::block_in_place(|| thread::sleep(Duration::from_millis(5)));
        });
        timeout(Duration::from_millis(1), task)
            .await
            .expect("no time passes")
            .unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        evenkeel::spawn(async {
            evenkeel::task::block_in_place(|| thread::sleep(Duration::from_millis(5)));
        });
        sleep(HOUR).await;
    });
}

async fn read_byte(stream: &TcpStream) -> u8 {
    let mut byte = [0];
    loop {
        stream.readable().await.unwrap();
        match stream.try_read(&mut byte) {
            Ok(read) => {
                assert_eq!(read, 1);
                return byte[0];
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

async fn write_byte(stream: &TcpStream, byte: u8) {
    loop {
        stream.writable().await.unwrap();
        match stream.try_write(&[byte]) {
            Ok(written) => return assert_eq!(written, 1),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

#[test]
fn what_a_socket_has_comes_before_the_next_timer() {
    paused(|| async {
        const ROUNDS: u8 = 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let echo = evenkeel::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            for _ in 0..ROUNDS {
                let byte = read_byte(&stream).await;
                write_byte(&stream, byte).await;
            }
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let start = Instant::now();
        for round in 0..ROUNDS {
            write_byte(&stream, round).await;
            let answer = timeout(Duration::from_secs(1), read_byte(&stream)).await;
            assert_eq!(answer.expect("no time passes"), round);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        echo.await.unwrap();
    });
}

#[test]
fn advance_moves_it_on_and_fires_what_is_due() {
    paused(|| async {
        let start = Instant::now();
        let (early, late) = (sleep(Duration::from_secs(5)), sleep(Duration::from_secs(7)));
        let ready = Gate::new();
        let is_ready = ready.clone();
        let task = evenkeel::spawn(async move {
            let sleep = sleep(Duration::from_secs(6));
            is_ready.open();
            sleep.await;
            Instant::now()
        });
        ready.wait().await;
        advance(Duration::from_secs(6)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(6));
        assert!(early.is_elapsed() && !late.is_elapsed());
        assert_eq!(task.await.unwrap(), start + Duration::from_secs(6));
        late.await;
        assert_eq!(start.elapsed(), Duration::from_secs(7));
        advance(Duration::ZERO).await;
        assert_eq!(start.elapsed(), Duration::from_secs(7));
    });
}

#[test]
fn an_interval_ticks_without_delay() {
    paused(|| async {
        let start = Instant::now();
        let mut interval = interval(Duration::from_millis(10));
        for number in 0..1000 {
            let tick = interval.tick().await;
            assert_eq!(tick, start + Duration::from_millis(10) * number);
            assert_eq!(Instant::now(), tick);
        }
    });
}

#[test]
fn a_timeout_fires_if_nothing_else_happens() {
    paused(|| async {
        let start = Instant::now();
        assert!(timeout(HOUR, pending::<()>()).await.is_err());
        assert_eq!(start.elapsed(), HOUR);
    });
}

#[test]
fn timers_on_the_compute_lane_and_the_blocking_pool_count() {
    paused(|| async {
        let start = Instant::now();
        let compute = evenkeel::compute::spawn(async move {
            sleep(HOUR).await;
            start.elapsed()
        });
        assert_eq!(compute.await.unwrap(), HOUR);
        let of_pool = evenkeel::spawn_compute(|| sleep(HOUR)).await.unwrap();
        of_pool.await;
        assert_eq!(start.elapsed(), 2 * HOUR);
    });
}

#[test]
fn it_can_be_paused_resumed_and_paused_again() {
    for builder in flavors() {
        on_built(builder, |runtime| {
            runtime.block_on(async {
                let start = Instant::now();
                sleep(Duration::from_millis(1)).await;
                pause();
                let paused_at = Instant::now();
                assert!(start.elapsed() >= Duration::from_millis(1));
                sleep(HOUR).await;
                assert_eq!(paused_at.elapsed(), HOUR);
                resume();
                // It goes on from there, as fast as time does.
                let system = SystemInstant::now();
                sleep(Duration::from_millis(20)).await;
                assert!(system.elapsed() >= Duration::from_millis(20));
                let task = evenkeel::spawn(sleep(Duration::from_millis(5)));
                task.await.unwrap();
                assert!(paused_at.elapsed() >= HOUR + Duration::from_millis(25));
                pause();
                let again = Instant::now();
                evenkeel::spawn(sleep(HOUR)).await.unwrap();
                assert_eq!(again.elapsed(), HOUR);
            });
        });
    }
}

#[test]
fn other_runtimes_go_on_as_they_are() {
    paused(|| async {
        let other = evenkeel::spawn_blocking(|| {
            let runtime = support::runtime();
            runtime.block_on(async {
                let (start, system) = (Instant::now(), SystemInstant::now());
                sleep(Duration::from_millis(5)).await;
                assert!(system.elapsed() >= Duration::from_millis(5));
                assert!(start.elapsed() >= Duration::from_millis(5));
                let past = start.into_std() <= system;
                assert!(past, "a clock that was never paused is the system's");
            });
        });
        other.await.unwrap();
    });
}

#[test]
fn several_threads_in_block_on_share_it() {
    for mut builder in flavors() {
        builder.start_paused(true);
        on_built(builder, |runtime| {
            let start = runtime.block_on(async { Instant::now() });
            let ready = Gate::new();
            thread::scope(|scope| {
                let threads: Vec<_> = (1..=3_u32)
                    .map(|number| {
                        let ready = ready.clone();
                        scope.spawn(move || {
                            runtime.block_on(async move {
                                // No time passes before all are there.
                                ready.wait().await;
                                sleep(HOUR * number).await;
                            });
                            number
                        })
                    })
                    .collect();
                ready.open();
                let numbers: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
                assert_eq!(numbers, [1, 2, 3]);
            });
            let end = runtime.block_on(async { Instant::now() });
            assert!(end - start >= 3 * HOUR);
        });
    }
}

#[test]
fn misuse_panics() {
    let panics = |f: fn()| catch_unwind(AssertUnwindSafe(f)).is_err();
    assert!(panics(pause), "outside a runtime");
    let runtime = Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    assert!(panics(resume), "it is not paused");
    pause();
    assert!(panics(pause), "it is paused already");
    resume();
    let advanced = catch_unwind(AssertUnwindSafe(|| runtime.block_on(advance(HOUR))));
    assert!(advanced.is_err(), "it is not paused");
}

/// Rounds of tasks that wake each other across all lanes and then sleep: time passes only then.
#[test]
fn time_passes_only_when_all_is_quiet() {
    paused(|| async {
        for round in 0..200_u64 {
            let start = Instant::now();
            let tasks: Vec<_> = (0..4_u64)
                .map(|number| {
                    evenkeel::spawn(async move {
                        let sum = match (round + number) % 4 {
                            0 => evenkeel::spawn_compute(move || number).await.unwrap(),
                            1 => evenkeel::spawn_blocking(move || number).await.unwrap(),
                            2 => evenkeel::spawn(async move { number }).await.unwrap(),
                            _ => number,
                        };
                        assert_eq!(start.elapsed(), Duration::ZERO);
                        sleep(Duration::from_secs(1 + sum)).await;
                        assert_eq!(start.elapsed(), Duration::from_secs(1 + number));
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
    });
}

#[evenkeel::test(flavor = "multi_thread", start_paused = true)]
async fn the_macro_pauses_it() {
    let start = Instant::now();
    sleep(HOUR).await;
    assert_eq!(start.elapsed(), HOUR);
}

#[evenkeel::test(start_paused = true)]
async fn the_macro_pauses_it_on_the_current_thread() {
    let start = Instant::now();
    sleep(HOUR).await;
    assert_eq!(start.elapsed(), HOUR);
}

#[test]
fn a_runtime_that_nobody_drives_is_dropped_while_its_clock_is_paused() {
    for mut builder in flavors() {
        let runtime: Runtime = builder.start_paused(true).build().unwrap();
        runtime.spawn(async { sleep(HOUR).await });
        drop(runtime);
    }
}
