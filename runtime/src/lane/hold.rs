//! What a thread may say of its seat: that it has one, for as long as that is to stay so; or that it has lost it.
//!
//! A worker lets go of its seat while it runs a task's code, and what that code asks of the runtime takes hold again
//! first. The protocol is in [`tenure`](super::tenure).

use super::worker::Local;
use super::{Kind, Lane};
use crate::timers::clock;
use std::cell::Cell;
use std::marker::PhantomData;

thread_local! {
    static PROMPT: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread is a *prompt* one: an IO worker in its seat, or the driver thread. These never pause for long, and may
/// take the locks that IO workers take, and mark what they then have to finish. For as long as this lives, nobody takes the
/// seat from the thread.
pub(crate) struct Hold {
    /// The seat is to be let go of.
    let_go: bool,
    not_send: PhantomData<*const ()>,
}

impl Hold {
    /// For what needs no promptness.
    pub(super) fn nothing() -> Hold {
        Hold {
            let_go: false,
            not_send: PhantomData,
        }
    }
}

impl Drop for Hold {
    #[inline]
    fn drop(&mut self) {
        if self.let_go {
            Local::of_thread(|local| local.into_iter().for_each(Local::let_go));
        }
    }
}

/// Some if the thread is a prompt one, which it then stays until the result is dropped.
#[inline]
pub(crate) fn hold() -> Option<Hold> {
    if !is_marked_prompt() {
        return None;
    }
    Local::of_thread(|local| local.map_or(Some(Hold::nothing()), Local::hold))
}

fn is_marked_prompt() -> bool {
    PROMPT.try_with(Cell::get).unwrap_or(false)
}

/// Some if the thread is a worker of the lane, which it then stays until the result is dropped.
#[inline]
pub(super) fn hold_in(lane: &Lane) -> Option<Hold> {
    Local::of_thread(|local| local.filter(|local| local.is_in(lane))?.hold())
}

/// Has another thread take the place of the calling one, if that is an IO worker in a poll. False if the thread is still one
/// whose tasks will have to wait if it blocks.
pub(crate) fn leave_seat() -> bool {
    Local::of_thread(|local| {
        let Some(local) = local else {
            // The driver thread has none, and is no less needed.
            return !is_marked_prompt();
        };
        let tenure = &local.tenant().tenure;
        // Held: this is not the code of a task, but a waker that the worker calls.
        !tenure.is_held()
            && match local.hold() {
                None => true,
                // Its lane is for work that keeps its thread.
                Some(_hold) if local.kind() == Kind::Compute => true,
                Some(_hold) => local.lane().host.replace(local),
            }
    })
}

/// Declares this thread one of the runtime's own of normal priority.
pub(crate) fn set_prompt() {
    PROMPT.with(|prompt| prompt.set(true));
    clock::wake_on_time();
}

/// This thread is none of them any more.
pub(super) fn unset_prompt() {
    PROMPT.set(false);
}

impl Local {
    /// The worker whose seat this thread has, if any; it keeps it for as long as `f` runs.
    #[inline]
    pub(crate) fn with<R>(f: impl FnOnce(Option<&Local>) -> R) -> R {
        Local::of_thread(|local| match local.map(|local| (local, local.hold())) {
            Some((local, Some(_hold))) => f(Some(local)),
            _ => f(None),
        })
    }

    /// Takes hold of the seat. `None` if it is gone.
    #[inline]
    fn hold(&self) -> Option<Hold> {
        let tenure = &self.tenant().tenure;
        let let_go = !tenure.is_held();
        (!let_go || tenure.take_hold()).then_some(Hold {
            let_go,
            not_send: PhantomData,
        })
    }

    #[inline]
    pub(super) fn let_go(&self) {
        self.tenant().tenure.let_go();
    }

    /// Gives the seat away for the rest of the poll that this thread is in.
    pub(crate) fn give_up(&self) {
        self.seat().status.end();
        self.tenant().set_verdict(None);
        self.tenant().tenure.give_up();
    }
}
