//! # Pinning: where the threads of a runtime run, and what that does to others
//!
//! A thread that is *pinned* runs on one CPU; one in a *fence* on a group of CPUs, in which the
//! kernel places it. A [`Pinning`] is a strategy that gives each worker of both lanes a CPU, or a
//! fence, or neither. It is set with [`Builder::pinning`](super::Builder::pinning); the default is
//! [`Pinning::Auto`]. Threads of the blocking pool and the supervisor are never pinned.
//!
//! ```
//! use evenkeel::runtime::{Builder, Fence, Pinning};
//!
//! let runtime = Builder::new().pinning(Pinning::Fence(Fence::L3)).build()?;
//! println!("{}", runtime.handle().dump());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The strategies
//!
//! | strategy | IO workers | for whom |
//! |---|---|---|
//! | [`Auto`](Pinning::Auto) | as `PerCore` or `None` | nobody has to think |
//! | [`None`](Pinning::None) | where the kernel puts them | CPUs are always shared |
//! | [`PerCore`](Pinning::PerCore) | one a core, SMT siblings later | the CPUs are its own |
//! | [`Compact`](Pinning::Compact) | near to each other | few workers, common data |
//! | [`Scatter`](Pinning::Scatter) | far from each other | few workers, much data each |
//! | [`Fence`](Pinning::Fence) | in a cluster, L3 group, node or list | large machines |
//! | [`ComputeOnly`](Pinning::ComputeOnly) | where the kernel puts them | shared, and it computes |
//! | [`Custom`](Pinning::Custom) | by a list | you know better |
//!
//! Compute workers are beside the IO workers, on the same CPUs; with `ComputeOnly` they have one
//! core each, as with `PerCore`.
//!
//! Pins keep what a task needs in the caches of its core, and keep the kernel from putting two
//! workers on one CPU while another has none. They cost what an unpinned thread can do: make way
//! for others. On a machine of few CPUs without SMT most strategies come to the same two.
//! `evenkeel-bench pinning` measures all that differ on yours, and ends with a line of code.
//!
//! **What `Auto` chooses.** One worker a CPU, if there are as many IO workers as CPUs that the
//! process may use, and no quota below them; no pins otherwise. While others use a large part of
//! these CPUs, IO workers are let go of, and pinned again later. Pins and fences that were asked
//! for are kept: then those workers sleep longest on whose CPUs others are.
//! [`Handle::dump`](super::Handle::dump) begins with what was chosen and why, and a line of the log
//! says it at level *debug*.
//!
//! # What is inherited
//!
//! On Linux a new thread, and a new process, has the CPUs, the scheduling class, the nice value and
//! the timer slack of the thread that starts it. So what code starts depends on where that runs:
//!
//! | started in | CPUs | priority | timer slack |
//! |---|---|---|---|
//! | [`spawn`](crate::spawn()) | the worker's | the program's | 1 ns |
//! | [`spawn_compute`](crate::spawn_compute) | the worker's | the lane's | the program's |
//! | [`spawn_blocking`](crate::spawn_blocking) | the program's | the program's | the program's |
//! | [`unpinned`], anywhere | the program's | the program's | the program's |
//!
//! A worker's CPUs are the program's where it is not pinned. As in `spawn_blocking` is code in
//! `block_on`. As in [`unpinned`] is what [`process::Command`](crate::process::Command) starts,
//! wherever that is called, and a [`Runtime`](super::Runtime) that is built in a task.
//!
//! "The program's" is what the thread had that built the runtime, and of CPUs those that the
//! process may use by now. A number that a library takes from
//! [`available_parallelism`](std::thread::available_parallelism) is the number of CPUs of the
//! calling thread: 1 on a pinned worker. So make what sizes itself by it (a pool of threads, say)
//! in `main`, in `spawn_blocking` or in [`unpinned`]. rayon's global pool is one of these; with the
//! feature `rayon` the runtime makes it.
//!
//! The priority of the compute lane does not come off again: Linux has a flag that resets what a
//! thread's children inherit (`SCHED_RESET_ON_FORK`), but only real-time classes and negative nice
//! values, and without a privilege nobody leaves `SCHED_IDLE`. Hence [`unpinned`] changes to
//! another thread there.
//!
//! # Containers and Kubernetes
//!
//! - **A CPU limit** (`docker run --cpus`, `resources.limits.cpu`) is a quota of CPU time. `Auto`
//!   pins nothing then: a pinned worker would wait for its CPU while another one is free, and pins
//!   of several containers on one machine know nothing of each other. Other strategies pin all the
//!   same.
//! - **A cpuset** (`docker run --cpuset-cpus`, the *static* policy of Kubernetes' CPU manager for
//!   containers that ask for whole CPUs) is what the process may use; strategies see these CPUs
//!   only, and what they share. Fences end where the cpuset does.
//! - **Cpusets change while programs run**: with the static policy, those of all other containers
//!   do whenever one comes or goes. Before Linux 6.2 the kernel then forgets every pin of the
//!   process. Once a second, while anybody is awake, workers are put back to those of their CPUs
//!   that the process may still use, and run on all of its CPUs if there are none of them left. A
//!   thread that somebody else has moved (`taskset -p`) is left there.
//! - **A sandbox that refuses the call** (seccomp) leaves the workers where they are; each says so
//!   in the log, once.
//! - Without SMT siblings, clusters or caches in `/sys`, as in many virtual machines and sandboxes,
//!   the CPUs count as cores that share one L3 cache.
//!
//! # Other systems
//!
//! Pins to single CPUs are there wherever the [`core_affinity`] crate has them, fences of several
//! CPUs on Linux and Android.
//!
//! [`core_affinity`]: https://docs.rs/core_affinity

pub use super::unpinned::unpinned;
pub use evenkeel_topology::{Fence, ParsePinningError, Pinning};
