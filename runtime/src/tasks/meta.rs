//! The id of a task, its class, and the registry that holds it, in one word, which keeps the cells
//! small.

use super::class::TaskClass;
use super::id::Id;
use evenkeel_sync::atomic::{AtomicU64, Ordering};

/// Which registry a task is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard(pub(crate) usize);

impl Shard {
    /// A lane has at most this many shards, and workers: the cell has twelve bits for it.
    pub(crate) const COUNT_MAX: usize = (1 << 12) - 1;
}

// The upper bits are the shard, all ones for none; then comes the class; the rest is the id.
const NO_SHARD: u64 = Shard::COUNT_MAX as u64;
const SHARD_START: u32 = Id::BITS + TaskClass::BITS;
const CLASS_MASK: u64 = (1 << TaskClass::BITS) - 1;

/// Written by whoever polls the task, or has its `Task`, without read-modify-write: two writers at
/// a time could undo each other's change.
pub(super) struct TaskMeta(AtomicU64);

impl TaskMeta {
    pub(super) fn new(id: Id) -> Self {
        TaskMeta(AtomicU64::new((NO_SHARD << SHARD_START) | id.as_u64()))
    }

    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn id(&self) -> Id {
        Id::from_u64(self.load() & Id::MASK).expect("made from an id")
    }

    pub(super) fn shard(&self) -> Option<Shard> {
        let shard = self.load() >> SHARD_START;
        (shard != NO_SHARD).then_some(Shard(shard as usize))
    }

    pub(super) fn class(&self) -> TaskClass {
        TaskClass::from_bits((self.load() >> Id::BITS & CLASS_MASK) as u8)
    }

    /// # Safety
    /// Nobody else changes the word at the same time.
    pub(super) unsafe fn set_shard(&self, shard: Shard) {
        debug_assert!(shard.0 < Shard::COUNT_MAX);
        let rest = self.load() & !(NO_SHARD << SHARD_START);
        let word = ((shard.0 as u64) << SHARD_START) | rest;
        self.0.store(word, Ordering::Relaxed);
    }

    /// # Safety
    /// Nobody sets the shard at the same time. (Otherwise that may be lost, and the task enter a
    /// second registry.)
    pub(super) unsafe fn set_class(&self, class: TaskClass) {
        let rest = self.load() & !(CLASS_MASK << Id::BITS);
        let word = (u64::from(class.bits()) << Id::BITS) | rest;
        self.0.store(word, Ordering::Relaxed);
    }
}

const _: () = assert!((NO_SHARD << SHARD_START) >> SHARD_START == NO_SHARD);

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_part_stays_what_it_is() {
        let classes = [0, 1, (1 << TaskClass::BITS) - 1].map(TaskClass::from_bits);
        for id in [1, 2, Id::MASK - 1, Id::MASK] {
            let meta = TaskMeta::new(Id::from_u64(id).unwrap());
            assert_eq!((meta.id().as_u64(), meta.shard()), (id, None));
            for (shard, class) in [0, 1, Shard::COUNT_MAX - 1].into_iter().zip(classes) {
                // SAFETY: nobody else has it.
                unsafe { meta.set_class(class) };
                // SAFETY: as above.
                unsafe { meta.set_shard(Shard(shard)) };
                let parts = (meta.id().as_u64(), meta.class(), meta.shard());
                assert_eq!(parts, (id, class, Some(Shard(shard))));
            }
        }
    }
}
