//! What stands for the cases in a program that was built without them: they are in the help text,
//! and each says why it is not measured.

use crate::harness::{Contender, Setup};
use crate::runtimes::{Evenkeel, Runtime, Tokio};

const CONTENDERS: &[Contender] = &[
    Contender::new(Evenkeel::NAME, absent),
    Contender::new(Tokio::NAME, absent),
];

/// Not called, as the suite has an obstacle.
fn absent(_: &Setup) -> Result<Vec<f64>, String> {
    Err("this program was built without the feature `ecosystem`".to_owned())
}

pub(super) mod axum {
    pub(in super::super) use super::{CONTENDERS, absent as load};
}

pub(super) mod quinn {
    pub(in super::super) use super::{CONTENDERS, absent as load};
}

pub(super) mod tonic {
    pub(in super::super) use super::{CONTENDERS, absent as load};
}
