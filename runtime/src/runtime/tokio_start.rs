//! Making the thread of tokio's context, when that is first used.

use super::context;
use super::shared::Shared;
use std::io;
use std::sync::Arc;

impl Shared {
    /// Makes the thread of tokio's context. What runs there finds this runtime as well. To be
    /// called by the supervisor.
    ///
    /// # Errors
    ///
    /// Those of the operating system, when it refuses a thread. To be called again after a pause.
    pub(super) fn start_tokio(self: &Arc<Self>) -> io::Result<()> {
        let shared = self.clone();
        self.threads.start("tokio", move || {
            shared.program.restore_slack();
            context::enter_for_good(shared.clone());
            context::become_worker();
            shared.tokio.run();
        })?;
        self.tokio_use.set_over();
        Ok(())
    }

    /// Waits for the blocking calls of tokio's that have begun, if its thread was not made before
    /// the end. To be called by the supervisor.
    pub(super) fn finish_tokio(self: &Arc<Self>) {
        let _entered = context::enter(self.clone());
        self.tokio.run();
    }
}
