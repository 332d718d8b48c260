//! A router of axum's, and the hello of the suite `http` for it.

use axum::Router;
use axum::routing::get;

use super::serve::{on_evenkeel, on_tokio};
use crate::closed_loop::generate_load;
use crate::harness::{Contender, Setup};
use crate::runtimes::{Evenkeel, Runtime, Tokio};
use crate::suites::http::Hello;

const CONNECTIONS: usize = 64;

pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(Evenkeel::NAME, |setup| on_evenkeel(setup, app)),
    Contender::new(Tokio::NAME, |setup| on_tokio(setup, app)),
];

async fn app() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

pub(super) fn load(setup: &Setup) -> Result<Vec<f64>, String> {
    generate_load(&Hello, CONNECTIONS, setup.window).map(|found| found.by_request())
}
