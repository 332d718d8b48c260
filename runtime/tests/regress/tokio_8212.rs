//! tokio#8212: a park hook that scheduled work made `block_on` skip the driver each time, so timers
//! and IO never came while short calls of `block_on` followed each other.

use crate::support::{Gate, on_runtime};
use evenkeel::task::yield_now;
use evenkeel::time::{Duration, sleep};

#[test]
fn a_timer_fires_during_short_calls_of_block_on() {
    on_runtime(1, |runtime| {
        for on_compute in [false, true] {
            let fired = Gate::new();
            let inside = fired.clone();
            let future = async move {
                sleep(Duration::from_millis(5)).await;
                inside.open();
            };
            runtime.block_on(async {
                match on_compute {
                    true => drop(evenkeel::compute::spawn(future)),
                    false => drop(evenkeel::spawn(future)),
                }
            });
            while !fired.is_open() {
                runtime.block_on(async {
                    evenkeel::spawn(async {}).await.unwrap();
                    yield_now().await;
                });
            }
        }
    });
}

#[test]
fn a_timer_of_block_on_fires_while_its_task_is_always_woken() {
    on_runtime(1, |runtime| {
        runtime.block_on(async {
            let mut sleep = std::pin::pin!(sleep(Duration::from_millis(5)));
            while !sleep.is_elapsed() {
                let _ = crate::support::poll_once(&mut sleep).await;
                yield_now().await;
            }
            sleep.await;
        });
    });
}
