//! Making a thread of a pool, and knowing it again.

use std::cell::Cell;
use std::io;

use evenkeel_sync::thread::{Builder, JoinHandle};

use crate::config::Config;
use crate::panics::contained;

evenkeel_sync::thread_local! {
    /// The address of the pool that this thread belongs to, or 0.
    #[allow(clippy::missing_const_for_thread_local, reason = "loom's macro takes no const block")]
    static POOL: Cell<usize> = Cell::new(0);
}

/// Whether the calling thread belongs to the pool at this address.
pub(crate) fn is_of(pool: usize) -> bool {
    // A thread whose locals are gone has ended its work.
    POOL.try_with(Cell::get).is_ok_and(|of| of == pool)
}

/// Starts a thread of the pool at this address, which runs `body`.
pub(crate) fn start(
    config: &Config,
    pool: usize,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let mut name =
        contained("the thread name function", || (config.thread_name)()).unwrap_or_default();
    // std panics on these.
    name.retain(|c| c != '\0');
    let mut builder = Builder::new().name(name);
    if let Some(size) = config.stack_size {
        builder = builder.stack_size(size);
    }
    let setup = config.thread_setup.as_ref();
    let setup = setup.and_then(|setup| contained("the thread setup hook", &**setup));
    builder.spawn(move || {
        POOL.with(|of| of.set(pool));
        setup.and_then(|setup| contained("the thread's setup", setup));
        contained("a pool thread", body);
    })
}
