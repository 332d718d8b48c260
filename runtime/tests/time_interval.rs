//! Intervals, by behaviour. No test says how late a tick may be.

#![allow(
    clippy::async_yields_async,
    reason = "timers and handles are given out of a future on purpose, to be awaited elsewhere"
)]

mod support;

use evenkeel::time::{
    Duration, Instant, Interval, MissedTickBehavior, interval, interval_at, timeout,
};
use std::task::Poll;
use support::{in_block_on, poll_once};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_first_tick_comes_at_once_and_the_others_by_the_period() {
    in_block_on(1, || async {
        let mut ticks = interval(ms(3));
        assert_eq!(ticks.period(), ms(3));
        let Poll::Ready(first) = poll_once(&mut Box::pin(ticks.tick())).await else {
            panic!("the first tick is not there");
        };
        for i in 1..5 {
            let due = ticks.tick().await;
            assert_eq!(due, first + ms(3) * i);
            assert!(Instant::now() >= due);
        }
    });
}

#[test]
fn an_interval_begins_when_it_is_told_to() {
    in_block_on(1, || async {
        let start = Instant::now() + ms(10);
        let mut ticks = interval_at(start, HOUR);
        assert_eq!(ticks.tick().await, start);
        assert!(Instant::now() >= start);
        assert!(poll_once(&mut Box::pin(ticks.tick())).await.is_pending());
    });
}

/// An interval whose first tick was missed by 100 periods, after that tick was taken.
async fn missed(behavior: MissedTickBehavior) -> (Interval, Instant) {
    let start = Instant::now().checked_sub(ms(1000) + ms(5)).unwrap();
    let mut ticks = interval_at(start, ms(10));
    assert_eq!(ticks.missed_tick_behavior(), MissedTickBehavior::Burst);
    ticks.set_missed_tick_behavior(behavior);
    assert_eq!(ticks.missed_tick_behavior(), behavior);
    assert_eq!(ticks.tick().await, start);
    (ticks, start)
}

#[test]
fn missed_ticks_come_in_a_burst() {
    in_block_on(1, || async {
        let (mut ticks, start) = missed(MissedTickBehavior::Burst).await;
        for i in 1..=100 {
            let tick = poll_once(&mut Box::pin(ticks.tick())).await;
            assert_eq!(tick, Poll::Ready(start + ms(10) * i));
        }
        assert_eq!(ticks.tick().await, start + ms(10) * 101);
    });
}

#[test]
fn missed_ticks_delay_the_others() {
    in_block_on(1, || async {
        let before = Instant::now();
        let (mut ticks, _) = missed(MissedTickBehavior::Delay).await;
        let after = Instant::now();
        let second = ticks.tick().await;
        assert!(second >= before + ms(10) && second <= after + ms(10));
    });
}

#[test]
fn missed_ticks_are_skipped() {
    in_block_on(1, || async {
        let before = Instant::now();
        let (mut ticks, start) = missed(MissedTickBehavior::Skip).await;
        let second = ticks.tick().await;
        assert!(second > before, "{:?} before", before - second);
        assert_eq!(
            (second - start).as_nanos() % ms(10).as_nanos(),
            0,
            "a multiple of the period"
        );
    });
}

#[test]
fn an_interval_can_be_reset() {
    in_block_on(1, || async {
        let mut ticks = interval(HOUR);
        ticks.tick().await;
        ticks.reset_immediately();
        ticks.tick().await;
        ticks.reset_after(ms(2));
        ticks.tick().await;
        let at = Instant::now() + ms(2);
        ticks.reset_at(at);
        assert_eq!(ticks.tick().await, at);
        ticks.reset();
        assert!(timeout(ms(5), ticks.tick()).await.is_err());
    });
}

#[test]
fn no_tick_is_lost_by_a_cancelled_tick() {
    in_block_on(1, || async {
        let start = Instant::now() + ms(5);
        let mut ticks = interval_at(start, HOUR);
        for _ in 0..10 {
            assert!(
                timeout(Duration::ZERO, ticks.tick()).await.is_err() || Instant::now() >= start
            );
            if Instant::now() >= start {
                return;
            }
        }
        assert_eq!(ticks.tick().await, start);
    });
}
