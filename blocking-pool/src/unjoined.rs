//! The threads that somebody has to join. The protocol is in [`end`](crate::end).

use std::collections::BTreeMap;

use evenkeel_sync::thread::{JoinHandle, is_finished};

/// The threads that nobody has joined, by their numbers.
#[derive(Default)]
pub(crate) struct Unjoined {
    next: u64,
    /// Without a handle until it is listed.
    pub(crate) threads: BTreeMap<u64, Option<JoinHandle<()>>>,
    /// Those that have left an open pool.
    left: Vec<u64>,
    /// Somebody joins the last of them.
    pub(crate) joining: bool,
}

impl Unjoined {
    /// A thread is about to be created. The result is its number.
    pub(crate) fn announce(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.threads.insert(number, None);
        number
    }

    /// It was.
    pub(crate) fn list(&mut self, number: u64, handle: JoinHandle<()>) {
        self.threads.insert(number, Some(handle));
    }

    /// It was refused.
    pub(crate) fn forget(&mut self, number: u64) {
        self.threads.remove(&number);
    }

    /// The calling thread leaves an open pool, and has to join the others that have.
    pub(crate) fn leave(&mut self, number: u64) -> Vec<JoinHandle<()>> {
        let threads = &mut self.threads;
        let mut before = Vec::new();
        self.left.retain(|left| {
            let handle = threads.get(left).and_then(Option::as_ref);
            let is_ready = handle.is_some_and(is_finished);
            if is_ready {
                before.extend(threads.remove(left).flatten());
            }
            !is_ready
        });
        self.left.push(number);
        before
    }

    pub(crate) fn all_listed(&self) -> bool {
        self.threads.values().all(Option::is_some)
    }
}
