//! A multithreaded work-stealing runtime in which IO tasks, CPU-bound work and blocking calls are
//! all futures, and in which saturating every core with CPU work leaves IO latency as it was.
//!
//! | what the work does | how to spawn it | where it runs |
//! |---|---|---|
//! | waits for IO and time | [`spawn`] | IO lane: a [pinned](runtime::pinning) worker a core |
//! | computes | [`spawn_compute`], [`compute::spawn`] | compute lane: one worker a core |
//! | blocks in the system | [`spawn_blocking`] | blocking pool: a thread a call, up to a cap |
//!
//! A request handler may need some milliseconds of CPU: others do not wait for it, and it does not
//! wait for what is on the compute lane. A task that computes or blocks by mistake does little
//! harm: after a millisecond another thread takes the place of its worker, and if it keeps doing
//! it, it is polled elsewhere. [`TakeoverPolicy`](runtime::TakeoverPolicy) says what happens when.
//!
//! All of them give a [`JoinHandle`]. Names and meanings are tokio's wherever tokio has the same
//! thing; channels, locks and IO helpers are tokio's own, which run on any executor, by name.
//!
//! ```
//! use evenkeel::net::{TcpListener, TcpStream};
//!
//! #[evenkeel::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!
//!     let server = evenkeel::spawn(async move {
//!         let (stream, _) = listener.accept().await?;
//!         // The hash is computed on the compute lane; other connections do not notice.
//!         let hash = || (0..1_000_000_u64).fold(7, |h, i| h ^ i * 31);
//!         let hash = evenkeel::spawn_compute(hash).await?;
//!         stream.writable().await?;
//!         stream.try_write(&hash.to_be_bytes())
//!     });
//!
//!     let client = TcpStream::connect(address).await?;
//!     let mut hash = [0; 8];
//!     client.readable().await?;
//!     assert_eq!(client.try_read(&mut hash)?, 8);
//!     assert_eq!(server.await??, 8);
//!     Ok(())
//! }
//! ```
//!
//! # Features
//!
//! - `macros` (default): [`main`](macro@main) and [`test`](macro@test), and tokio's [`select!`],
//!   [`join!`], [`try_join!`] and [`pin!`].
//! - `tokio-rt` (default): the channels and locks of `tokio::sync` end a poll that always finds
//!   something in them, and what needs a runtime of tokio's finds one. See
//!   [`coop`](task::coop#tokios-channels).
//! - `tokio-io` (default): tokio's `AsyncRead` and `AsyncWrite` for the sockets of [`net`], and
//!   tokio's helpers for them in [`io`].
//! - `futures-io`: futures-io's traits of the same names for the sockets.
//! - `test-util`: pausing the clock, in [`time`], for tests; with `rt`, `sync` and `time`.
//! - `hyper`: hyper 1's `rt` traits, in [`mod@hyper`].
//! - `hyper-client`: a connector for hyper-util's pooled client, [`hyper::Connector`].
//! - `process`: child processes, in [`process`].
//! - `quinn`: QUIC by quinn on the sockets and timers of this runtime, in [`mod@quinn`].
//! - `rayon`: the first runtime builds rayon's global pool, with as many threads as there are CPUs
//!   for the program, on all of them. See [`Builder::build`](runtime::Builder::build).
//! - `serve`: an HTTP server for the services of axum, tonic, tower and hyper, in [`mod@serve`].
//!
//! The others have tokio's names, so that the line of a program in `Cargo.toml` keeps its list.
//! Much of what tokio makes optional is always here. docs/MIGRATING.md, in the repository, is the
//! guide for programs that come from tokio.
//!
//! | feature | what it adds |
//! |---|---|
//! | `full` | all of these but `test-util`, and `tokio-rt` |
//! | `fs` | the module [`fs`] |
//! | `io-std` | [`io::stdin`], [`io::stdout`], [`io::stderr`] |
//! | `io-util` | is `tokio-io` |
//! | `macros` | see above |
//! | `net` | is `tokio-io`: the sockets are always there |
//! | `parking_lot` | tokio's locks use that crate; the runtime's own always do |
//! | `process` | the module [`process`] (Unix) |
//! | `rt` | [`task_local!`]: the runtime is always there |
//! | `rt-multi-thread` | is `rt` |
//! | `signal` | the module [`signal`] (Unix) |
//! | `sync` | the module [`sync`]: tokio's channels and locks |
//! | `test-util` | see above |
//! | `time` | [`time::error::Error`]: the rest of [`time`] is always there |
//! | `tracing` | nothing: what the runtime has to say always goes to `tracing` |

#![cfg_attr(evenkeel_loom, allow(dead_code, unused_imports, unreachable_pub))]
#![cfg_attr(
    not(all(
        feature = "full",
        feature = "hyper",
        feature = "hyper-client",
        feature = "quinn",
        feature = "serve"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

#[cfg(any(evenkeel_loom, not(feature = "tokio-rt")))]
#[path = "no_tokio_context.rs"]
mod tokio_context;
#[cfg(all(feature = "tokio-rt", not(evenkeel_loom)))]
mod tokio_context;

mod fences;
mod latency_critical;
mod panics;
mod tasks;
mod timers;

mod scheduler;

#[cfg(any(feature = "serve", evenkeel_loom))]
mod when_woken;

// Under loom only the engine is built: see `models`.
#[cfg(all(evenkeel_loom, test))]
mod models;

#[cfg(not(evenkeel_loom))]
pub mod compute;
#[cfg(all(feature = "fs", not(evenkeel_loom)))]
pub mod fs;
#[cfg(all(feature = "hyper", not(evenkeel_loom)))]
pub mod hyper;
#[cfg(not(evenkeel_loom))]
pub mod io;
#[cfg(not(evenkeel_loom))]
mod join;
#[cfg(not(evenkeel_loom))]
pub mod net;
#[cfg(all(unix, feature = "process", not(evenkeel_loom)))]
pub mod process;
#[cfg(all(feature = "quinn", not(evenkeel_loom)))]
pub mod quinn;
#[cfg(not(evenkeel_loom))]
pub mod runtime;
#[cfg(all(feature = "serve", not(evenkeel_loom)))]
pub mod serve;
#[cfg(all(unix, feature = "signal", not(evenkeel_loom)))]
pub mod signal;
#[cfg(not(evenkeel_loom))]
mod spawn;
#[cfg(all(feature = "sync", not(evenkeel_loom)))]
pub mod sync;
#[cfg(not(evenkeel_loom))]
pub mod task;
#[cfg(not(evenkeel_loom))]
pub mod time;

#[cfg(not(evenkeel_loom))]
pub use join::{JoinError, JoinHandle};
#[cfg(all(feature = "serve", not(evenkeel_loom)))]
pub use serve::serve;
#[cfg(not(evenkeel_loom))]
pub use spawn::{spawn, spawn_blocking, spawn_compute};

#[cfg(feature = "macros")]
pub use evenkeel_macros::{main, test};
#[cfg(all(feature = "rt", not(evenkeel_loom)))]
pub use tokio::task_local;
#[cfg(all(feature = "macros", not(evenkeel_loom)))]
pub use tokio::{join, pin, select, try_join};

#[cfg(all(doctest, feature = "macros"))]
#[doc = include_str!("../../README.md")]
struct Readme;
