//! The table of the runtimes: a workload that is written for any of them becomes the contenders of
//! a case.

use std::marker::PhantomData;

use super::evenkeel::Evenkeel;
use super::runtime::Runtime;
use super::smol::Smol;
use super::tokio::Tokio;
use crate::harness::{Contender, Setup};

/// What a case measures, in a process of its own, on any runtime.
pub(crate) trait Workload {
    /// The values are in the order of the case's metrics.
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String>;
}

/// The workload `W` on the runtimes.
pub(crate) struct On<W>(PhantomData<W>);

impl<W: Workload> On<W> {
    /// On every runtime. Evenkeel is the first.
    pub(crate) const ALL: &'static [Contender] = &[
        Self::runtime::<Evenkeel>(),
        Self::runtime::<Tokio>(),
        Self::runtime::<Smol>(),
    ];

    /// Evenkeel and its closest peer, for cases that say nothing about others.
    pub(crate) const EVENKEEL_AND_TOKIO: &'static [Contender] =
        &[Self::runtime::<Evenkeel>(), Self::runtime::<Tokio>()];

    /// On one of them.
    pub(crate) const fn runtime<R: Runtime>() -> Contender {
        Contender::new(R::NAME, W::run::<R>)
    }
}
