//! The loop of a pool thread.

use std::sync::Arc;
use std::time::Instant;

use evenkeel_sync::SpinBackoff;

use crate::panics::contained;
use crate::parker::Parker;
use crate::shared::Shared;

/// What a thread of the pool does, from its start hook to its stop hook.
pub(crate) fn run(shared: &Arc<Shared>, number: u64) {
    let me = Arc::new(Parker::of_current());
    loop {
        if let Some(hook) = &shared.config.on_thread_start {
            contained("the thread start hook", &**hook);
        }
        work(shared, &me);
        if let Some(hook) = &shared.config.on_thread_stop {
            contained("the thread stop hook", &**hook);
        }
        if shared.leave(number) {
            return;
        }
    }
}

/// Runs jobs until none came for the keep-alive time, or the pool is closed and none is left.
fn work(shared: &Arc<Shared>, me: &Arc<Parker>) {
    let deadline_from_now = || Instant::now().checked_add(shared.config.keep_alive);
    let mut deadline = deadline_from_now();
    let backoff = SpinBackoff::default();
    let mut expired = false;
    let mut core = shared.core.lock();
    core.starting -= 1;
    loop {
        if let Some(job) = shared.next_job(&mut core) {
            let todo = shared.settle(&mut core);
            drop(core);
            shared.carry_out(todo);
            job.run();
            deadline = deadline_from_now();
            expired = false;
            core = shared.core.lock();
            core.ended += 1;
            continue;
        }
        if expired || core.closed {
            break;
        }
        core.idle.push(me.clone());
        let todo = shared.settle(&mut core);
        drop(core);
        shared.carry_out(todo);
        let timed_out = me.wait(&backoff, deadline);
        core = shared.core.lock();
        match core.idle.iter().rposition(|parker| Arc::ptr_eq(parker, me)) {
            // Woken by a submitter as the sentry, or timed out; either way nobody counts on this
            // thread.
            Some(index) => {
                core.idle.remove(index);
                expired = timed_out;
            }
            // Appointed.
            None => core.appointed -= 1,
        }
    }
    let todo = shared.settle(&mut core);
    drop(core);
    shared.carry_out(todo);
}
