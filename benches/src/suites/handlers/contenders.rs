//! Who is measured, and where each puts the CPU jobs.

use crate::harness::{Contender, EVENKEEL};
use crate::open_loop::{Background, serve};
use crate::runtimes::{Evenkeel, Runtime, Tokio};

/// Evenkeel without the replacing of workers that are stuck. No peer, but nothing should be lost by
/// the default either.
const OFF: &str = "evenkeel-off";
const TOKIO: &str = "tokio";
const RAYON_19: &str = "tokio+rayon19";
const TOKIO_10: &str = "tokio+tokio10";
const TOKIO_IDLE: &str = "tokio+tokioidle";

/// Who Evenkeel is compared with beside CPU jobs.
pub(super) const OTHERS_WITH_JOBS: &[&str] = &[OFF, RAYON_19, TOKIO_10, TOKIO_IDLE];
/// The same without Evenkeel's own variant.
pub(super) const PEERS_WITH_JOBS: &[&str] = &[RAYON_19, TOKIO_10, TOKIO_IDLE];
/// Who Evenkeel is compared with in all other cases.
pub(super) const OTHERS_WITHOUT_JOBS: &[&str] = &[OFF, TOKIO];

/// Evenkeel without jobs, for the bars of [`BESIDE_OTHER_JOBS`].
pub(super) const WITHOUT_JOBS: &str = "evenkeel-alone";

/// CPU jobs, each contender's in its own place.
pub(super) const BESIDE_JOBS: &[Contender] = &[
    Contender::new(EVENKEEL, |setup| {
        serve(setup, Evenkeel::new, Background::COMPUTE)
    }),
    Contender::new(OFF, |setup| {
        serve(setup, Evenkeel::without_takeover, Background::COMPUTE)
    }),
    Contender::new(RAYON_19, |setup| {
        serve(setup, Tokio::new, Background::RAYON_NICE_19)
    }),
    Contender::new(TOKIO_10, |setup| {
        serve(setup, Tokio::new, Background::TOKIO_NICE_10)
    }),
    Contender::new(TOKIO_IDLE, |setup| {
        serve(setup, Tokio::new, Background::TOKIO_IDLE)
    }),
];

/// Jobs that do as the handlers do, each contender's in its own place.
pub(super) const BESIDE_OTHER_JOBS: &[Contender] = &[
    Contender::new(WITHOUT_JOBS, |setup| {
        serve(setup, Evenkeel::new, Background::NOTHING)
    }),
    Contender::new(EVENKEEL, |setup| {
        serve(setup, Evenkeel::new, Background::COMPUTE)
    }),
    Contender::new(RAYON_19, |setup| {
        serve(setup, Tokio::new, Background::RAYON_NICE_19)
    }),
    Contender::new(TOKIO_IDLE, |setup| {
        serve(setup, Tokio::new, Background::TOKIO_IDLE)
    }),
];

/// Nothing beside the handlers.
pub(super) const ALONE: &[Contender] = &[
    Contender::new(EVENKEEL, |setup| {
        serve(setup, Evenkeel::new, Background::NOTHING)
    }),
    Contender::new(OFF, |setup| {
        serve(setup, Evenkeel::without_takeover, Background::NOTHING)
    }),
    Contender::new(TOKIO, |setup| serve(setup, Tokio::new, Background::NOTHING)),
];

/// CPU jobs in plain tasks.
pub(super) const INLINE_JOBS: &[Contender] = &[
    Contender::new(EVENKEEL, |setup| {
        serve(setup, Evenkeel::new, Background::INLINE_JOBS)
    }),
    Contender::new(OFF, |setup| {
        serve(setup, Evenkeel::without_takeover, Background::INLINE_JOBS)
    }),
    Contender::new(TOKIO, |setup| {
        serve(setup, Tokio::new, Background::INLINE_JOBS)
    }),
];
