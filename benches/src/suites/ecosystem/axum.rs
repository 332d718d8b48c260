//! A router of axum's, and the hello of the suite `http` for it.

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;

use crate::closed_loop::{generate_load, host};
use crate::harness::{Contender, Setup};
use crate::runtimes::{self, Evenkeel, Runtime, Tokio};
use crate::suites::http::Hello;

const CONNECTIONS: usize = 64;

pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(Evenkeel::NAME, |setup| {
        let runtime = runtimes::start::<Evenkeel>(&setup.options)?;
        let (listener, port) = runtimes::listen()?;
        Evenkeel::detach(runtime.spawn(async {
            let listener = Evenkeel::listen(listener).expect("listen");
            evenkeel::serve(listener, app()).await
        }));
        host(port)
    }),
    Contender::new(Tokio::NAME, |setup| {
        let runtime = runtimes::start::<Tokio>(&setup.options)?;
        let (listener, port) = runtimes::listen()?;
        Tokio::detach(runtime.spawn(async {
            let listener = Tokio::listen(listener).expect("listen");
            // Evenkeel's does it by itself.
            let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("nodelay"));
            axum::serve(listener, app()).await
        }));
        host(port)
    }),
];

fn app() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

pub(super) fn load(setup: &Setup) -> Result<Vec<f64>, String> {
    generate_load(&Hello, CONNECTIONS, setup.window).map(|found| found.by_request())
}
