//! Stands in for the module of this name in a build without the feature `test-util`: the clock of a
//! runtime is that of the system.

use super::shard::TimerShard;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Clock;

impl Clock {
    #[inline]
    pub(crate) fn at(&self, system_ns: u64) -> u64 {
        system_ns
    }

    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        super::clock::now_ns()
    }

    #[inline]
    pub(crate) fn to_system(&self, deadline_ns: u64) -> u64 {
        deadline_ns
    }

    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        false
    }

    #[inline]
    pub(crate) fn advance_if_quiet(&self, _: impl FnMut()) -> bool {
        false
    }

    #[inline]
    pub(crate) fn tell_quiet(&self) {}

    #[inline]
    pub(crate) fn woken_up(&self) {}
}

/// Nobody asks who sleeps.
pub(crate) trait Sleeps {}

pub(crate) struct Sleeper;

impl Sleeper {
    pub(crate) fn new<S: Sleeps>(_: &Arc<Clock>, _: &Arc<S>, _: &Arc<TimerShard>) -> Sleeper {
        Sleeper
    }

    #[inline]
    pub(crate) fn sleep<R>(&self, park: impl FnOnce() -> R) -> R {
        park()
    }
}

pub(crate) struct InFlight;

impl InFlight {
    #[inline]
    pub(crate) fn new(_: &Arc<Clock>) -> InFlight {
        InFlight
    }
}
