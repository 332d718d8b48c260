//! What stands for the cases in a program that was built without them: they are in the help text,
//! and each says why it is not measured.

use crate::harness::{Contender, Setup};
use crate::runtimes::{Evenkeel, Runtime, Tokio};

pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(Evenkeel::NAME, load),
    Contender::new(Tokio::NAME, load),
];

/// Not called, since each case has an obstacle.
pub(super) fn load(_: &Setup) -> Result<Vec<f64>, String> {
    Err("this program was built without the feature `ecosystem`".to_owned())
}
