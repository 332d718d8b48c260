//! The attribute macros of the `evenkeel` runtime, which exports them as `#[evenkeel::main]` and
//! `#[evenkeel::test]`. Use them from there.
//!
//! The body of the function is passed on as it is, never parsed here: a compiler error in it is the
//! same as in any other async function, and an editor can complete code in a body that does not
//! parse yet.

#![forbid(unsafe_code)]

mod arguments;
mod function;

use proc_macro::TokenStream;

use function::Kind;

/// Runs an `async fn main` on an Evenkeel runtime.
///
/// ```
/// #[evenkeel::main]
/// async fn main() {
///     println!("hello");
/// }
/// ```
///
/// is a plain `fn main` with the body
///
/// ```
/// evenkeel::runtime::Builder::new()
///     .build()
///     .unwrap_or_else(|error| panic!("failed to build the runtime: {error}"))
///     .block_on(async {
///         println!("hello");
///     })
/// ```
///
/// The future of the body runs on the calling thread, which is no worker: `spawn` what should run
/// on the workers. The function may have another name than `main`; then it may take arguments too.
/// It cannot be generic.
///
/// # Arguments
///
/// All are optional; what is left out is as in the runtime's `Builder`.
///
/// - `flavor = "multi_thread"`, which is the default, or `"current_thread"`: the calling thread
///   runs the tasks as well, and there are no IO workers; or `"local"`: the same, and
///   `task::spawn_local` works (`runtime::LocalRuntime`).
/// - `worker_threads = 4`: the number of workers of the IO lane, at least 1.
/// - `pinning = "auto"`: where the workers run, by the name of a strategy: `"none"`, `"per_core"`,
///   `"compact"`, `"scatter"`, `"compute_only"`, `"fence_cluster"`, `"fence_l3"` or `"fence_node"`.
///   `pinning = [0, 2]` names the CPUs.
/// - `name = "server"`: what the runtime is called, for `Handle::name`.
/// - `start_paused = true`: the clock is paused from the start (feature `test-util`).
/// - `crate = some::path`: where to find the `evenkeel` crate if it goes by another name, or is
///   reached through another crate. A string is accepted as well.
///
/// ```
/// #[evenkeel::main(worker_threads = 2, pinning = "per_core")]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let listener = evenkeel::net::TcpListener::bind("127.0.0.1:0").await?;
///     println!("{}", listener.local_addr()?);
///     Ok(())
/// }
/// ```
///
/// # Panics
///
/// The function panics where the runtime cannot be built, for example because `pinning` names a CPU
/// that the process may not run on, and where it is called from within a runtime.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(Kind::Main, arguments.into(), item.into()).into()
}

/// Makes an `async fn` a test that runs on an Evenkeel runtime of its own.
///
/// ```
/// #[evenkeel::test]
/// async fn adds() {
///     let sum = evenkeel::spawn(async { 1 + 1 }).await;
///     assert_eq!(sum.unwrap(), 2);
/// }
/// ```
///
/// The other attributes of a test, such as `#[ignore]` and `#[should_panic]`, work as usual. There
/// must be no second `#[test]`.
///
/// # Arguments
///
/// As for [`main`](macro@main), with other defaults, which are tokio's: the flavor is
/// `"current_thread"`, so that the thread of the test runs its tasks, one at a time and in the
/// order in which they became ready.
///
/// With `flavor = "multi_thread"` tasks do run in parallel: on two workers that are not pinned,
/// unless `worker_threads` and `pinning` say otherwise. The tests of a file run side by side in one
/// process; if each pinned its workers, they would all wait for the same CPUs.
///
/// # Panics
///
/// The test fails where the runtime cannot be built.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(Kind::Test, arguments.into(), item.into()).into()
}
