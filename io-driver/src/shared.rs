//! What the driver, its handles and the registrations share.

use std::fmt;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use evenkeel_sync::panics::log;
use mio::{Poll, Token};

use crate::bell::Bell;
use crate::slots::Slots;
use crate::system::System;

pub(crate) struct Shared {
    pub(crate) slots: Slots,
    pub(crate) system: System,
    pub(crate) bell: Bell,
}

/// No code of others runs while anything in here is half done.
impl UnwindSafe for Shared {}
impl RefUnwindSafe for Shared {}

impl Shared {
    pub(crate) fn new(poll: &Poll, wake: Token) -> io::Result<Shared> {
        Ok(Shared {
            slots: Slots::new(),
            system: System::new(poll, wake)?,
            bell: Bell::default(),
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("registrations", &self.slots.claimed())
            .field("shutdown", &self.slots.is_shutdown())
            .finish_non_exhaustive()
    }
}

/// Registers sources with a [`Driver`](crate::Driver), and wakes it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn of(shared: Arc<Shared>) -> Handle {
        Handle { shared }
    }

    /// Makes the current turn of the driver return, or the next one if it is in none.
    ///
    /// Calls are gathered: however many come during a turn, about one of them makes a system call.
    /// What the caller did before is visible to the driver's thread after that turn.
    pub fn wake(&self) {
        if let Err(error) = self.shared.bell.ring(|| self.shared.system.wake()) {
            log(|| tracing::error!(%error, "the IO driver could not be woken"));
        }
    }

    /// How many registrations there are.
    pub fn registrations(&self) -> usize {
        self.shared.slots.claimed()
    }

    /// Whether the driver was dropped.
    pub fn is_shutdown(&self) -> bool {
        self.shared.slots.is_shutdown()
    }

    pub(crate) fn is_of_parent(&self) -> bool {
        self.shared.system.is_of_parent()
    }
}
