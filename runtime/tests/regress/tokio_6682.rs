//! tokio#6682: the driver computed the next deadline under a lock and published it after. A timer
//! that was set in between saw the old one, woke nobody, and fired late or never.

use crate::support::{foreign_block_on, on_runtime};
use evenkeel::time::{Duration, Sleep, sleep};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::thread;

fn set(mut sleep: Sleep) -> Sleep {
    let _ = Pin::new(&mut sleep).poll(&mut Context::from_waker(Waker::noop()));
    sleep
}

/// Timers of plain threads and of the compute lane all belong to the driver thread, which computes
/// its next deadline again and again while earlier ones are set. The far ones keep it from being
/// woken by anything else in time: the watchdog's limit is a minute.
#[test]
fn an_earlier_timer_set_while_the_deadline_is_published() {
    on_runtime(1, |runtime| {
        let entered = runtime.enter();
        let far: Vec<_> = (0..20_u64)
            .map(|i| set(sleep(Duration::from_secs(600 + i))))
            .collect();
        drop(entered);
        thread::scope(|scope| {
            for me in 0..3_u32 {
                scope.spawn(move || {
                    let _entered = runtime.enter();
                    for round in 0..1_500_u32 {
                        let micros = u64::from(round.wrapping_mul(2_654_435_761 + me) >> 23);
                        let middle = set(sleep(Duration::from_secs(300)));
                        let near = sleep(Duration::from_micros(micros));
                        match round % 4 {
                            0 => foreign_block_on(evenkeel::compute::spawn(near)).unwrap(),
                            _ => foreign_block_on(near),
                        }
                        drop(middle);
                    }
                });
            }
        });
        drop(far);
    });
}

#[test]
fn an_earlier_timer_on_a_worker_that_is_about_to_sleep() {
    on_runtime(1, |runtime| {
        let _entered = runtime.enter();
        let far = runtime.spawn(sleep(Duration::from_secs(600)));
        for round in 0..3_000_u64 {
            let task = runtime.spawn(sleep(Duration::from_micros(round % 80)));
            foreign_block_on(task).unwrap();
        }
        far.abort();
        assert!(foreign_block_on(far).unwrap_err().is_cancelled());
    });
}
