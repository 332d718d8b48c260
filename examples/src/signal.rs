//! Ctrl-C.

use std::io;

/// What shells report of a process that SIGINT has ended.
const INTERRUPTED: i32 = 130;

/// A future that completes on the first Ctrl-C, on Unix also on SIGTERM. The second one ends the
/// process at once.
///
/// # Errors
///
/// If no handler can be installed.
///
/// # Panics
///
/// Outside a runtime.
#[cfg(unix)]
pub fn ctrl_c() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use evenkeel::net::UnixStream;
    use signal_hook::consts::{SIGINT, SIGTERM};
    use tokio::io::AsyncReadExt;

    // A signal handler may do next to nothing. This one writes a byte to a socket, and the rest is
    // IO.
    let (mut signals, handler) = UnixStream::pair()?;
    let handler = handler.into_std()?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, handler.try_clone()?)?;
    }
    Ok(async move {
        if signals.read_u8().await.is_err() {
            return;
        }
        evenkeel::spawn(async move {
            if signals.read_u8().await.is_ok() {
                std::process::exit(INTERRUPTED);
            }
        });
    })
}

/// A future that completes on the first Ctrl-C. The second one ends the process at once.
///
/// # Errors
///
/// If no handler can be installed; there can be one in a process.
#[cfg(not(unix))]
pub fn ctrl_c() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use std::sync::Arc;

    let notify = Arc::new(tokio::sync::Notify::new());
    let (handler, mut seen) = (notify.clone(), false);
    // It is called on a thread of its own, where everything is allowed, a waker too.
    ctrlc::try_set_handler(move || {
        if std::mem::replace(&mut seen, true) {
            std::process::exit(INTERRUPTED);
        }
        handler.notify_one();
    })
    .map_err(io::Error::other)?;
    Ok(async move { notify.notified().await })
}
