//! `Driver::turn` and `Handle::wake`.
#![cfg(not(evenkeel_loom))]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{spawn, within_limit};
use evenkeel_io_driver::{Driver, DriverThread};
use evenkeel_topology::{current_thread_id, thread_is_asleep};

#[test]
fn zero_timeout_does_not_wait() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        for _ in 0..1_000 {
            assert_eq!(driver.turn(Some(Duration::ZERO)).unwrap(), 0);
        }
    });
}

#[test]
fn a_short_timeout_is_waited_for() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let begin = Instant::now();
        assert_eq!(driver.turn(Some(Duration::from_millis(20))).unwrap(), 0);
        assert!(begin.elapsed() >= Duration::from_millis(19));
    });
}

#[test]
fn a_timeout_finer_than_a_millisecond_is_waited_for() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let fine = Duration::from_micros(1_500);
        let begin = Instant::now();
        assert_eq!(driver.turn(Some(fine)).unwrap(), 0);
        assert!(begin.elapsed() >= fine);
    });
}

#[test]
fn a_wake_ends_a_turn_with_a_fine_timeout() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        driver.handle().wake();
        let fine = Duration::from_secs(3_600) + Duration::from_nanos(1);
        assert_eq!(driver.turn(Some(fine)).unwrap(), 0);
    });
}

/// mio#1948: milliseconds in an `i32` overflow after 24.8 days, and the poll ends at once.
#[test]
fn mio_1948_huge_timeouts_wait_for_the_wake() {
    within_limit(|| {
        // Just above what fits, and what is nothing when cut to 32 bits.
        let limit = Duration::from_millis(i32::MAX as u64);
        let wrapped = Duration::from_millis(1 << 32);
        for timeout in [
            limit,
            limit + Duration::from_nanos(1),
            wrapped,
            Duration::MAX,
        ] {
            let mut driver = Driver::new().unwrap();
            let (handle, woken) = (driver.handle(), Arc::new(AtomicBool::new(false)));
            let turning = current_thread_id();
            let waker = {
                let woken = Arc::clone(&woken);
                spawn(move || {
                    // A turn that does not wait ends first.
                    while thread_is_asleep(turning) == Some(false) {
                        thread::yield_now();
                    }
                    woken.store(true, Ordering::SeqCst);
                    handle.wake();
                })
            };
            driver.turn(Some(timeout)).unwrap();
            assert!(woken.load(Ordering::SeqCst), "no wait for {timeout:?}");
            waker.join().unwrap();
        }
    });
}

#[test]
fn a_wake_before_the_turn_ends_it_and_only_it() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let handle = driver.handle();
        (0..1_000).for_each(|_| handle.wake());
        driver.turn(None).unwrap();
        let begin = Instant::now();
        driver.turn(Some(Duration::from_millis(20))).unwrap();
        assert!(
            begin.elapsed() >= Duration::from_millis(19),
            "the wake ended a second turn"
        );
    });
}

#[test]
fn every_turn_has_its_wake() {
    within_limit(|| {
        let mut driver = Driver::new().unwrap();
        let handle = driver.handle();
        let (turned, turns) = std::sync::mpsc::sync_channel(0);
        let waker = spawn(move || {
            for () in turns {
                handle.wake();
            }
        });
        for _ in 0..2_000 {
            turned.send(()).unwrap();
            driver.turn(None).unwrap();
        }
        drop(turned);
        waker.join().unwrap();
    });
}

#[test]
fn dropping_the_thread_stops_it() {
    within_limit(|| {
        for _ in 0..100 {
            let thread = DriverThread::spawn("io-test").unwrap();
            let handle = thread.handle();
            assert!(!handle.is_shutdown());
            drop(thread);
            assert!(handle.is_shutdown(), "the thread was not joined");
            handle.wake();
        }
    });
}
