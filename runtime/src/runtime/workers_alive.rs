//! Who goes when the last worker has ended.

use super::supervisor::watch::Watch;
use crate::tokio_context::TokioContext;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Held by the runtime until it shuts down, and by each worker. When the last of them goes, the
/// supervisor and tokio's thread have nobody left, and go as well.
pub(crate) struct WorkersAlive {
    watch: Arc<Watch>,
    tokio: Arc<TokioContext>,
}

impl WorkersAlive {
    pub(crate) fn new(watch: Arc<Watch>, tokio: Arc<TokioContext>) -> Arc<WorkersAlive> {
        Arc::new(WorkersAlive { watch, tokio })
    }
}

/// No code of others runs while anything in here is half done.
impl UnwindSafe for WorkersAlive {}
impl RefUnwindSafe for WorkersAlive {}

impl Drop for WorkersAlive {
    fn drop(&mut self) {
        self.tokio.stop();
        self.watch.stop();
    }
}
