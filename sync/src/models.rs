//! What the models of this crate have in common.
#![allow(unsafe_code, reason = "values in cells show loom who may see them")]

use crate::UnsafeCell;

/// Explores every schedule with up to `preemptions` involuntary switches.
pub(crate) fn model(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// A value that may be read by whoever sees that it was written.
pub(crate) struct Written(UnsafeCell<u32>);

// SAFETY: loom checks that whoever reads it sees the write.
unsafe impl Send for Written {}

pub(crate) fn written(value: u32) -> Written {
    let cell = UnsafeCell::new(0);
    // SAFETY: nobody else has the cell yet.
    cell.with_mut(|cell| unsafe { *cell = value });
    Written(cell)
}

pub(crate) fn read(value: Written) -> u32 {
    // SAFETY: the cell is owned.
    value.0.with(|cell| unsafe { *cell })
}
