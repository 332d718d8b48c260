//! Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// What shells report of a process that SIGINT has ended.
const INTERRUPTED: i32 = 130;

/// A future that completes on the first Ctrl-C (on Unix also SIGTERM and SIGHUP). The second one ends the
/// process at once.
///
/// # Errors
///
/// If the handler cannot be installed; there can be one in a process.
pub fn ctrl_c() -> Result<impl Future<Output = ()> + Send + 'static, ctrlc::Error> {
    let notify = Arc::new(Notify::new());
    let seen = AtomicBool::new(false);
    // The crate calls this on a thread of its own, where everything is allowed, a waker too.
    ctrlc::try_set_handler({
        let notify = notify.clone();
        move || {
            if seen.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
            notify.notify_one();
        }
    })?;
    Ok(async move { notify.notified().await })
}
