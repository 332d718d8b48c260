//! CPUs, caches and quotas of this machine; where the threads of a runtime go; how urgent they are.
//!
//! Three steps, each usable alone:
//!
//! 1. [`Topology`] says which CPUs the process may use and what they share: a core, an L3 cache, a
//!    NUMA node.
//! 2. [`Plan`] gives each worker its CPU, or a group of CPUs, from a [`Pinning`] strategy, and
//!    [`Placement`] does that for the two lanes of a runtime. They are pure: they take a topology
//!    and numbers and touch no thread, so they can be tried on the description of any machine.
//! 3. [`pin_current_thread`] and [`lower_current_thread`] act on the calling thread.
//!
//! ```
//! use evenkeel_topology::{Pinning, Plan, Topology, parallelism, pin_current_thread};
//!
//! let topology = Topology::detect();
//! let workers = parallelism();
//! let plan = Plan::new(&topology, parallelism(), workers, &Pinning::PerCore)?;
//! std::thread::scope(|scope| {
//!     for worker in 0..workers {
//!         let (plan, topology) = (&plan, &topology);
//!         scope.spawn(move || {
//!             if let Some(cpu) = plan.cpu(worker) {
//!                 pin_current_thread(cpu);
//!             }
//!             let _steal_from = plan.steal_order(topology, worker);
//!         });
//!     }
//! });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Linux is what this crate is for. Elsewhere it still works, with less: the topology is flat,
//! priorities stay as they are, and a pinning is what the [`core_affinity`] crate can do there.

#![deny(unsafe_code)]

mod affinity;
mod cpu_set;
mod fence;
mod kick;
mod pinning;
mod placement;
mod priority;
mod quota;
mod sys;
mod topology;
mod usage;

pub use affinity::{
    allowed_cpus, confine_current_thread, parallelism, parallelism_rounded_up, pin_current_thread,
    set_thread_affinity, thread_cpus, unpin_current_thread,
};
pub use cpu_set::{CpuSet, ParseCpuSetError};
pub use fence::{heavy_fence, light_fence, prepare_fences};
pub use kick::{current_cpu, kick, may_preempt_lazily, prepare_kicks};
pub use pinning::{Fence, ParsePinningError, PinError, Pinning};
pub use placement::{Placement, Plan, Reason};
pub use priority::{
    ComputePriority, current_priority, lower_current_thread, lower_thread, thread_priority,
};
pub use quota::{CpuQuota, PeriodCount, QuotaGroups};
pub use topology::{Distance, Topology};
pub use usage::{
    busy_times, current_thread_id, process_cpu_time, thread_cpu_time, thread_is_asleep,
    thread_wait_channel,
};
