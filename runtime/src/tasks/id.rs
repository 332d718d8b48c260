use evenkeel_sync::const_thread_local;
use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;

/// The number of a task, unique among the tasks of this process.
///
/// Numbers are handed out to threads in blocks, so their order is not that of spawning.
/// They start again after 2^45 of them, which is ten million tasks a second for forty days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(NonZeroU64);

const_thread_local! {
    /// The task that this thread polls, or whose future it drops; 0 if there is none.
    static CURRENT: Cell<u64> = Cell::new(0);
}

/// The task that this thread polls, or whose future it drops.
pub(crate) fn current() -> Option<Id> {
    Id::from_u64(CURRENT.try_with(Cell::get).unwrap_or(0))
}

/// A task is the current one of its thread for as long as this lives.
pub(super) struct CurrentTask {
    before: u64,
}

impl CurrentTask {
    #[inline]
    pub(super) fn set(task: Id) -> CurrentTask {
        let before = CURRENT.try_with(|current| current.replace(task.as_u64()));
        CurrentTask {
            before: before.unwrap_or(0),
        }
    }
}

impl Drop for CurrentTask {
    #[inline]
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| current.set(self.before));
    }
}

impl Id {
    /// The cell of a task has this many bits for it.
    pub(super) const BITS: u32 = 45;
    pub(super) const MASK: u64 = (1 << Id::BITS) - 1;

    /// A block is large enough that the shared counter is hardly ever touched.
    const BLOCK: u64 = 1 << 12;

    pub(crate) fn next() -> Id {
        // A plain atomic, not a modelled one: no protocol depends on it.
        static BLOCKS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        thread_local! {
            static NEXT: Cell<u64> = const { Cell::new(0) };
        }
        NEXT.with(|next| {
            let mut id = next.get();
            if id % Id::BLOCK == 0 {
                let block = BLOCKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                id = block * Id::BLOCK;
            }
            next.set(id + 1);
            // All of the bits are zero once in 2^45.
            Id::from_u64((id + 1) & Id::MASK)
        })
        .unwrap_or_else(Id::next)
    }

    pub(super) fn from_u64(id: u64) -> Option<Id> {
        NonZeroU64::new(id).map(Id)
    }

    pub(crate) fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
