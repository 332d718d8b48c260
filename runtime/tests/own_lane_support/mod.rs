//! Tasks that have been moved.

#![allow(dead_code, reason = "each test binary uses its own part")]

use crate::support::{Gate, Live, OpenOnDrop, foreign_block_on};
use crate::takeover_support::{Stuck, move_to_own_lane, on, own_lane_builder, stay};
use evenkeel::runtime::Runtime;
use std::future::Future;

#[track_caller]
pub(crate) fn each_way(body: impl Fn(Runtime, Stuck) + Copy + Send + 'static) {
    for how in Stuck::ALL {
        on(own_lane_builder(), move |runtime| body(runtime, how));
    }
}

/// A task that has been moved and now waits.
pub(crate) struct Moved {
    pub(crate) task: evenkeel::JoinHandle<()>,
    /// It goes on.
    pub(crate) go: Gate,
    /// It has gone on.
    pub(crate) gone: Gate,
    pub(crate) live: Live,
    /// Opened when the future is dropped.
    pub(crate) dropped: Gate,
}

impl Moved {
    pub(crate) fn new(runtime: &Runtime, how: Stuck) -> Moved {
        let (go, gone, live, dropped) = (Gate::new(), Gate::new(), Live::new(), Gate::new());
        let waiting = Gate::new();
        let (goes, went, held) = (go.clone(), gone.clone(), live.clone());
        let (waits, guard) = (waiting.clone(), OpenOnDrop(dropped.clone()));
        let task = runtime.spawn(async move {
            let (_held, _guard) = (held, guard);
            move_to_own_lane(how).await;
            stay(how);
            waits.open();
            goes.wait().await;
            went.open();
        });
        waiting.block();
        Moved {
            task,
            go,
            gone,
            live,
            dropped,
        }
    }
}

/// Several times `body`, in a task that is not on the IO lane.
#[track_caller]
pub(crate) fn elsewhere<F>(body: fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    each_way(move |runtime, how| {
        let task = runtime.spawn(async move {
            for _ in 0..4 {
                move_to_own_lane(how).await;
                stay(how);
                body().await;
            }
        });
        foreign_block_on(task).unwrap();
    });
}
