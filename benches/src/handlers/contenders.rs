//! Who is measured, and where each puts the CPU jobs.

use crate::mixed::{Background, Engine, Pinning};
use crate::suite::EVENKEEL;

/// Evenkeel without the replacing of workers that are stuck. No peer, but nothing should be lost by
/// the default either.
const OFF: &str = "evenkeel-off";
const TOKIO: &str = "tokio";
const RAYON_19: &str = "tokio+rayon19";
const TOKIO_10: &str = "tokio+tokio10";
const TOKIO_IDLE: &str = "tokio+tokioidle";

/// Those of the cases with CPU jobs in their own place.
pub(super) const WITH_JOBS: &[&str] = &[EVENKEEL, OFF, RAYON_19, TOKIO_10, TOKIO_IDLE];
/// Who of them Evenkeel is compared with.
pub(super) const OTHERS_WITH_JOBS: &[&str] = &[OFF, RAYON_19, TOKIO_10, TOKIO_IDLE];
/// The same without Evenkeel's own variant.
pub(super) const PEERS_WITH_JOBS: &[&str] = &[RAYON_19, TOKIO_10, TOKIO_IDLE];
/// Those of all other cases.
pub(super) const WITHOUT_JOBS: &[&str] = &[EVENKEEL, OFF, TOKIO];
/// Who of them Evenkeel is compared with.
pub(super) const OTHERS_WITHOUT_JOBS: &[&str] = &[OFF, TOKIO];

/// What is beside the handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    Nothing,
    /// CPU jobs, each contender's in its own place.
    Jobs,
    /// CPU jobs in plain tasks.
    InlineJobs,
}

/// What a contender runs on, and how it does its jobs; `None` if it is not in these cases.
pub(super) fn part(contender: &str, beside: Beside) -> Option<(Engine, Background)> {
    let engine = match contender {
        EVENKEEL => Engine::Evenkeel(Pinning::Auto),
        OFF => Engine::EvenkeelWithoutTakeover,
        _ => Engine::Tokio,
    };
    let background = match (beside, contender) {
        (Beside::Nothing, EVENKEEL | OFF | TOKIO) => Background::Nothing,
        (Beside::InlineJobs, EVENKEEL | OFF | TOKIO) => Background::InlineJobs,
        (Beside::Jobs, EVENKEEL | OFF) => Background::SpawnCompute,
        (Beside::Jobs, RAYON_19) => Background::RayonNice19,
        (Beside::Jobs, TOKIO_10) => Background::TokioNice10,
        (Beside::Jobs, TOKIO_IDLE) => Background::TokioIdle,
        _ => return None,
    };
    Some((engine, background))
}
