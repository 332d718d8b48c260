//! The work-stealing engine. A runtime has two lanes of it: IO and compute.
//!
//! Each worker has a deque of its own, from which the others steal, and on the IO lane a LIFO slot
//! for the task that its current task woke last. Everybody else submits through the lane's inbox.
//!
//! - Records: [`lane`], [`seat`], [`worker`], [`idle`] (who sleeps), [`long_queue`],
//!   [`driver_lock`].
//! - Policies, which are functions of what was seen: [`wake_policy`], [`idle_policy`],
//!   [`steal_policy`].
//! - What is done: [`run`] (the loop), [`queue`] (and what tasks ask), [`wait`], [`wake`],
//!   [`classify`], [`offload`].
//! - What others do: [`takeover`] (the supervisor), [`shutdown`].
//! - A lane without threads, for `block_on`: [`current_thread`], [`root_waker`].
//! - Tasks that stay on their thread: [`local`].
//!
//! Rule: nothing here makes an IO worker wait for a compute thread, which may be preempted at any
//! instruction for as long as its core is busy. What crosses from compute to IO is an inbox push
//! (one compare-exchange) and an unpark without a claim (one system call).

mod bits;
mod classify;
pub(crate) mod current_thread;
mod deque;
pub(crate) mod driver_lock;
pub(crate) mod governor;
pub(crate) mod hooks;
pub(crate) mod idle;
mod idle_policy;
pub(crate) mod kick;
pub(crate) mod kind;
pub(crate) mod lane;
pub(crate) mod latency;
pub(crate) mod lease;
pub(crate) mod local;
pub(crate) mod long_queue;
pub(crate) mod measure;
#[cfg(evenkeel_loom)]
pub(crate) mod model_driver;
pub(crate) mod offload;
pub(crate) mod park_state;
pub(crate) mod parker;
mod period;
mod poll_time;
pub(crate) mod progress;
pub(crate) mod queue;
pub(crate) mod root_waker;
pub(crate) mod run;
pub(crate) mod seat;
mod shutdown;
mod steal_policy;
mod takeover;
pub(crate) mod tuning;
mod turns;
mod wait;
mod wake;
mod wake_policy;
pub(crate) mod wake_ups;
pub(crate) mod watch;
pub(crate) mod worker;
