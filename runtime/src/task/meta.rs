//! The id of a task, its class, and the registry that holds it, in one word: tasks are many and their cells small.

use super::class::TaskClass;
use super::id::Id;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Which registry a task is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard(pub(crate) usize);

impl Shard {
    /// A lane has at most this many shards, and workers: the cell has twelve bits for it.
    pub(crate) const COUNT_MAX: usize = (1 << 12) - 1;
}

/// The upper bits are the shard, all ones for none; then comes the class; the rest is the id.
const NO_SHARD: u64 = Shard::COUNT_MAX as u64;
const SHARD_START: u32 = Id::BITS + TaskClass::BITS;
const CLASS_MASK: u64 = (1 << TaskClass::BITS) - 1;

/// Changed only by whoever has RUNNING, or the `Task`, without which nobody else can get RUNNING but a shutdown, which
/// changes nothing here.
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

    /// Only for the one who has RUNNING, and only once.
    pub(super) fn set_shard(&self, shard: Shard) {
        debug_assert!(shard.0 < Shard::COUNT_MAX);
        let rest = self.load() & !(NO_SHARD << SHARD_START);
        let word = ((shard.0 as u64) << SHARD_START) | rest;
        self.0.store(word, Ordering::Relaxed);
    }

    /// Only for the one who has RUNNING, or the `Task`.
    pub(super) fn set_class(&self, class: TaskClass) {
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
                meta.set_class(class);
                meta.set_shard(Shard(shard));
                let parts = (meta.id().as_u64(), meta.class(), meta.shard());
                assert_eq!(parts, (id, class, Some(Shard(shard))));
            }
        }
    }
}
