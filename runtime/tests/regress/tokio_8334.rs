//! tokio#8334: the timer wheel wrapped round after some 12 days; mio#1948: a timeout of more than
//! 24.8 days did not fit the system call; polling 0.1.5: a timeout of zero blocked. At each such
//! boundary, a timer neither fires early nor hides the others.

use crate::support::{in_block_on, poll_once};
use evenkeel::time::{Duration, Instant, Sleep, sleep, sleep_until, timeout};
use std::future::Future;

/// Durations on both sides of the powers of two and ten of the units that clocks and system calls
/// use.
fn boundaries() -> Vec<Duration> {
    let day = 24 * 3600;
    let mut all = vec![
        Duration::from_secs(12 * day),
        Duration::from_secs(13 * day),
        Duration::from_secs(i64::MAX as u64),
        Duration::from_secs(u64::MAX),
        Duration::MAX,
    ];
    for bits in [31, 32, 36, 41, 42, 43, 53, 62, 63] {
        let edge = 1_u64 << bits;
        for value in [edge - 1, edge, edge + 1] {
            all.extend([Duration::from_millis(value), Duration::from_micros(value)]);
            all.push(Duration::from_nanos(value));
            all.push(Duration::from_secs(value));
        }
    }
    all.push(Duration::from_nanos(u64::MAX));
    all.push(Duration::from_millis(u64::MAX));
    // The least is far enough off for this test.
    all.retain(|&duration| duration > Duration::from_secs(600));
    all
}

async fn far_timers_wait_and_near_ones_fire() {
    let mut far: Vec<Sleep> = boundaries().into_iter().map(sleep).collect();
    for sleep in &mut far {
        assert!(poll_once(sleep).await.is_pending(), "{sleep:?}");
    }
    for millis in [0, 1, 3] {
        sleep(Duration::from_millis(millis)).await;
    }
    for duration in boundaries() {
        let one = timeout(Duration::from_micros(300), sleep(duration)).await;
        assert!(one.is_err(), "{duration:?}");
    }
    for sleep in &mut far {
        assert!(poll_once(sleep).await.is_pending(), "{sleep:?}");
    }
    drop(far);
}

async fn on_all_threads<F: Future<Output = ()> + Send + 'static>(future: fn() -> F) {
    future().await;
    evenkeel::spawn(future()).await.unwrap();
    evenkeel::compute::spawn(future()).await.unwrap();
}

#[test]
fn timers_at_the_boundaries_of_clocks() {
    in_block_on(2, || on_all_threads(far_timers_wait_and_near_ones_fire));
}

/// Each far deadline alone, so that it is the one for which the threads sleep.
#[test]
fn a_far_deadline_alone_is_no_end_of_the_sleep() {
    in_block_on(1, || async {
        for duration in boundaries() {
            let waits = [
                evenkeel::spawn(sleep(duration)),
                evenkeel::compute::spawn(sleep(duration)),
            ];
            evenkeel::spawn(async {}).await.unwrap();
            evenkeel::compute::spawn(async {}).await.unwrap();
            sleep(Duration::from_micros(200)).await;
            for task in waits {
                assert!(!task.is_finished(), "{duration:?}");
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            }
        }
    });
}

async fn no_time_at_all() {
    for _ in 0..200 {
        sleep(Duration::ZERO).await;
        sleep(Duration::from_nanos(1)).await;
        sleep_until(Instant::now()).await;
        assert!(
            timeout(Duration::ZERO, std::future::pending::<()>())
                .await
                .is_err()
        );
    }
}

#[test]
fn a_timeout_of_zero_does_not_block() {
    in_block_on(1, || on_all_threads(no_time_at_all));
}

#[test]
fn reset_from_a_far_deadline_to_a_near_one_and_back() {
    async fn back_and_forth() {
        for duration in boundaries() {
            let mut moving = sleep(duration);
            assert!(poll_once(&mut moving).await.is_pending());
            let deadline = Instant::now() + Duration::from_micros(100);
            std::pin::Pin::new(&mut moving).reset(deadline);
            (&mut moving).await;
            assert!(Instant::now() >= deadline);
            if let Some(far) = Instant::now().checked_add(duration) {
                std::pin::Pin::new(&mut moving).reset(far);
                assert!(poll_once(&mut moving).await.is_pending());
            }
        }
    }
    in_block_on(1, || on_all_threads(back_and_forth));
}
