//! A router of axum's, as each runtime serves it.

use axum::Router;
use axum::serve::ListenerExt;

use crate::closed_loop::host;
use crate::harness::Setup;
use crate::runtimes::{self, Evenkeel, Runtime, Tokio};

/// On Evenkeel's own sockets. `app` is called in a task.
pub(super) fn on_evenkeel<F>(
    setup: &Setup,
    app: impl FnOnce() -> F + Send + 'static,
) -> Result<Vec<f64>, String>
where
    F: Future<Output = Router> + Send + 'static,
{
    let runtime = runtimes::start::<Evenkeel>(&setup.options)?;
    let (listener, port) = runtimes::listen()?;
    Evenkeel::detach(runtime.spawn(async {
        let listener = Evenkeel::listen(listener).expect("listen");
        evenkeel::serve(listener, app().await).await
    }));
    host(port)
}

/// The same on tokio, as axum's documentation has it.
pub(super) fn on_tokio<F>(
    setup: &Setup,
    app: impl FnOnce() -> F + Send + 'static,
) -> Result<Vec<f64>, String>
where
    F: Future<Output = Router> + Send + 'static,
{
    let runtime = runtimes::start::<Tokio>(&setup.options)?;
    let (listener, port) = runtimes::listen()?;
    Tokio::detach(runtime.spawn(async {
        let listener = Tokio::listen(listener).expect("listen");
        // Evenkeel's does it by itself.
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("nodelay"));
        axum::serve(listener, app().await).await
    }));
    host(port)
}
