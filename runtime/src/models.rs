//! Loom models of the protocols between threads. Each names the text it checks, and the mutations
//! that were tried on the code and that it caught.
//!
//! Run with `RUSTFLAGS="--cfg evenkeel_loom -C debug-assertions=on" cargo test -p evenkeel --lib
//! --release`.

mod cells;
mod displaced;
mod driver;
mod inboxes;
mod lane;
mod leases;
mod locals;
mod long;
mod roots;
mod sleepers;
mod timers;
mod when_woken;

use loom::model::Builder;

/// Explores every interleaving with up to `preemptions` involuntary switches. Two find nearly every
/// bug that more would find; models that are small enough go without a bound.
fn explore(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}
